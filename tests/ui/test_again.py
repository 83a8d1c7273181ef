"""Hide and ask again, with the built-in model: both answers, and probabilities that belong to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_explorer import page_data

import workbench
from workbench import synth
from workbench.interpret.scoring import Scorer
from workbench.interpret.targets import whole_reply
from workbench.ui import AttentionExplorer


@pytest.fixture(scope="module")
def explorer() -> AttentionExplorer:
    """Of a drawn screen, with its first piece of evidence hidden once."""
    vlm = workbench.load()
    sample = synth.sample("gui_links", 1, seed=7)[0]
    answer = vlm.ask(sample.images, sample.question, mode="think", capture=True, max_tokens=60)
    made = AttentionExplorer(answer, elements=sample.elements)
    made.hide(sample.boxes[0])
    return made


def test_the_probabilities_are_those_of_the_replies(explorer: AttentionExplorer) -> None:
    vlm, answer, (one,) = workbench.load(), explorer.answer, explorer.again
    altered = one.found.after.images
    assert np.any(np.asarray(altered[0]) != np.asarray(answer.images[0]))
    scorer = Scorer(vlm, answer, whole_reply(answer))
    assert one.first[0] == pytest.approx(np.exp(scorer.base), rel=1e-3)
    assert one.first[1] == pytest.approx(np.exp(float(scorer([list(altered)])[0])), rel=1e-3)
    for probability in (*one.first, *one.second):
        assert 0 <= probability <= 1 + 1e-6
    if one.found.after.reply_ids != answer.reply_ids:
        assert len(one.rows) == 2
        assert one.second[1] > one.first[1] * 0.9  # what is written greedily is likely with its own picture
    else:
        assert len(one.rows) == 1


def test_a_view_and_a_saved_page_get_both_answers_and_the_altered_picture(
    explorer: AttentionExplorer, tmp_path: Path
) -> None:
    assert explorer.asked == len(explorer.again) == 1
    told, (png,) = explorer._answered({"kind": "again", "number": 0})
    assert png.startswith(b"\x89PNG")
    assert json.loads(json.dumps(told["told"])) == told["told"]
    assert told["told"]["rows"][0]["text"] == explorer.answer.text
    data = page_data(explorer.save_html(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert data["again"][0]["verdict"] == explorer.again[0].verdict
    assert explorer.again[0].verdict in explorer.static() or "&#" in explorer.static()


def test_the_strongest_patch_of_a_drawn_screen_is_named(explorer: AttentionExplorer) -> None:
    (picture,) = explorer.info["pictures"]
    named = {name for name in picture["names"] if "“" in name}
    shown = {element.name for element in explorer._maps.elements if element.name}
    assert named
    assert {name.split("“")[1].rstrip("”") for name in named} <= shown
