"""The Auto classes give the native classes, offline, and never ask on standard input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from packaging import version
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    __version__,
)
from transformers.utils import is_torchvision_available

from workbench.models.phi4_rv import (
    Phi4RVConfig,
    Phi4RVForConditionalGeneration,
    Phi4RVImageProcessor,
    Phi4RVProcessor,
    register,
    round_rotary,
)


def loaded(auto, folder):
    if (
        auto is AutoImageProcessor
        and not is_torchvision_available()
        and version.parse(__version__).minor < 23
    ):
        pytest.skip("this version of Transformers has no AutoImageProcessor without torchvision")
    return auto.from_pretrained(folder)


EXPECTED = (
    (AutoConfig, Phi4RVConfig),
    (AutoModelForImageTextToText, Phi4RVForConditionalGeneration),
    (AutoModelForCausalLM, Phi4RVForConditionalGeneration),
    (AutoProcessor, Phi4RVProcessor),
    (AutoImageProcessor, Phi4RVImageProcessor),
)


@pytest.fixture
def no_input(monkeypatch):
    def asked(*args):
        raise AssertionError(f"asked on standard input: {args}")

    monkeypatch.setattr("builtins.input", asked)


@pytest.mark.parametrize(("auto", "expected"), EXPECTED)
def test_auto_classes_on_the_published_files(auto, expected, checkpoint, no_input):
    assert type(loaded(auto, checkpoint)) is expected


@pytest.mark.parametrize(("auto", "expected"), EXPECTED)
def test_auto_classes_on_saved_files(auto, expected, model, processor, tmp_path, no_input):
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert type(loaded(auto, tmp_path)) is expected


@pytest.mark.parametrize(("auto", "expected"), EXPECTED)
def test_auto_classes_without_the_names_of_remote_code(auto, expected, checkpoint, tmp_path, no_input):
    folder = shutil.copytree(checkpoint, tmp_path / "c")
    for name in ("config.json", "preprocessor_config.json"):
        fields = json.loads((folder / name).read_text())
        fields.pop("auto_map")
        (folder / name).write_text(json.dumps(fields))
    assert type(loaded(auto, folder)) is expected


def test_registering_again_is_harmless(checkpoint):
    register()
    assert type(AutoProcessor.from_pretrained(checkpoint)) is Phi4RVProcessor


def test_loading_in_a_fresh_process_reads_no_standard_input(checkpoint):
    """With standard input at its end, a question would end the process with an error."""
    program = (
        "import workbench.models.phi4_rv\n"
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        f"AutoModelForImageTextToText.from_pretrained({str(checkpoint)!r})\n"
        f"print(type(AutoProcessor.from_pretrained({str(checkpoint)!r})).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-1] == "Phi4RVProcessor"
    assert "custom code" not in done.stdout + done.stderr


def test_the_other_auto_classes_know_the_model(checkpoint, no_input):
    """Where vLLM's and SGLang's Transformers backends begin."""
    whole = AutoModelForMultimodalLM.from_pretrained(checkpoint)
    assert type(whole) is Phi4RVForConditionalGeneration
    base = AutoModel.from_pretrained(checkpoint)
    assert type(base) is type(whole.model)
    assert base.get_input_embeddings().weight.equal(whole.get_input_embeddings().weight)


def test_rotary_frequencies_can_be_rounded_as_the_published_code_does(checkpoint):
    exact = Phi4RVForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    before = exact.model.language_model.rotary_emb.inv_freq.clone()
    assert torch.equal(round_rotary(exact).model.language_model.rotary_emb.inv_freq, before)
    half = Phi4RVForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.bfloat16)
    kept = half.model.language_model.rotary_emb.inv_freq
    assert kept.dtype == torch.float32
    assert torch.equal(kept, before), "the port keeps them exact"
    round_rotary(half)
    assert torch.equal(kept, before.bfloat16().float())
    assert not torch.equal(kept, before)


def test_a_saved_folder_names_no_python_files_that_are_not_there(checkpoint, tmp_path):
    fields = json.loads((checkpoint / "config.json").read_text())
    config = Phi4RVConfig.from_dict(fields | {"auto_map": {"AutoConfig": "configuration_phi4.Config"}})
    config.save_pretrained(tmp_path)
    assert "auto_map" not in json.loads((tmp_path / "config.json").read_text())
    assert config.auto_map, "the configuration itself keeps what it was given"
