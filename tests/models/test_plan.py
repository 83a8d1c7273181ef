"""Planning: sizes from headers and configs alone, against what the models really take."""

from __future__ import annotations

import json
import shutil
import weakref
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.cache_utils import DynamicCache

import workbench
from workbench.errors import CapabilityError, CheckpointError, InputError, LoadError
from workbench.models.build import build_model, model_config
from workbench.models.memory_plan import (
    ImageBudget,
    image_budget,
    kv_cache,
    part_of,
    prefill_activations,
    quantizable,
    vision_activations,
)
from workbench.models.sources import folder_headers

plan_module = import_module("workbench.models.memory_plan")  # the room hands out the function of this name
TINY = Path(__file__).parents[1] / "data" / "phi4_rv_tiny" / "checkpoint"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tiny():
    return workbench.memory_plan(TINY, device="cpu")


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder with the config of the published 15B model and no weights."""
    folder = tmp_path_factory.mktemp("phi4")
    config = json.loads((TINY / "config.json").read_text())
    config |= {"hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 40}
    config |= {"num_key_value_heads": 10, "intermediate_size": 17920, "vocab_size": 100352}
    config |= {"dtype": "bfloat16", "mm_hidden_size": 1152}
    config |= {"bos_token_id": 100257, "eos_token_id": 100265, "pad_token_id": 100349}
    config["vision_config"] |= {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16}
    config["vision_config"] |= {"intermediate_size": 4304}
    (folder / "config.json").write_text(json.dumps(config))
    preprocessor = json.loads((TINY / "preprocessor_config.json").read_text())
    preprocessor |= {"min_num_patches": 256, "max_num_patches": 3600}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def give(monkeypatch, gigabytes):
    monkeypatch.setattr(plan_module, "available_memory", lambda device: int(gigabytes * 1e9))


# -- the real shapes ---------------------------------------------------------------------------------


def test_the_published_model_from_its_config_alone(real, monkeypatch):
    give(monkeypatch, 24)
    monkeypatch.setattr(plan_module, "_call", lambda source, device, options: f"load({options})")
    made = workbench.memory_plan(real, device="cpu")
    assert made.total_parameters == pytest.approx(15.1e9, rel=0.01)
    assert made.stored_bytes == pytest.approx(30.2e9, rel=0.01)
    assert made.parameters["vision tower"] == pytest.approx(428e6, rel=0.02)
    assert made.kv_per_1000 == 1000 * 2 * 40 * 10 * 128 * 2
    assert made.image_tokens == 3600
    assert made.context == 3600 + 1000 + 4096
    weights = {row.precision: row.weights / 1e9 for row in made.rows}
    assert weights["bfloat16"] == pytest.approx(30.2, rel=0.01)
    assert weights["int8"] == pytest.approx(16.6, rel=0.02)
    assert weights["int4"] == pytest.approx(10.6, rel=0.02)
    assert [row.fits for row in made.rows] == [False, True, True, True]
    assert made.best.precision == "int8"
    assert "quantize" in made.advice
    assert "config alone" in made.notes[0]


def test_what_fits_follows_the_memory(real, monkeypatch):
    fits = {}
    for free in (80, 24, 14, 8, 2):
        give(monkeypatch, free)
        made = workbench.memory_plan(real, device="cpu")
        fits[free] = made.best.precision if made.best else None
    assert fits == {80: "bfloat16", 24: "int8", 14: "int4", 8: "bfloat16 + offload", 2: None}
    assert "Nothing fits" in made.advice


def test_doctor_and_plan_agree_about_the_published_model(real, monkeypatch):
    from workbench.models.doctor import Device

    for free in (34, 31, 21, 18, 14, 12):
        give(monkeypatch, free)
        made = workbench.memory_plan(real, device="cpu")
        here = Device("cpu", int(free * 1e9), int(64e9))
        assert {p: here.fits(p) for p in ("bfloat16", "int8", "int4")} == {
            p: made.row(p).fits for p in ("bfloat16", "int8", "int4")
        }, free


def test_nothing_large_is_allocated_for_the_real_shapes(real):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    workbench.memory_plan(real, device="cpu")
    assert (
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000
    )  # kilobytes; bf16 takes 30 GB


# -- the tiny model: headers, model and estimate against each other ----------------------------------------


def test_headers_and_config_give_the_same_counts(tiny, tmp_path):
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(TINY / name, tmp_path / name)
    from_config = workbench.memory_plan(tmp_path, device="cpu")
    assert from_config.parameters == tiny.parameters
    assert (
        from_config.stored_bytes == tiny.stored_bytes == sum(t.nbytes for t in folder_headers(TINY).values())
    )


def test_only_headers_are_read(monkeypatch):
    import safetensors
    import safetensors.torch

    def refuse(*_, **__):
        raise AssertionError("weights were opened")

    for module, name in ((safetensors, "safe_open"), (safetensors.torch, "load_file")):
        monkeypatch.setattr(module, name, refuse)
    assert workbench.memory_plan(TINY, device="cpu").total_parameters == 308_960


def test_the_cache_is_what_the_model_fills(tiny):
    config = model_config(TINY)
    model = build_model(TINY, config, dtype=torch.float32, attention="sdpa", device_map={"": "cpu"})
    cache = DynamicCache(config=config.get_text_config())
    with torch.inference_mode():
        model(input_ids=torch.ones(2, 50, dtype=torch.long), past_key_values=cache)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == 2 * kv_cache(config.get_text_config(), 50, width=4)


KINDS = ["sliding_attention", "sliding_attention", "full_attention"] * 2
GEMMA4 = {"head_dim": 8, "global_head_dim": 16, "sliding_window": 16, "layer_types": KINDS} | {
    "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "num_key_value_heads": 2,
}  # fmt: skip
LATENT = {"kv_lora_rank": 16, "q_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4} | {
    "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 16, "first_k_dense_replace": 1, "num_hidden_layers": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        ("Gemma4TextConfig", GEMMA4),
        ("Gemma4TextConfig", GEMMA4 | {"attention_k_eq_v": True, "num_global_key_value_heads": 1}),
        ("Gemma4TextConfig", GEMMA4 | {"num_kv_shared_layers": 3}),
        ("Gemma3TextConfig", {"head_dim": 8, "num_key_value_heads": 2, "sliding_window": 16}),
        ("MistralConfig", {"num_key_value_heads": 2, "sliding_window": 16}),
        ("Qwen2Config", {"num_key_value_heads": 2}),
        ("DeepseekV3Config", LATENT),
        (
            "Llama4TextConfig",
            {"head_dim": 8, "attention_chunk_size": 16, "num_local_experts": 2, "intermediate_size_mlp": 48}
            | {"num_key_value_heads": 2},
        ),
        ("Qwen3_5TextConfig", {"head_dim": 8, "num_key_value_heads": 2, "num_hidden_layers": 4}),
    ],
)
def test_the_cache_of_real_decoders(config, fields):
    """Every kind of cache of the installed Transformers, filled by a tiny random model."""
    small = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    small |= {"num_hidden_layers": 6, "max_position_embeddings": 512, "pad_token_id": 0}
    config = getattr(transformers, config)(**{**small, **fields})
    model = AutoModelForCausalLM.from_config(config).eval()
    cache = DynamicCache(config=config)
    with torch.inference_mode():
        model(input_ids=torch.ones(1, 100, dtype=torch.long), past_key_values=cache)
    layers = [layer for layer in cache.layers if getattr(layer, "keys", None) is not None]
    # A layer with a window keeps one position fewer than the window when nothing is being read.
    spare = [layer for layer in layers if layer.keys.shape[2] == 15]
    spare = sum(layer.keys[:, :, :1].nbytes + layer.values[:, :, :1].nbytes for layer in spare)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert kv_cache(config, 100, width=4) == held + spare


class Peak(TorchDispatchMode):
    """Follows the bytes of all tensors that live; new ones only."""

    def __init__(self):
        super().__init__()
        self.live, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        known = {
            t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)
        }
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self.follow(tensor, known)
        return out

    def follow(self, tensor, known):
        pointer, size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        if pointer in known and pointer not in self.live:
            return  # a view of a weight or an input
        if pointer not in self.live:
            self.live[pointer] = [0, size]
            self.now += size
            self.peak = max(self.peak, self.now)
        self.live[pointer][0] += 1
        weakref.finalize(tensor, self.drop, pointer)

    def drop(self, pointer):
        entry = self.live.get(pointer)
        if entry is not None:
            entry[0] -= 1
            if entry[0] == 0:
                self.now -= entry[1]
                del self.live[pointer]


def test_activations_are_estimated_within_a_factor_of_two():
    config = model_config(TINY)
    model = build_model(TINY, config, dtype=torch.float32, attention="sdpa", device_map={"": "cpu"})
    patches = 64
    pixels = torch.randn(1, patches, 768)
    inputs = {
        "pixel_values": pixels,
        "pixel_attention_mask": torch.ones(1, patches, dtype=torch.long),
        "spatial_shapes": torch.tensor([[8, 8]]),
    }
    with torch.inference_mode(), Peak() as tower:
        model.get_image_features(**inputs)
    estimate = vision_activations(config, ImageBudget(patches, patches, True), width=4) - pixels.nbytes
    assert estimate / 2 < tower.peak < 2 * estimate

    tokens = 1500
    ids = torch.full((1, tokens), 5)
    with torch.inference_mode(), Peak() as decoder:
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
    estimate = prefill_activations(config.get_text_config(), tokens, width=4)
    assert estimate / 2 < decoder.peak < 2 * estimate


# -- other shapes ----------------------------------------------------------------------------------------


def text(**fields):
    base = {"num_hidden_layers": 4, "num_attention_heads": 8, "hidden_size": 64, "num_key_value_heads": 2}
    return SimpleNamespace(**{**base, **fields})


@pytest.mark.parametrize(
    ("config", "tokens", "numbers"),
    [
        (text(), 1000, 1000 * 4 * 2 * 2 * 8),
        (text(num_key_value_heads=None), 1000, 1000 * 4 * 2 * 8 * 8),
        (text(head_dim=16), 1000, 1000 * 4 * 2 * 2 * 16),
        (text(sliding_window=100), 1000, 100 * 4 * 2 * 2 * 8),
        (text(sliding_window=100, use_sliding_window=False), 1000, 1000 * 4 * 2 * 2 * 8),
        (text(sliding_window=None), 1000, 1000 * 4 * 2 * 2 * 8),
        (
            text(sliding_window=100, layer_types=["sliding_attention"] * 3 + ["full_attention"]),
            1000,
            (3 * 100 + 1000) * 2 * 2 * 8,
        ),
        (text(layer_types=["linear_attention"] * 3 + ["full_attention"]), 1000, 1000 * 2 * 2 * 8),
        (text(num_kv_shared_layers=3), 1000, 1000 * 2 * 2 * 8),
        (
            text(kv_lora_rank=16, qk_nope_head_dim=6, qk_rope_head_dim=2, v_head_dim=4),
            1000,
            1000 * 4 * 8 * (6 + 2 + 4),
        ),
    ],
)
def test_the_cache_of_other_decoders(config, tokens, numbers):
    assert kv_cache(config, tokens, width=2) == 2 * numbers


@pytest.mark.parametrize(
    ("model_type", "preprocessor", "tokens", "patches"),
    [
        ("qwen2_5_vl", {"patch_size": 14, "merge_size": 2, "max_pixels": 784 * 1280}, 1280, 5120),
        ("qwen3_vl", {"patch_size": 16, "merge_size": 2, "size": {"longest_edge": 1024 * 900}}, 900, 3600),
        ("gemma3", {}, 256, 4096),
        ("llava_onevision", {}, None, None),
        ("internvl", {"crop_to_patches": True, "max_patches": 12}, 256 * 13, None),
        (
            "smolvlm",
            {
                "do_image_splitting": True,
                "size": {"longest_edge": 2048},
                "max_image_size": {"longest_edge": 512},
            },
            None,
            None,
        ),
    ],
)
def test_the_image_budget_of_other_families(model_type, preprocessor, tokens, patches):
    published = {"gemma3": {"vision_config": {"image_size": 896, "patch_size": 14}}}  # unlike the defaults
    config = AutoConfig.for_model(model_type, **published.get(model_type, {}))
    budget = image_budget(config, preprocessor)
    assert budget.tokens >= 1
    assert budget.patches >= budget.tokens
    if tokens:
        assert budget.tokens == tokens
    if patches:
        assert budget.patches == patches


def test_the_pixtral_budget(tmp_path):
    """Sizes as dictionaries, an edge where Qwen has an area, merged patches."""
    config = AutoConfig.for_model("mistral3")
    settings = {"patch_size": {"height": 14, "width": 14}, "size": {"longest_edge": 1540}}
    assert image_budget(config, settings).tokens == 3025  # (1540 / 14 / 2) squared
    assert image_budget(config, {}).tokens == 3025
    assert image_budget(AutoConfig.for_model("gemma4"), {"max_soft_tokens": 280}).tokens == 280


@pytest.mark.parametrize("name", ["gemma4", "glm4v", "llama4", "llava_next", "ovis2", "paligemma", "qwen3_5"])
def test_this_years_configs_are_planned(name, tmp_path):
    AutoConfig.for_model(name).save_pretrained(tmp_path)
    made = workbench.memory_plan(tmp_path, device="cpu")
    assert made.kv_cache > 0
    assert made.image_tokens > 0
    assert made.vision_activations > 0
    assert not any("could not be estimated" in note for note in made.notes)


def test_a_plan_is_advice_and_never_stops_loading(monkeypatch, tmp_path):
    def broken(*_, **__):
        raise RuntimeError("head_dim is another one in every layer\nread the manual")

    for name in ("kv_cache", "image_budget", "vision_activations", "prefill_activations"):
        monkeypatch.setattr(plan_module, name, broken)
    made = workbench.memory_plan(TINY, device="cpu")
    assert [note.split(" could")[0] for note in made.notes] == [
        "the tokens of a picture", "the cache", "reading a picture", "reading the prompt",
    ]  # fmt: skip
    assert "RuntimeError: head_dim is another one in every layer)" in made.notes[0]
    shutil.copytree(TINY, tmp_path / "copy")
    assert workbench.load(tmp_path / "copy", device="cpu", progress=False).ask(None, "Hi", max_tokens=2)


def test_numbers_that_do_not_fit_are_told(tmp_path):
    AutoConfig.for_model("aya_vision").save_pretrained(tmp_path)  # its own defaults do not fit
    with pytest.raises(LoadError, match="describes no aya_vision model that can be built"):
        workbench.memory_plan(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", "vision tower"),
        ("model.mm_projector.0.weight", "projector"),
        ("visual.blocks.3.attn.qkv.weight", "vision tower"),
        ("visual.merger.mlp.0.weight", "projector"),
        ("model.embed_tokens.weight", "embeddings"),
        ("lm_head.weight", "output head"),
        ("model.layers.0.mlp.down_proj.weight", "decoder"),
        ("language_model.model.norm.weight", "decoder"),
        ("model.audio_tower.conv.weight", "audio"),
    ],
)
def test_parts_by_name(name, part):
    assert part_of(name) == part


def test_only_the_decoders_linear_layers_are_quantized():
    assert quantizable("model.layers.0.mlp.down_proj.weight", (8, 8))
    assert not quantizable("model.layers.0.norm.weight", (8,))
    assert not quantizable("model.layers.0.mlp.experts.3.down_proj.weight", (8, 8))
    assert not quantizable("lm_head.weight", (8, 8))
    assert not quantizable("visual.blocks.0.attn.qkv.weight", (8, 8))


# -- arguments, forms ----------------------------------------------------------------------------------------


def test_context_batch_and_picture_make_the_plan_larger(tiny):
    def need(**options):
        return workbench.memory_plan(TINY, device="cpu", **options).row("float32").on_device

    base = need(context=2000)
    assert need(context=4000) > base
    assert need(context=2000, batch=4) > base
    assert workbench.memory_plan(TINY, device="cpu", image_tokens=32).image_tokens == 32
    assert tiny.context <= 32768
    for wrong in ({"context": 0}, {"batch": -1}, {"image_tokens": True}, {"context": 10**9}, {"batch": 1.5}):
        with pytest.raises(InputError):
            workbench.memory_plan(TINY, device="cpu", **wrong)


def test_a_checkpoint_that_is_stored_quantized_has_one_row(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8"}
    (folder / "config.json").write_text(json.dumps(config))
    made = workbench.memory_plan(folder, device="cpu")
    assert [row.precision for row in made.rows] == ["as stored (fp8)"]
    assert made.row("as stored (fp8)").weights == made.stored_bytes


def test_a_corrupt_shard_is_found_by_the_plan(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "model"))
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="corrupt"):
        workbench.memory_plan(folder)
    with pytest.raises(CapabilityError, match="server"):
        workbench.memory_plan("http://127.0.0.1:9/v1")


def test_forms(tiny):
    text = str(tiny)
    for word in ("309k", "float32", "int8", "int4", "offload", "workbench.load("):
        assert word in text
    assert list(tiny.frame()["precision"]) == [row.precision for row in tiny.rows]
    assert tiny.best is tiny.rows[0]
    with pytest.raises(InputError, match="int8"):
        tiny.row("int3")


def test_the_rich_form_escapes_what_a_name_holds(tmp_path):
    folder = Path(shutil.copytree(TINY, tmp_path / "<script>alert(1)"))
    assert "<script>" not in workbench.memory_plan(folder, device="cpu")._repr_html_()
