"""The record: saving, loading, damage, and how it shows itself."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest
from PIL import Image

from workbench.answer import Answer
from workbench.errors import InputError
from workbench.types import Mode, PatchGrid, Span, TokenLayout, Turn

RED = Image.new("RGB", (32, 16), (200, 10, 10))
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8))
GRIDS = (
    PatchGrid(0, 1, 2, 3, (32, 16), (0, 0, 32, 16), 2),
    PatchGrid(1, 3, 2, 9, (40, 48), (0, 0, 40, 48), 2),
)


def answer(**change) -> Answer:
    values = {
        "text": "pürple 😀",
        "thought": "red and\nblue",
        "mode": Mode.THINK,
        "p_think": 0.1 + 0.2,
        "prompt_tokens": 20,
        "image_tokens": 8,
        "thought_tokens": 3,
        "answer_tokens": 2,
        "seconds": 1 / 3,
        "seconds_to_first_token": 0.1,
        "stopped": "end",
        "token_ids": tuple(range(100, 128)),
        "spans": {"thought": Span(21, 24), "answer": Span(25, 27)},
        "layout": TokenLayout(20, GRIDS),
        "question": "What?",
        "images": (RED, NOISE),
        "history": (Turn("user", "Hi", (RED,)), Turn("assistant", "Hello", thought="hm", thinks=True)),
        "model": "tiny",
        "source": "here",
        "settings": {"max_tokens": 5, "seed": None},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Answer(**{**values, **change})


SERVER = {"p_think": None, "layout": None, "token_ids": (), "images": (), "history": (), "thought": None}
SERVER |= {"spans": {"thought": Span(0, 0), "answer": Span(0, 0)}}


@pytest.mark.parametrize("change", [{}, SERVER, {"stopped": "interrupted", "seconds_to_first_token": None}])
def test_a_saved_record_is_the_same(tmp_path, change):
    record = answer(**change)
    folder = record.save(tmp_path / "deep" / "record")
    loaded = Answer.load(folder)
    assert loaded == record
    for field in fields(Answer):
        assert type(getattr(loaded, field.name)) is type(getattr(record, field.name)), field.name
    assert hash(loaded) == hash(record)
    assert sorted(p.suffix for p in folder.iterdir()) == [".json", ".safetensors"]
    assert Answer.load(folder / "answer.json") == record


def test_loading_needs_no_torch(tmp_path):
    answer().save(tmp_path / "a")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "import workbench; a = workbench.Answer.load(sys.argv[1]); print(a); a._repr_html_()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True
    )
    assert "red and" in done.stdout


def test_saving_again_replaces(tmp_path):
    answer().save(tmp_path / "a")
    other = answer(text="green", token_ids=tuple(range(28)))
    other.save(tmp_path / "a")
    assert Answer.load(tmp_path / "a") == other
    assert len(list((tmp_path / "a").iterdir())) == 2


@pytest.mark.parametrize("fail_at", [1, 2])
def test_a_crash_leaves_the_old_record(tmp_path, monkeypatch, fail_at):
    answer().save(tmp_path / "a")
    calls = []
    replace_file = os.replace

    def crashes(*args):
        calls.append(args)
        if len(calls) == fail_at:
            raise OSError(28, "No space left on device")
        replace_file(*args)

    monkeypatch.setattr(os, "replace", crashes)
    with pytest.raises(OSError, match="No space"):
        answer(text="green", token_ids=(1,)).save(tmp_path / "a")
    monkeypatch.undo()
    assert Answer.load(tmp_path / "a") == answer()
    assert not list((tmp_path / "a").glob("*.tmp"))


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("mine")
    for name in ("file", "folder"):
        with pytest.raises(InputError, match="holds something else"):
            answer().save(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert answer().save(tmp_path / "empty")


def edit(folder, change):
    path = folder / "answer.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(version=99), "another format"),
        (lambda r: r.update(format="other"), "another format"),
        (lambda r: r.update(surprise=1), "surprise"),
        (lambda r: r.pop("thought"), "thought"),
        (lambda r: r.update(tensors="../../etc/x.safetensors"), "names the file"),
        (lambda r: r.update(tensors="gone.safetensors"), "No such file"),
        (lambda r: r.update(stopped="bored"), "stopped='bored'"),
        (lambda r: r.update(mode="fast"), "fast.*mode"),
        (lambda r: r.update(spans=3), "spans"),
        (lambda r: r.update(text=5), "text"),
        (lambda r: r.update(settings=[]), "settings"),
        (lambda r: r["spans"].update(answer=[0, 1e18]), "spans"),
        (lambda r: r["spans"].update(answer=[0, 10**9]), "positions of"),
        (lambda r: r["spans"].update(answer=[3, 1]), "positions of"),
        (lambda r: r.update(prompt_tokens=None), "a prompt of None tokens"),
        (lambda r: r.update(prompt_tokens=-1), "a prompt of -1 tokens"),
        (lambda r: r.update(prompt_tokens=10**9), "a prompt of 1000000000 tokens"),
        (lambda r: r["layout"]["images"][0].update(rows=10**5, cols=10**5), "a grid of"),
        (lambda r: r["layout"]["images"][0].update(image=7), "on image 7"),
        (lambda r: r["layout"]["images"][0].update(size=["a", 1]), "size"),
        (lambda r: r["layout"]["images"][0].pop("size"), "size"),
        (lambda r: r["history"][0].update(role="boss"), "role='boss'"),
        (lambda r: r["layout"].pop("images"), "images"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, change, message):
    folder = answer().save(tmp_path / "a")
    edit(folder, change)
    with pytest.raises(InputError, match=message):
        Answer.load(folder)


def test_damaged_files_are_refused(tmp_path):
    folder = answer().save(tmp_path / "a")
    tensors = next(folder.glob("*.safetensors"))
    good = tensors.read_bytes()
    for bad in (b"", good[:50], good[:-10]):
        tensors.write_bytes(bad)
        with pytest.raises(InputError, match="damaged"):
            Answer.load(folder)
    tensors.write_bytes(good)
    for bad in ("", "[]", "{", "\ufffe", "null"):
        (folder / "answer.json").write_text(bad)
        with pytest.raises(InputError, match="damaged|another format"):
            Answer.load(folder)
    with pytest.raises(InputError, match="No such file"):
        Answer.load(tmp_path / "nowhere")


def test_it_is_frozen_and_travels():
    record = answer()
    with pytest.raises(FrozenInstanceError):
        record.text = "other"
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record
    assert record != replace(record, text="other")
    with pytest.raises(InputError, match="stopped='done'"):
        answer(stopped="done")
    assert answer(mode="think").mode is Mode.THINK


def test_parts_of_the_sequence():
    record = answer()
    assert record.prompt_ids == tuple(range(100, 120))
    assert record.reply_ids == tuple(range(120, 128))
    assert [image.size for image in record.question_images] == [(40, 48)]
    assert record.turns[:2] == record.history
    assert record.turns[2] == Turn("user", "What?", (NOISE,))
    assert record.turns[3] == Turn("assistant", record.text, thought=record.thought, thinks=True)
    direct = {"thought": None, "mode": "auto", "spans": {"thought": Span(0, 0), "answer": Span(20, 27)}}
    assert answer(**direct).turns[3].thinks is None
    direct["spans"] = {"thought": Span(0, 0), "answer": Span(21, 27)}  # a token before it: told to be direct
    assert answer(**direct).turns[3].thinks is False
    assert answer(**SERVER, mode="auto").turns[-1].thinks is None
    assert answer(thought=None, mode="nothink").turns[3].thinks is False


EVIL = "<img src=x onerror=alert(1)></script><b>&"


@pytest.mark.parametrize("field", ["text", "thought", "question", "model"])
def test_html_escapes_everything(field):
    html = answer(**{field: EVIL})._repr_html_()
    assert "<img src=x" not in html
    assert "</script>" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;&lt;/script&gt;&lt;b&gt;&amp;" in html


def test_html_folds_the_thought_and_shows_the_pictures():
    html = answer()._repr_html_()
    folded = html[html.index("<details") : html.index("</details>")]
    assert "red and\nblue" in folded
    assert "open" not in folded.split(">")[0]
    assert "pürple 😀" in html.split("</details>")[1]
    assert html.count("data:image/png;base64,") == 2
    assert "<details" not in answer(thought=None)._repr_html_()


def test_plain_forms():
    record = answer()
    assert repr(record).startswith("Answer('pürple 😀', mode think, p_think 0.30, ")
    assert "\n" not in repr(record)
    assert str(record).splitlines()[0] == "Question: What?"
    assert "red and" in str(record)
    assert "interrupted" in repr(answer(stopped="interrupted"))
    assert "p_think" not in repr(answer(p_think=None))
    assert len(repr(answer(text="x" * 1000))) < 300
