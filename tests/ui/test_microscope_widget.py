"""The resolution microscope's widget, from Python: what it tells a view, its page, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from workbench.ablate import microscope
from workbench.ablate.resolution import FEEDINGS
from workbench.errors import InputError
from workbench.ui import ResolutionMicroscope
from workbench.ui.widget import STATIC_VARIABLE

IMAGE = Image.linear_gradient("L").resize((1200, 700)).convert("RGB")


@pytest.fixture(scope="module")
def shown() -> ResolutionMicroscope:
    return ResolutionMicroscope(microscope(IMAGE, budget=576), IMAGE, budgets=(256,))


def test_every_way_is_told_at_every_budget_with_its_costs(shown: ResolutionMicroscope) -> None:
    assert shown.info["budgets"] == [256, 576]
    for budget, record in shown.records.items():
        told = shown.info["readings"][str(budget)]
        assert [one["label"] for one in told] == list(FEEDINGS.values())
        assert [one["tokens"] for one in told] == [reading.feed.tokens for reading in record.readings]
        for one in told:
            assert one["replies"] == sorted(one["replies"])
            assert one["cache"][0] < one["cache"][-1]
    few, many = (sum(shown.info["readings"][budget][0]["prompt"]) for budget in ("256", "576"))
    assert few < many


def test_the_record_alone_is_enough(shown: ResolutionMicroscope) -> None:
    alone = ResolutionMicroscope(shown.record, budgets=(256,))
    assert not alone.info["picture"]
    assert alone.info["readings"] == shown.info["readings"]
    sent: list[object] = []
    alone.send = lambda content, buffers=None: sent.append(content)
    alone._heard(alone, {"kind": "picture"}, [])
    assert sent == []


def test_the_static_form_is_that_of_the_budget_that_is_shown(
    shown: ResolutionMicroscope, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = shown.static()
    shown.budget = 256
    assert "At 576 tokens" in before
    assert "At 256 tokens" in shown.static()
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    assert set(shown._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_the_page_carries_all_and_fetches_nothing(shown: ResolutionMicroscope, tmp_path: Path) -> None:
    text = shown.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")


def test_mistakes_are_told(shown: ResolutionMicroscope) -> None:
    with pytest.raises(InputError, match="microscope"):
        ResolutionMicroscope(IMAGE)
    with pytest.raises(InputError, match="10x10"):
        ResolutionMicroscope(shown.record, Image.new("RGB", (10, 10)))
    with pytest.raises(InputError, match="at least"):
        ResolutionMicroscope(shown.record, budgets=(1,))
    with pytest.raises(InputError, match="budget=7"):
        shown.budget = 7
