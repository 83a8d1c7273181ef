"""The flat published config: split, written back, and small ones made in Python."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, GenerationConfig
from transformers.models.phi3.configuration_phi3 import Phi3Config

from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration


def small(**changes) -> Phi4RVConfig:
    fields = {
        "text_config": {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 2,
        },
        "vision_config": {
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_patches": 16,
        },
        "image_token_id": 3,
        "min_num_patches": 1,
        "max_num_patches": 16,
    }
    return Phi4RVConfig(**{**fields, **changes})


def test_the_flat_file_is_split(checkpoint):
    config = AutoConfig.from_pretrained(checkpoint)
    assert type(config) is Phi4RVConfig
    assert config.text_config.rope_parameters["rope_theta"] == 500000
    assert config.text_config.num_key_value_heads == 2
    assert config.get_text_config() is config.text_config
    assert (config.vision_config.hidden_size, config.vision_config.num_patches) == (48, 256)
    assert config.vision_config.hidden_act == "gelu_pytorch_tanh"
    assert (config.min_num_patches, config.max_num_patches) == (4, 64)
    assert config.tokenizer_model_max_length == 8192
    assert config.mm_projector_type == "mlp2x_gelu"


def test_rope_theta_reaches_the_frequencies(model):
    head = 16
    expected = 1.0 / 500000 ** (torch.arange(0, head, 2) / head)
    torch.testing.assert_close(model.model.language_model.rotary_emb.inv_freq, expected)


def test_the_flat_file_is_written_back(checkpoint, tmp_path):
    Phi4RVConfig.from_pretrained(checkpoint).save_pretrained(tmp_path)
    official = json.loads((checkpoint / "config.json").read_text())
    written = json.loads((tmp_path / "config.json").read_text())
    del official["transformers_version"], written["transformers_version"]
    del official["auto_map"]  # names Python files that are not written
    assert written == official


def test_defaults_are_the_published_model():
    config = Phi4RVConfig()
    text, vision = config.text_config, config.vision_config
    assert (text.hidden_size, text.num_hidden_layers, text.num_key_value_heads) == (5120, 40, 10)
    assert (text.vocab_size, text.rope_parameters["rope_theta"]) == (100352, 500000)
    assert (vision.hidden_size, vision.num_hidden_layers, vision.intermediate_size) == (1152, 27, 4304)
    assert (config.image_token_id, config.min_num_patches, config.max_num_patches) == (100344, 256, 3600)


def test_a_partial_vision_config_is_completed_with_so400m():
    config = Phi4RVConfig(vision_config={"num_hidden_layers": 3})
    assert (config.vision_config.num_hidden_layers, config.vision_config.hidden_size) == (3, 1152)


def test_another_vocabulary_brings_no_published_token_ids():
    config = Phi4RVConfig(vocab_size=64, num_attention_heads=8)
    assert config.text_config.pad_token_id is None
    assert config.image_token_id is None
    assert config.text_config.num_key_value_heads == 8


@pytest.mark.parametrize("tie", [False, True])
def test_a_small_config_survives_the_file(tie, tmp_path):
    config = small(tie_word_embeddings=tie, tokenizer_model_max_length=99)
    config.save_pretrained(tmp_path)
    again = Phi4RVConfig.from_pretrained(tmp_path)
    assert again.to_dict() == config.to_dict()
    assert again.text_config.to_dict() == config.text_config.to_dict()
    assert again.vision_config.to_dict() == config.vision_config.to_dict()
    assert (again.image_token_id, again.tokenizer_model_max_length) == (3, 99)
    assert again.tie_word_embeddings is tie


def test_other_rotary_settings_survive(tmp_path):
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1234.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
    }
    text = Phi3Config(
        vocab_size=64, hidden_size=32, num_attention_heads=4, rope_parameters=rope, pad_token_id=None
    )
    config = Phi4RVConfig(text_config=text)
    config.save_pretrained(tmp_path)
    again = Phi4RVConfig.from_pretrained(tmp_path).text_config.rope_parameters
    assert again == config.text_config.rope_parameters
    assert again["rope_theta"] == 1234.0


def test_the_example_of_the_docstring_runs():
    source = Phi4RVConfig.__doc__.split("training::")[1].split("The tower's last layer")[0]
    names = {"Phi4RVConfig": Phi4RVConfig, "Phi4RVForConditionalGeneration": Phi4RVForConditionalGeneration}
    exec("\n".join(line.removeprefix("        ") for line in source.splitlines()), names)
    model = names["model"]
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert not hasattr(model.model.vision_tower, "head")


def test_generation_caches_although_the_published_config_says_use_cache_false(model, tmp_path):
    assert model.config.text_config.use_cache is False
    assert model.generation_config.use_cache is not False
    assert GenerationConfig.from_model_config(model.config).eos_token_id == 498
