"""The record of an attribution: saved, loaded and shown without torch; what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from attribution_cases import record

import workbench
from workbench import synth
from workbench.errors import CapabilityError, InputError
from workbench.interpret import METHODS, Attribution, attribute
from workbench.interpret.regions import make_regions
from workbench.interpret.targets import make_target
from workbench.models.server import ServerVLM


def by_hand(division="patches", **fields) -> Attribution:
    answer = record((2, 3), (1, 2), size=(30, 20))
    divided = make_regions(answer, division)
    values = np.linspace(-1, 2, len(divided))
    return Attribution(
        **{
            "answer": answer,
            "method": "occlusion",
            "target": make_target(answer),
            "maps": divided.maps(values, answer.layout.images),
            "tokens": np.arange(answer.prompt_tokens) / 10,
            "delta": -0.25,
            "values": values,
            "regions": divided,
            "score": -1.5,
            "seconds": 0.5,
            "forwards": 9,
            "settings": {"baseline": "mean", "seed": 0},
            **fields,
        }
    )


# few steps, so that tests are fast: their completeness gap is large
pytestmark = pytest.mark.filterwarnings("ignore::workbench.interpret.attribution.CompletenessWarning")


@pytest.fixture(scope="module")
def asked():
    vlm = workbench.load()
    sample = synth.sample("read_sign", 1, seed=7)[0]
    return vlm, vlm.ask(sample.images, sample.question, mode="nothink")


@pytest.mark.parametrize("regions", ["patches", [(0, 0, 10, 10), (5, 5, 30, 20)]])
def test_a_record_survives_the_disk(tmp_path, regions) -> None:
    made = by_hand(regions)
    loaded = Attribution.load(made.save(tmp_path / "map"))
    for name in ("method", "target", "delta", "score", "seconds", "forwards", "settings"):
        assert getattr(loaded, name) == getattr(made, name), name
    for one, two in zip((*loaded.maps, loaded.tokens, loaded.values), (*made.maps, made.tokens, made.values)):
        np.testing.assert_array_equal(one, two)
    assert loaded.answer.token_ids == made.answer.token_ids
    assert loaded.regions.hidden_atoms(np.eye(len(made.regions), dtype=bool)).tolist() == (
        made.regions.hidden_atoms(np.eye(len(made.regions), dtype=bool)).tolist()
    )
    assert loaded.vlm is None
    without = by_hand(tokens=None, delta=None, values=None, regions=None, score=None)
    again = Attribution.load(without.save(tmp_path / "map"))
    assert (again.tokens, again.delta, again.values, again.regions) == (None, None, None, None)


def test_a_record_needs_no_torch(tmp_path) -> None:
    by_hand().save(tmp_path / "map")
    code = (
        "import sys\nfrom workbench.interpret import Attribution, METHODS\n"
        f"a = Attribution.load({str(tmp_path / 'map')!r})\na._repr_html_(), repr(a), a.top(3)\n"
        "print({'torch', 'transformers', 'captum'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "light", done.stderr


def test_a_damaged_record_is_refused(tmp_path) -> None:
    folder = by_hand().save(tmp_path / "map")
    path = folder / "record.json"
    facts = json.loads(path.read_text())
    del facts["facts"]["target"]["sequences"]
    path.write_text(json.dumps(facts))
    with pytest.raises(InputError, match="damaged"):
        Attribution.load(folder)
    with pytest.raises(InputError):
        Attribution.load(tmp_path / "nothing")


def test_what_is_shown_is_escaped() -> None:
    html = by_hand()._repr_html_()
    assert "red &lt;b&gt;" in html
    assert "<b>occlusion</b>" in html
    assert html.count("<svg") == 2
    assert "red <b>”" in repr(by_hand())


def test_the_cells_that_speak_most_come_first() -> None:
    (region, value), *_ = by_hand().top(2)
    assert (region.image, value) == (1, 2.0)
    assert region.box == (15.0, 0.0, 30.0, 20.0)


def test_maps_must_lie_on_the_answers_grids() -> None:
    with pytest.raises(InputError, match="one per picture"):
        by_hand(maps=(np.zeros((2, 2)), np.zeros((1, 2))))
    with pytest.raises(InputError, match="tokens of shape"):
        by_hand(tokens=np.zeros(3))
    with pytest.raises(InputError, match="image=2"):
        by_hand().map(2)


def test_a_loaded_record_asks_for_its_model(tmp_path, asked) -> None:
    vlm, answer = asked
    made = attribute(
        vlm, answer, method="integrated_gradients", regions=(2, 2), steps=4, seed=3, progress=False
    )
    loaded = Attribution.load(made.save(tmp_path / "map"))
    with pytest.raises(InputError, match="pass vlm=vlm"):
        loaded.check()
    with pytest.raises(InputError, match="workbench.load"):
        loaded.again()
    again = loaded.again(vlm)
    np.testing.assert_array_equal(again.maps[0], made.maps[0])
    assert again.settings == made.settings


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "magic"}, "one of 'input_x_gradient'"),
        ({"method": ["occlusion"]}, "one of"),
        ({"baseline": "pink"}, "one of 'mean', 'blur', 'white'"),
        ({"regions": "stripes"}, "superpixels"),
        ({"target": 0}, "positions of the reply"),
        ({"target": 10**6}, "positions of the reply"),
        ({"batch_size": 0}, "at least 1"),
        ({"seed": -1}, "seed=-1"),
        ({"steps": 3}, "of: target, method"),
        ({"method": "integrated_gradients", "steps": 1}, "at least 2"),
        ({"method": "gradient_shap", "samples": 0}, "at least 1"),
        ({"method": "kernel_shap", "samples": 3}, "at least 42"),
        ({"method": "greedy", "width": 0}, "at least 1"),
        ({"method": "shapley_sampling", "regions": [(0, 0, 20, 20)]}, "at least two regions"),
        ({"regions": "superpixels", "superpixels": 1}, "at least 2"),
    ],
)
def test_arguments_that_cannot_be_are_refused(asked, arguments, words) -> None:
    with pytest.raises(InputError, match=words):
        attribute(*asked, **{"progress": False, **arguments})


@pytest.mark.parametrize("method", METHODS)
def test_answers_that_cannot_be_attributed_are_refused(asked, method) -> None:
    vlm, answer = asked
    server = ServerVLM.__new__(ServerVLM)
    server.name = "far-away"
    with pytest.raises(CapabilityError, match="server"):
        attribute(server, answer, method=method)
    with pytest.raises(InputError, match="an answer of 'other' with the model 'nano'"):
        attribute(vlm, replace(answer, model="other"), method=method)
    with pytest.raises(InputError, match="empty answer"):
        attribute(vlm, replace(answer, text="", token_ids=answer.prompt_ids), method=method)


def test_an_answer_about_no_picture_is_refused(asked) -> None:
    vlm, _ = asked
    with pytest.raises(InputError, match="no picture"):
        attribute(vlm, vlm.ask(None, "What is one plus one?", mode="nothink", max_tokens=4))


def test_two_pictures_have_two_maps(asked) -> None:
    vlm, _ = asked
    one, two = (synth.sample("read_sign", 1, seed=seed)[0] for seed in (7, 8))
    answer = vlm.ask([one.images[0], two.images[0]], one.question, mode="nothink", max_tokens=4)
    found = attribute(vlm, answer, target="reply", regions=(2, 2), progress=False)
    assert [part.shape for part in found.maps] == [(g.rows, g.cols) for g in answer.layout.images]
    assert found.values.shape == (8,)
