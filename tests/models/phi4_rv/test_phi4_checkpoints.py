"""Saving under the published names, and refusing every checkpoint that is not exactly right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from workbench.errors import CheckpointError, LoadError
from workbench.models.phi4_rv import Phi4RVConfig, Phi4RVForConditionalGeneration, verify_checkpoint
from workbench.models.phi4_rv.modeling import expected_tensors

NORM = "model.norm.weight"
TOWER = "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight"


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def shards(model, checkpoint, tmp_path) -> Path:
    """The reference model in several files."""
    model.save_pretrained(tmp_path / "shards", max_shard_size="300KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    return tmp_path / "shards"


def load(folder: Path, **kwargs):
    return Phi4RVForConditionalGeneration.from_pretrained(folder, **kwargs)


def same_weights(one, other) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_report(checkpoint):
    report = verify_checkpoint(checkpoint)
    assert (report.tensors, report.files, report.dtypes) == (89, ("model.safetensors",), ("F32",))
    assert report.nbytes == 4 * report.parameters == 4 * 308960


def test_saving_gives_the_published_files(model, checkpoint, tmp_path):
    model.save_pretrained(tmp_path)
    official, written = load_file(checkpoint / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    assert written.keys() == official.keys()
    assert all(torch.equal(written[name], official[name]) for name in official)
    for name in ("config.json", "generation_config.json"):
        settings = [json.loads((folder / name).read_text()) for folder in (checkpoint, tmp_path)]
        for one in settings:
            del one["transformers_version"]
        settings[0].pop("auto_map", None)  # names Python files that are not written
        assert settings[0] == settings[1]
    assert same_weights(load(tmp_path), model)


@pytest.mark.parametrize("tie", [False, True])
def test_a_model_made_in_python_is_saved_under_the_published_names(tie, tmp_path):
    text = {"vocab_size": 32, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    vision = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "vision_use_head": False}
    small = {"intermediate_size": 24}
    config = Phi4RVConfig(
        text_config=text | small, vision_config=vision | small, image_token_id=3, tie_word_embeddings=tie
    )
    model = Phi4RVForConditionalGeneration(config)
    model.save_pretrained(tmp_path)
    written = load_file(tmp_path / "model.safetensors")
    assert {name: tuple(t.shape) for name, t in written.items()} == expected_tensors(config)
    assert {NORM, TOWER, "model.mm_projector.2.bias"} <= written.keys()
    assert ("lm_head.weight" in written) is not tie
    again = load(tmp_path)
    assert same_weights(again, model)
    assert (again.lm_head.weight is again.get_input_embeddings().weight) is tie


def test_shards(model, shards):
    assert verify_checkpoint(shards).tensors == 89
    assert same_weights(load(shards), model)


def test_bfloat16(model, checkpoint, processor, picture, chat, tmp_path):
    half = load(checkpoint, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    assert verify_checkpoint(tmp_path).dtypes == ("BF16",)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    again = load(tmp_path)
    assert again.dtype == torch.bfloat16
    assert same_weights(again, half)
    inputs = processor(text=[chat("x", 1)], images=[[picture(64, 64)]], return_tensors="pt")
    with torch.no_grad():
        rough, exact = again(**inputs).logits.float(), model(**inputs).logits
    assert (rough - exact).abs().max() < 0.1 * exact.abs().max()
    assert load(tmp_path, dtype=torch.float32).dtype == torch.float32


def edit(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return apply


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def to_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def other_config(**changes) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        fields = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**fields, **changes}))

    return apply


BROKEN = {
    "missing": (edit(lambda t: t.pop(TOWER)), (TOWER, "model.safetensors", "missing")),
    "two missing": (edit(lambda t: (t.pop(TOWER), t.pop(NORM))), (TOWER, NORM)),
    "extra": (
        edit(lambda t: t.update(surprise=torch.zeros(2))),
        ("unknown", "surprise", "model.safetensors"),
    ),
    "wrong shape": (
        edit(lambda t: t.update({NORM: torch.ones(63)})),
        (NORM, "[63]", "[64]", "model.safetensors"),
    ),
    "transposed": (edit(lambda t: t.update({TOWER: torch.ones(48, 96)})), (TOWER, "[48, 96]", "[96, 48]")),
    "integers": (edit(lambda t: t.update({NORM: torch.ones(64).to(torch.int8)})), (NORM, "I8")),
    "renamed": (
        edit(lambda t: t.update({TOWER.replace(".vision_model", ""): t.pop(TOWER)})),
        (TOWER, "missing"),
    ),
    "truncated": (truncate, ("model.safetensors", "corrupt")),
    "no header": (
        lambda f: (f / "model.safetensors").write_bytes(b"\x01\x02"),
        ("model.safetensors", "corrupt"),
    ),
    "a web page": (
        lambda f: (f / "model.safetensors").write_text("<html>not found</html>" * 9),
        ("model.safetensors", "corrupt"),
    ),
    "pickle": (to_pickle, ("pytorch_model.bin", "pickle")),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ("no weights",)),
    "deeper config": (other_config(num_hidden_layers=4), ("model.layers.3.", "missing")),
    "shallower config": (other_config(num_hidden_layers=2), ("unknown", "model.layers.2.")),
    "tied config": (other_config(tie_word_embeddings=True), ("unknown", "lm_head.weight")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_checkpoint_is_refused_by_its_headers_and_on_loading(name, folder):
    spoil, words = BROKEN[name]
    spoil(folder)
    for use in (verify_checkpoint, load):
        with pytest.raises(CheckpointError) as error:
            use(folder)
        assert all(word in str(error.value) for word in words), str(error.value)


def test_a_shard_that_is_missing_is_named(shards):
    lost = sorted(shards.glob("model-*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(CheckpointError, match=lost.name):
        load(shards)


def test_a_truncated_shard_is_named(shards):
    short = sorted(shards.glob("model-*.safetensors"))[1]
    short.write_bytes(short.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=short.name):
        load(shards)


def test_a_tensor_in_two_shards_is_refused(shards):
    first, second = sorted(shards.glob("model-*.safetensors"))[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file({**load_file(second), name: tensor}, second, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"{name} is in {first.name} and in {second.name}"):
        load(shards)


def test_an_index_that_promises_what_no_shard_holds(shards):
    path = shards / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["phantom"] = next(iter(index["weight_map"].values()))
    path.write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="phantom"):
        load(shards)


def test_an_index_without_any_shard(shards):
    for path in shards.glob("model-*.safetensors"):
        path.unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        load(shards)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"model_type": "phi3"}'])
def test_a_config_that_is_none_of_ours(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(LoadError):
        load(folder)


def test_no_config_and_no_folder(folder):
    (folder / "config.json").unlink()
    with pytest.raises(LoadError, match=r"no config\.json"):
        load(folder)
    with pytest.raises(LoadError, match="no-such-folder"):
        load(folder / "no-such-folder")


def test_another_config_is_what_the_weights_are_held_to(checkpoint):
    config = Phi4RVConfig.from_pretrained(checkpoint)
    config.text_config.num_hidden_layers = 4
    with pytest.raises(CheckpointError, match=r"model\.layers\.3\."):
        load(checkpoint, config=config)


def test_the_published_size(tmp_path):
    """Names and shapes at full size, without a byte of weights."""
    tensors = expected_tensors(Phi4RVConfig())
    assert tensors["model.layers.39.self_attn.qkv_proj.weight"] == (7680, 5120)
    assert tensors["model.mm_projector.0.weight"] == (5120, 1152)
    assert tensors["model.vision_tower.vision_tower.vision_model.head.probe"] == (1, 1, 1152)
    assert 15.0e9 < sum(torch.Size(shape).numel() for shape in tensors.values()) < 15.3e9
