"""Loading: sources, the same handle twice, devices and precision, and everything that must be refused."""

from __future__ import annotations

import gc
import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_families import build

import workbench
from workbench.errors import (
    CapabilityError,
    CheckpointError,
    InputError,
    LoadError,
    OutOfMemoryError,
    WorkbenchError,
)
from workbench.models import build as build_module
from workbench.models import sources
from workbench.models.build import build_model, model_config
from workbench.models.device import pick_attention, pick_device, pick_dtype
from workbench.models.memory import container_room
from workbench.models.sources import hub_error, parse_source, read_header
from workbench.types import Mode

# Modules of the same names as the functions that the room hands out.
load_module = import_module("workbench.models.load")
plan_module = import_module("workbench.models.memory_plan")

TINY = Path(__file__).parents[1] / "data" / "phi4_rv_tiny" / "checkpoint"
CPU = torch.device("cpu")
RED = Image.new("RGB", (64, 48), (220, 20, 20))


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny checkpoint, to be damaged."""
    return Path(shutil.copytree(TINY, tmp_path / "model"))


def reply(vlm) -> tuple[int, ...]:
    return vlm.ask(RED, "Which colour?", max_tokens=5).reply_ids


# -- sources ---------------------------------------------------------------------------------------


def test_a_folder_loads_and_answers():
    vlm = workbench.load(TINY)
    assert (vlm.family.name, vlm.name, vlm.device, vlm.dtype) == ("phi4-rv", "checkpoint", CPU, torch.float32)
    assert not any(p.requires_grad for p in vlm.model.parameters())
    assert not vlm.model.training
    assert vlm.ask(RED, "Which colour?", max_tokens=3).prompt_tokens > 0


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        (TINY, "folder", "checkpoint"),
        (str(TINY), "folder", "checkpoint"),
        ("owner/some-model", "hub", "some-model"),
        ("http://127.0.0.1:8000/v1/", "server", "127.0.0.1:8000"),
        ("https://models.example/v1", "server", "models.example"),
    ],
)
def test_what_a_source_is(source, kind, name):
    parsed = parse_source(source)
    assert (parsed.kind, parsed.name) == (kind, name)


def test_the_hubs_own_page_of_a_model_is_its_id():
    from huggingface_hub.constants import ENDPOINT

    parsed = parse_source(f"{ENDPOINT}/owner/some-model/tree/main")
    assert (parsed.kind, parsed.repo) == ("hub", "owner/some-model")
    with pytest.raises(LoadError, match="owner/name"):
        parse_source(f"{ENDPOINT}/owner")


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        ("", LoadError, "empty source"),
        ("no-such-model", LoadError, "'nano'"),
        ("./no/such/folder", LoadError, "no folder"),
        ("ftp://host/model", LoadError, "http"),
        ("http:///v1", LoadError, "http"),
        (7, InputError, "type int"),
        (None, InputError, "type NoneType"),
    ],
)
def test_what_is_no_source(source, error, says):
    with pytest.raises(error, match=says):
        workbench.load(source)


def test_files_instead_of_folders(folder):
    pickled = folder / "pytorch_model.bin"
    pickled.write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match="pickle"):
        workbench.load(pickled)
    with pytest.raises(LoadError, match="the folder that holds"):
        workbench.load(folder / "config.json")


def test_the_hub_without_a_network(monkeypatch):
    with pytest.raises(LoadError, match=r"'nobody/nothing-here'.*pass its folder"):
        workbench.load("nobody/nothing-here")


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    from huggingface_hub import constants, utils

    asked = []

    class Session:
        def head(self, url, timeout):
            asked.append(timeout)
            raise ConnectionError("no route")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(utils, "get_session", Session)
    with pytest.raises(LoadError, match="cannot be reached, and 'nobody/nothing-here' is not in its cache"):
        workbench.load("nobody/nothing-here")
    assert asked == [sources.CONNECTING]


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("RepositoryNotFoundError", "spelling"),
        ("GatedRepoError", "terms"),
        ("RevisionNotFoundError", "branch"),
        ("LocalEntryNotFoundError", "pass its folder"),
    ],
)
def test_what_the_hub_says_becomes_advice(kind, advice):
    from huggingface_hub import errors

    cls = getattr(errors, kind)
    error = hub_error("owner/name", cls.__new__(cls, "first line\nsecond line"))  # __init__ wants a response
    assert advice in error.fix
    assert kind in error.given


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub with the tiny checkpoint as owner/tiny; returns the names of the files that were fetched."""
    import fnmatch

    import huggingface_hub
    from huggingface_hub.utils import SafetensorsFileMetadata, SafetensorsRepoMetadata
    from huggingface_hub.utils import TensorInfo as HubTensor

    there = Path(shutil.copytree(TINY, tmp_path / "hub"))
    shard(there)
    (there / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (there / "modeling_phi4_visionr.py").write_text("raise SystemExit")
    here, fetched = tmp_path / "snapshot", []
    here.mkdir()

    def snapshot(repo, *, revision, allow_patterns, **_):
        assert (repo, revision) == ("owner/tiny", "abc")
        for path in there.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, here / path.name)
                fetched.append(path.name)
        return str(here)

    def headers(repo, revision):
        files = {
            path.name: SafetensorsFileMetadata(
                metadata={},
                tensors={
                    name: HubTensor(dtype=t.dtype, shape=list(t.shape), data_offsets=(0, t.nbytes))
                    for name, t in read_header(path).items()
                },
            )
            for path in there.glob("*.safetensors")
        }
        return SafetensorsRepoMetadata(metadata={}, sharded=True, weight_map={}, files_metadata=files)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", headers)
    return fetched


def test_a_model_from_the_hub(hub):
    vlm = workbench.load("owner/tiny", revision="abc")
    assert (vlm.source, vlm.name) == ("owner/tiny", "tiny")
    assert {"model-00001-of-00002.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(hub)
    assert not [name for name in hub if name.endswith((".bin", ".py"))]
    assert reply(vlm) == reply(workbench.load(TINY))


def test_a_plan_for_the_hub_fetches_no_weights(hub, monkeypatch):
    assert workbench.memory_plan("owner/tiny", revision="abc").total_parameters == 308_960
    monkeypatch.setattr(plan_module, "available_memory", lambda device: 1_000_000)
    with pytest.raises(OutOfMemoryError):
        workbench.load("owner/tiny", revision="abc")
    assert hub
    assert not [name for name in hub if name.endswith(".safetensors")]


# -- damaged folders -------------------------------------------------------------------------------


def test_a_folder_without_config(folder):
    (folder / "config.json").unlink()
    with pytest.raises(LoadError, match=r"no config\.json"):
        workbench.load(folder)


@pytest.mark.parametrize("text", ["{broken", "[]", '{"hidden_size": 4}', '{"model_type": 7}'])
def test_a_config_that_is_none(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(LoadError, match=r"config\.json"):
        workbench.load(folder)


def test_an_unknown_type_and_remote_code(folder):
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "no-such-type"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match=r"'no-such-type'.*trust_remote_code=True"):
        workbench.load(folder)
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError, match="upgrade transformers"):
        workbench.load(folder)


def test_remote_code_is_not_run_unasked(folder, tmp_path):
    """Python files beside the checkpoint are left alone, for the config, the model and the processor."""
    config = json.loads((folder / "config.json").read_text())
    ran = tmp_path / "ran"
    for name in ("modeling_phi4_visionr", "processing_phi4_visionr"):
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    assert reply(workbench.load(folder))
    config["model_type"] = "no-such-type"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(LoadError):
        workbench.load(folder)
    assert not ran.exists()


def test_a_text_model_is_refused(folder):
    (folder / "config.json").write_text('{"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2}')
    with pytest.raises(LoadError, match="takes no pictures"):
        workbench.load(folder)


def test_no_weights_and_only_pickle(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        workbench.load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match=r"only as pickle \(pytorch_model\.bin\)"):
        workbench.load(folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1000],  # truncated
        lambda data: data + b"xx",  # grown
        lambda data: data[:4],  # not even a length
        lambda data: b"\xff" * 8 + data[8:],  # an absurd length
        lambda data: data[:8] + b"{" + data[9:].replace(b"}", b"]", 1),  # a broken header
        lambda data: b"<html>not found</html>",
        lambda data: b"",
        lambda data: (
            data[:8] + data[8:4000].replace(b'"F32"', b'"F16"', 1) + data[4000:]
        ),  # sizes that disagree
    ],
)
def test_a_corrupt_file_is_named(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*download"):
        workbench.load(folder)


def shard(folder: Path) -> list[str]:
    """Cut the checkpoint into two shards with an index; returns the tensors' names."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return names


def test_shards_give_the_same_model(folder):
    whole = reply(workbench.load(TINY))
    shard(folder)
    assert reply(workbench.load(folder)) == whole


def test_a_missing_a_corrupt_and_an_incomplete_shard(folder):
    names = shard(folder)
    second = folder / "model-00002-of-00002.safetensors"
    data = second.read_bytes()
    second.unlink()
    with pytest.raises(CheckpointError, match="1 of 2 shards missing.*model-00002-of-00002"):
        workbench.load(folder)
    second.write_bytes(data[:-4])
    with pytest.raises(CheckpointError, match="model-00002-of-00002.safetensors is corrupt"):
        workbench.load(folder)
    second.write_bytes(data)
    kept = load_file(second)
    lost = names[1]
    del kept[lost]
    save_file(kept, second, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=lost.replace(".", r"\.")):
        workbench.load(folder)


@pytest.mark.parametrize(
    "index", ["{}", "[]", "nothing", '{"weight_map": {"a": "../b.safetensors"}}', '{"weight_map": 1}']
)
def test_an_index_that_is_none(folder, index):
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match="index"):
        workbench.load(folder)


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_tensors_that_do_not_fit_the_architecture(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "model.mm_projector.2.weight"
    if change == "missing":
        del tensors[name]
    elif change == "extra":
        name = "model.extra.weight"
        tensors[name] = torch.zeros(3)
    else:
        tensors[name] = torch.zeros(3, 3)
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        workbench.load(folder)


# -- other families, through Transformers' own classes ----------------------------------------------


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    return build("gemma3", tmp_path_factory.mktemp("gemma"))


def test_another_family_loads_and_answers(gemma):
    vlm = workbench.load(gemma)
    assert vlm.family.name == "gemma3"
    answer = vlm.ask(RED, "What is in this picture?", max_tokens=3)
    assert answer.image_tokens > 0
    assert answer.answer_tokens > 0


@pytest.mark.parametrize("change", ["missing", "shape"])
def test_another_family_with_holes_is_refused(gemma, tmp_path, change):
    folder = Path(shutil.copytree(gemma, tmp_path / "holes"))
    tensors = load_file(folder / "model.safetensors")
    name = next(n for n in tensors if "multi_modal_projector" in n and tensors[n].dim() == 2)
    if change == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(2, 2)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="multi_modal_projector"):
        workbench.load(folder)


def test_a_folder_without_a_processor(gemma, tmp_path):
    folder = Path(shutil.copytree(gemma, tmp_path / "bare"))
    for name in (
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ):
        (folder / name).unlink()
    with pytest.raises(LoadError, match="processor"):
        workbench.load(folder)


def test_a_family_that_nobody_knows():
    with pytest.raises(InputError, match=r"family='nope'.*'phi4-rv'"):
        workbench.load(TINY, family="nope")


# -- the same handle -----------------------------------------------------------------------------------


def test_loading_twice_gives_the_same_handle():
    first = workbench.load(TINY)
    assert workbench.load(str(TINY)) is first
    assert workbench.load(TINY, device="cpu", attention="sdpa") is first  # what "auto" stands for here
    assert workbench.load(TINY, attention="eager") is not first
    assert workbench.load(TINY, dtype="bfloat16") is not first


def test_unload_frees_and_the_next_load_is_new(folder):
    import weakref

    first = workbench.load(folder, dtype="bfloat16")
    weights = weakref.ref(first.model)
    first.unload()
    gc.collect()
    assert weights() is None
    with pytest.raises(WorkbenchError, match=r"workbench\.load\(.*dtype='bfloat16'\)"):
        first.ask(RED, "Which colour?")
    second = workbench.load(folder, dtype="bfloat16")
    assert second is not first
    assert second.loaded


def test_a_handle_that_nobody_holds_frees_its_memory(folder):
    import weakref

    model = weakref.ref(workbench.load(folder).model)
    gc.collect()
    assert model() is None


def test_a_checkpoint_that_changed_is_loaded_anew(folder):
    first = workbench.load(folder)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns + 10**9
    os.utime(folder / "model.safetensors", ns=(stamp, stamp))
    assert workbench.load(folder) is not first


def test_two_threads_load_one_model(folder):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        handles = list(pool.map(lambda _: workbench.load(folder, progress=False), range(3)))
    assert handles[0] is handles[1] is handles[2]


# -- device, precision, attention ----------------------------------------------------------------------


def test_a_device_that_is_not_here():
    with pytest.raises(LoadError, match="workbench doctor"):
        pick_device("cuda:7")
    with pytest.raises(LoadError, match="'auto', 'cpu'"):
        pick_device("warp")
    assert pick_device("cpu") == CPU


@pytest.mark.parametrize(
    ("asked", "device", "stored", "parameters", "expected"),
    [
        ("auto", "cpu", torch.bfloat16, 10**7, torch.float32),
        ("auto", "cpu", torch.bfloat16, 15 * 10**9, torch.bfloat16),
        ("auto", "cpu", torch.float16, 15 * 10**9, torch.bfloat16),
        ("auto", "mps", torch.float16, 15 * 10**9, torch.float16),
        ("auto", "cpu", torch.float32, 10**9, torch.bfloat16),
        ("fp16", "cpu", torch.float32, 10**7, torch.float16),
        (torch.bfloat16, "cpu", torch.float32, 10**7, torch.bfloat16),
    ],
)
def test_the_precision_that_auto_stands_for(asked, device, stored, parameters, expected):
    assert pick_dtype(asked, torch.device(device), stored=stored, parameters=parameters) == expected


@pytest.mark.parametrize("dtype", ["int8", "float", torch.int64])
def test_a_precision_that_is_none(dtype):
    with pytest.raises(InputError, match="bfloat16"):
        workbench.load(TINY, dtype=dtype)


def test_attention_is_what_was_asked_for():
    assert workbench.load(TINY).model.config._attn_implementation == "sdpa"
    eager = workbench.load(TINY, attention="eager")
    assert eager.model.config._attn_implementation == "eager"
    with pytest.raises(InputError, match="flex_attention"):
        workbench.load(TINY, attention="slow")
    with pytest.raises(CapabilityError, match="CUDA"):
        pick_attention("flash_attention_2", CPU)


def test_the_image_budget(tmp_path):
    large = Image.new("RGB", (300, 300))
    vlm = workbench.load(TINY, image_tokens=16)
    assert 0 < vlm.ask(large, "What?", max_tokens=1).image_tokens <= 16
    floor = workbench.load(TINY, image_tokens=(30, 40))
    assert 30 <= floor.ask(RED, "What?", max_tokens=1).image_tokens <= 40
    for wrong in (0, -1, 2.5, (5, 2), (1, 2, 3), "many"):
        with pytest.raises(InputError, match="image_tokens"):
            workbench.load(TINY, image_tokens=wrong)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"offload": "moon"}, InputError, "'cpu' or 'disk'"),
        ({"offload": "cpu"}, CapabilityError, "CUDA"),
        ({"offload": "disk", "quantize": "int8"}, CapabilityError, "one of the two"),
        ({"revision": "main"}, InputError, "Hub id"),
        ({"model": "x"}, InputError, "server"),
        ({"api_key": "x"}, InputError, "server"),
    ],
)
def test_options_that_do_not_go_together(options, error, says):
    with pytest.raises(error, match=says):
        workbench.load(TINY, **options)


def test_offload_to_disk_gives_the_same_reply(monkeypatch):
    whole = reply(workbench.load(TINY))
    monkeypatch.setattr(load_module, "_room", lambda made: 700_000)
    vlm = workbench.load(TINY, offload="disk")
    assert "disk" in vlm.model.hf_device_map.values()
    assert vlm.device == CPU
    assert reply(vlm) == whole


# -- what does not fit ------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_with_the_plan(monkeypatch, tmp_path):
    new = shutil.copytree(TINY, tmp_path / "tiny")  # a model that is loaded already is not refused
    monkeypatch.setattr(plan_module, "available_memory", lambda device: 5_000_000)
    with pytest.raises(OutOfMemoryError) as caught:
        workbench.load(new, device="cpu")
    message = str(caught.value)
    assert "float32 needs" in message
    assert "dtype='bfloat16'" in message  # the plan's table, and the call that fits
    assert "force=True" in message
    assert workbench.load(new, force=True).loaded
    assert workbench.load(new, dtype="bfloat16").loaded


def test_memory_that_runs_out_while_loading(monkeypatch):
    def full(*_, **__):
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1"
        )

    monkeypatch.setattr(
        build_module, "model_class", lambda *_, **__: type("Full", (), {"from_pretrained": full})
    )
    with pytest.raises(OutOfMemoryError, match="ran out of memory on cpu while it was loaded"):
        workbench.load(TINY, attention="eager", dtype="float16")


def test_room_in_a_container(tmp_path):
    assert container_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("300\n")
    assert container_room(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 250\ninactive_file 50\n")
    assert container_room(tmp_path) == 750


# -- the bar ----------------------------------------------------------------------------------------------


def test_the_bar_names_model_and_shards_and_can_be_hidden(folder, monkeypatch, capfd):
    monkeypatch.setattr(build_module, "_BAR_DELAY", 0)
    shard(folder)
    vlm = workbench.load(folder)
    assert "Loading model (2 shards)" in capfd.readouterr().err
    vlm.unload()
    workbench.load(folder, progress=False)
    assert "Loading" not in capfd.readouterr().err


def test_every_tensor_is_read_before_the_model_is_handed_out():
    """A tower left at random would run and see nothing."""
    config = model_config(TINY)
    model = build_model(TINY, config, dtype=torch.float32, attention="sdpa", device_map={"": "cpu"})
    stored = load_file(TINY / "model.safetensors")
    assert sorted(p.double().sum().item() for p in model.state_dict().values()) == pytest.approx(
        sorted(t.double().sum().item() for t in stored.values())
    )


def test_the_user_says_how_a_checkpoint_thinks(tmp_path):
    folder = build("general", tmp_path / "general")
    plain = workbench.load(folder, device="cpu")
    assert plain.modes == (Mode.AUTO,)
    assert plain.modes.how("think").startswith("not available")
    told = workbench.load(folder, device="cpu", thought=("A:", "B:"), template={"style": "short"})
    assert told is not plain
    assert told.family.thought == ("A:", "B:")
    assert told.family.modes[Mode.AUTO].template == {"style": "short"}
    assert told.load_options["thought"] == ("A:", "B:")
    with pytest.raises(InputError, match="thought='A'"):
        workbench.load(folder, thought="A")
    switched = workbench.load(build("general-switch", tmp_path / "switch"), device="cpu")
    assert switched.modes == tuple(Mode)
    assert "enable_thinking=False" in switched.modes.how("nothink")
    answer = switched.ask(None, "Why?", mode="think", max_tokens=4)
    assert switched.tokenizer.decode(answer.reply_ids[:1]) == "<think>"


@pytest.mark.parametrize("part", [None, "vision_config"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_attn_implementation", "kernels-community/anything"),  # would be fetched and run
        ("attn_implementation", "flash_attention_2"),  # common in published configs
        ("_experts_implementation", "nonsense"),
        ("return_dict", False),
    ],
)
def test_what_a_config_says_about_loading_never_beats_the_caller(tmp_path, part, key, value):
    folder = shutil.copytree(TINY, tmp_path / "steered")
    config = json.loads((folder / "config.json").read_text())
    (config if part is None else config[part])[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    vlm = workbench.load(folder, device="cpu", attention="sdpa", progress=False)
    assert vlm.model.config._attn_implementation == "sdpa"
    assert len(vlm.ask(None, "Hi", max_tokens=2).reply_ids) == 2


@pytest.mark.parametrize("name", ["phi4-rv", "qwen2.5-vl"])
def test_a_known_family_without_its_chat_template_is_refused(tmp_path, name):
    folder = tmp_path / "bare"
    _ = shutil.copytree(TINY, folder) if name == "phi4-rv" else build(name, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(LoadError, match=rf"no chat template.*{name} .*chat_template.jinja"):
        workbench.load(folder, device="cpu")


@pytest.fixture
def lora(tmp_path):
    """A LoRA adapter of the tiny checkpoint, as PEFT saves it."""
    peft = pytest.importorskip("peft")
    model = build_model(
        TINY, model_config(TINY), dtype=torch.float32, attention="sdpa", device_map={"": "cpu"}
    )
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["qkv_proj"]))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0.0, 0.5, generator=generator)
    wrapped.peft_config["default"].base_model_name_or_path = str(TINY)
    wrapped.save_pretrained(tmp_path / "adapter")
    inputs = {"input_ids": torch.arange(5, 25)[None]}
    return tmp_path / "adapter", inputs, wrapped(**inputs).logits.detach()


def test_an_adapters_folder_is_loaded_onto_its_base(lora):
    folder, inputs, expected = lora
    plain = workbench.load(TINY, device="cpu", progress=False)
    before = plain.model(**inputs).logits
    for vlm in (workbench.load(folder, device="cpu"), workbench.load(TINY, device="cpu", adapter=folder)):
        assert vlm is not plain
        torch.testing.assert_close(vlm.model(**inputs).logits, expected)
        assert not any(parameter.requires_grad for parameter in vlm.model.parameters())
        assert vlm.ask(None, "Hi", max_tokens=2, capture=True).attention.layers
    assert not torch.allclose(before, expected)
    torch.testing.assert_close(plain.model(**inputs).logits, before)
    assert workbench.load(folder, device="cpu") is workbench.load(TINY, device="cpu", adapter=folder)


def test_adapters_that_cannot_be_used(lora, tmp_path):
    folder, _, _ = lora
    with pytest.raises(InputError, match="adapter_config.json"):
        workbench.load(TINY, adapter=tmp_path)
    other = tmp_path / "nano"
    with pytest.raises(CheckpointError, match="does not fit this model|has room for"):
        workbench.load("nano", device="cpu", adapter=folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    shutil.copytree(folder, other)
    (other / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": None}))
    with pytest.raises(LoadError, match=r"names no base model.*load\(base, adapter=folder\)"):
        workbench.load(other)
    (other / "adapter_config.json").write_text(json.dumps(settings))
    (other / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no pickle"):
        workbench.load(other, device="cpu")
