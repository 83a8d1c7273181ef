"""Transformers' own tests, run on the native port: python tools/transformers_mixins.py [--out PAGE.md]

It fetches the source distribution of the installed Transformers into the user's cache, runs its
ModelTesterMixin, ProcessorTesterMixin and ImageProcessingTestMixin on small random models of the port, and
prints how many tests pass, are skipped and fail, with a reason for each that fails on purpose.  It ends with
1 where one fails that has no reason.  No code of theirs is kept in this repository.  What the distribution
leaves out (GenerationTesterMixin) is said.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import subprocess
import sys
import tarfile
import types
import unittest
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers

from workbench.files import data_path
from workbench.models.phi4_rv import (
    Phi4RVConfig,
    Phi4RVForConditionalGeneration,
    Phi4RVImageProcessor,
    Phi4RVModel,
    Phi4RVProcessor,
)

CACHE = Path.home() / ".cache" / "vlm-workbench" / "transformers-tests"

#: What the tests import and the source distribution does not hold: module -> class.
LEFT_OUT = {
    "tests.exporters.test_export": "ExportTesterMixin",
    "tests.generation.test_utils": "GenerationTesterMixin",
}

_HUB_NAMES = "the port reads and writes the published names of the weights, and only these"
_SYSTEM = "the test has a system message: the published template drops it without a word, the port refuses it"
_RGB = "do_convert_rgb=False is refused: the tower was trained on nothing but RGB"
#: Test -> why it fails on purpose.
REASONS = {
    "test_apply_chat_template_image": _SYSTEM,
    "test_processor_text_has_no_visual": "pictures at web addresses: the workbench fetches nothing by itself",
    "test_chat_template_save_loading": "chat_template.json and several templates are older forms",
    "test_init_arguments_not_in_processor_kwargs": "max_length is the model's limit, from its config",
    "test_subprocessor_defaults_preserved_by_kwargs": "padding is the call's, not the tokenizer's",
    "test_call_numpy_4_channels": _RGB,
    "test_image_processor_from_dict_with_kwargs_has_attributes": _RGB,
    "test_new_models_require_torchvision_backend": "pictures are resized by Pillow, as in training",
    "test_correct_missing_keys": _HUB_NAMES,
    "test_model_weights_reload_no_missing_tied_weights": _HUB_NAMES,
    "test_reverse_loading_mapping": _HUB_NAMES,
    "test_base_model_prefix_loads_base_weights": _HUB_NAMES,
    "test_generation_tester_mixin_inheritance": "the distribution does not hold GenerationTesterMixin",
}


def fetch(version: str) -> Path:
    """The folder of a source distribution, fetched with pip where it is not in the cache yet."""
    folder = CACHE / f"transformers-{version}"
    if not (folder / "tests").is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip"]
        source = [f"transformers=={version}", "--no-deps", "--no-binary", "transformers"]
        subprocess.run([*pip, "download", *source, "-d", str(CACHE)], check=True)
        subprocess.run([*pip, "install", "-q", "--target", str(folder / "more"), "parameterized"], check=True)
        with tarfile.open(CACHE / f"transformers-{version}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return folder


def prepare(folder: Path) -> None:
    """Make the tests importable: what the distribution leaves out is there, and empty."""
    sys.path[:0] = [str(folder), str(folder / "more")]
    helper: Any = types.ModuleType("fetch_hub_objects_for_ci")
    helper.url_to_local_path = lambda address: address
    sys.modules[helper.__name__] = helper
    for name, mixin in LEFT_OUT.items():
        if not (folder / name.replace(".", "/")).with_suffix(".py").exists():
            package: Any = types.ModuleType(name.rpartition(".")[0])
            package.__path__ = []
            module: Any = types.ModuleType(name)
            setattr(module, mixin, type(mixin, (), {}))
            sys.modules |= {package.__name__: package, name: module}


class Small:
    """A small random model and inputs of it, as ModelTesterMixin asks for them."""

    batch_size, seq_length, encoder_seq_length, key_length = 2, 20, 20, 20
    num_hidden_layers, hidden_size, num_attention_heads, vocab_size = 2, 32, 4, 99
    is_training = True

    def get_config(self) -> Phi4RVConfig:
        """Two decoder layers and two of the tower that run."""
        return Phi4RVConfig(
            text_config={
                "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
                "original_max_position_embeddings": 512,
                "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
            },
            vision_config={
                "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
                "patch_size": 4, "num_patches": 16, "vision_use_head": False,
            },
            image_token_id=3, min_num_patches=1, max_num_patches=16,
        )  # fmt: skip

    def prepare_config_and_inputs_for_common(self) -> tuple[Phi4RVConfig, dict[str, torch.Tensor]]:
        """Two prompts with a picture of 2 x 3 patches each."""
        ids = torch.randint(4, 98, (2, 20))
        ids[:, 2:8] = 3
        return self.get_config(), {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": torch.randn(2, 6, 48),
            "pixel_attention_mask": torch.ones(2, 6, dtype=torch.long),
            "spatial_shapes": torch.tensor([[2, 3]] * 2),
        }


def cases() -> list[type[unittest.TestCase]]:
    """One class of tests for each part of the port."""
    models = importlib.import_module("tests.test_modeling_common")
    processors = importlib.import_module("tests.test_processing_common")
    images = importlib.import_module("tests.test_image_processing_common")
    models.MODEL_MAPPING_NAMES[Phi4RVConfig.model_type] = Phi4RVModel.__name__  # has no loss, by their rule

    class ModelTest(models.ModelTesterMixin, unittest.TestCase):
        all_model_classes = (Phi4RVForConditionalGeneration, Phi4RVModel)
        _is_composite = True
        test_all_params_have_gradient = False  # the published tower has a layer and a norm that never run

        def setUp(self) -> None:
            self.model_tester = Small()

        def _prepare_for_class(self, inputs: dict, model_class: type, return_labels: bool = False) -> dict:
            made = super()._prepare_for_class(inputs, model_class, return_labels)
            if return_labels and model_class is Phi4RVForConditionalGeneration:
                made["labels"] = made["input_ids"].clone()
            return made

    class ProcessorTest(processors.ProcessorTesterMixin, unittest.TestCase):
        processor_class = Phi4RVProcessor
        model_id = str(data_path("nano"))

    class ImageTester(images.ImageProcessingTester):
        min_num_patches, max_num_patches = 4, 16

        def __init__(self, parent: object) -> None:
            super().__init__(parent, batch_size=3, max_resolution=100)

        def _get_image_processing_classes(self) -> dict[str, type]:
            return {"pil": Phi4RVImageProcessor}

        def prepare_image_processor_dict(self) -> dict[str, int]:
            return {"min_num_patches": 4, "max_num_patches": 16}

        def expected_output_image_shape(self, _: object) -> tuple[int, int]:
            return 16, 768

        def prepare_image_inputs(self, **kinds: bool) -> Any:
            sizes = {"min_resolution": 30, "max_resolution": 100}
            return images.prepare_image_inputs(batch_size=3, num_channels=3, **sizes, **kinds)

    class ImageProcessorTest(images.ImageProcessingTestMixin, unittest.TestCase):
        def setUp(self) -> None:
            self.image_processor_tester = ImageTester(self)

        @property
        def image_processor_dict(self) -> dict[str, int]:
            return self.image_processor_tester.prepare_image_processor_dict()

    return [ModelTest, ProcessorTest, ImageProcessorTest]


class Kept(unittest.TestResult):
    """Passed tests too, and failures by name."""

    def __init__(self) -> None:
        super().__init__()
        self.passed = 0

    def addSuccess(self, test: unittest.TestCase) -> None:
        self.passed += 1

    @property
    def failed(self) -> dict[str, str]:
        """Name of each test that failed -> the last line of what it said, of its last part."""
        told = [*self.failures, *self.errors]
        return {
            getattr(test, "test_case", test)._testMethodName: said.strip().splitlines()[-1]
            for test, said in told
        }


def reason(test: str) -> str:
    """Why a test fails on purpose; empty where it should not."""
    return next((why for name, why in REASONS.items() if test.startswith(name)), "")


def report(results: dict[str, Kept]) -> str:
    """The page: a table of counts, and each failure with its reason."""
    lines = [
        "# Transformers' own tests",
        "",
        f"With these mixins Transformers {transformers.__version__} tests its models; run on the port by",
        f"`python tools/transformers_mixins.py` ({datetime.now(UTC).date()}, torch {torch.__version__}).",
        "`GenerationTesterMixin` and the export tests are not in its source distribution and were not run.",
        "",
        "| tests of | passed | skipped by them | fail on purpose | fail |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in results.items():
        on_purpose = Counter(bool(reason(test)) for test in found.failed)
        lines.append(
            f"| {name} | {found.passed} | {len(found.skipped)} | {on_purpose[True]} | {on_purpose[False]} |"
        )
    lines += ["", "What fails on purpose:", ""]
    told: dict[str, list[str]] = {}
    for test in (test for found in results.values() for test in found.failed if reason(test)):
        told.setdefault(reason(test), []).append(f"`{test}`")
    lines += [f"- {', '.join(tests)}: {why}." for why, tests in told.items()]
    if wrong := [
        f"- `{t}`: {why}" for found in results.values() for t, why in found.failed.items() if not reason(t)
    ]:
        lines += ["", "What fails and should not:", "", *wrong]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Fetch, run, print; 1 where a test fails that has no reason."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, help="also write the page there")
    chosen = parser.parse_args()
    prepare(fetch(transformers.__version__))
    results = {}
    for case in cases():
        results[case.__name__.removesuffix("Test")] = found = Kept()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            unittest.defaultTestLoader.loadTestsFromTestCase(case).run(found)
    page = report(results)
    print(page)
    if chosen.out:
        chosen.out.write_text(page, encoding="utf-8")
    return int(any(not reason(test) for found in results.values() for test in found.failed))


if __name__ == "__main__":
    raise SystemExit(main())
