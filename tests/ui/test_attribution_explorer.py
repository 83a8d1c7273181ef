"""The explorer of attributions, from Python: what it tells a view, its film, its page, what it refuses."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import attribution_records as records
import numpy as np
import pytest
from PIL import Image

from workbench.errors import InputError, WorkbenchError
from workbench.interpret.attribution import Attribution
from workbench.interpret.faithfulness import Faithfulness
from workbench.synth.sample import Element
from workbench.ui import AttributionExplorer
from workbench.ui.widget import STATIC_VARIABLE


@pytest.fixture
def shown() -> AttributionExplorer:
    return AttributionExplorer(*records.both())


def bytes_of(shown: AttributionExplorer, method: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(shown.info["methods"][method]["values"]), np.int8)


def test_it_opens_at_the_best_map_with_the_first_region_hidden(shown: AttributionExplorer) -> None:
    assert (shown.method, shown.kind, shown.count) == ("occlusion", "deletion", 1)
    assert shown.info["headline"] == "1 of 2 maps is better than random: occlusion."
    for name, check in shown.checks.items():
        told = shown.info["methods"][name]
        assert told["verdict"] == check.verdict
        assert told["counts"] == [0, 1, 3, 6, 12, 18, 21, 23, 24]
        for baseline in check.baselines:
            own = check.curves[baseline]["map"]
            assert told["curves"][baseline]["deletion"]["map"] == list(own.deletion)
            assert told["curves"][baseline]["insertion"]["map"] == list(own.insertion)


def test_the_film_follows_the_order_that_was_checked(shown: AttributionExplorer) -> None:
    """What is hidden at a point of the curve, scored again, is the curve's own number."""
    for method in shown.attributions:
        told = shown.info["methods"][method]
        places = np.array(told["places"])
        for at, count in enumerate(told["counts"]):
            for baseline in shown.info["baselines"]:
                hidden, alone = places < count, places >= count
                for kind, keep in (("deletion", ~hidden), ("insertion", ~alone)):
                    expected = records.score(keep[None], baseline)[0]
                    assert told["curves"][baseline][kind]["map"][at] == pytest.approx(expected)


def test_the_picture_of_the_film_is_what_the_model_was_given(shown: AttributionExplorer) -> None:
    picture = np.asarray(records.answer().images[0])
    shown.baseline, shown.count = "white", 24
    assert np.asarray(shown.altered()).min() == 255
    assert np.asarray(shown.altered(1)).min() == 255
    shown.kind = "insertion"
    assert (np.asarray(shown.altered()) == picture).all()
    shown.kind, shown.count = "deletion", 3
    white = (np.asarray(shown.altered()) != picture).any(axis=2)
    top = np.argsort(-records.WORTH)[:3]
    for cell in range(12):
        row, col = divmod(cell, 4)
        there = white[20 * row : 20 * row + 20, 20 * col : 20 * col + 20]
        assert there.any() == (cell in top)


def test_maps_of_one_unit_share_one_scale() -> None:
    maps = [
        records.attribution(),
        records.attribution("shapley_sampling", records.WORTH / 2),
        records.attribution("chefer", records.WORTH / 100),
    ]
    shown = AttributionExplorer(maps, [records.check(one) for one in maps])
    largest = {name: int(bytes_of(shown, name).max()) for name in shown.attributions}
    assert largest == {"occlusion": 127, "shapley_sampling": 64, "chefer": 127}
    scales = [shown.info["methods"][name]["scale"] for name in shown.attributions]
    assert scales == ["colours to ±4, evidence (nats)"] * 2 + ["colours to ±0.04, relevance"]


def test_a_flat_map_has_no_strongest_cell() -> None:
    flat = records.attribution(values=np.zeros(24))
    shown = AttributionExplorer(flat, records.check(flat))
    assert not bytes_of(shown, "occlusion").any()
    assert shown.info["methods"]["occlusion"]["strongest"] == ["nothing on this picture"] * 2


def test_what_lies_under_the_strongest_cell_is_named() -> None:
    values = np.zeros(24)
    values[0] = -2.0
    made = records.attribution(values=values)
    on = Element((0.0, 0.0, 20.0, 20.0), "word", "News")
    shown = AttributionExplorer(made, records.check(made), elements=[on])
    assert shown.info["methods"]["occlusion"]["strongest"][0] == "strongest on “News” (-2)"


@pytest.mark.parametrize(("offset", "name"), [(0, "think"), (5, "answer"), (8, "end")])
def test_a_control_token_is_named(offset: int, name: str) -> None:
    target = records.answer().prompt_tokens + offset
    made = records.attribution(target=target)
    shown = AttributionExplorer(made, records.check(made))
    assert shown.info["target"] == f"token {target} ({name})"


def test_records_from_disk_are_as_good(shown: AttributionExplorer, tmp_path: Path) -> None:
    maps, checks = records.both()
    for one, check in zip(maps, checks, strict=True):
        one.save(tmp_path / one.method)
        check.save(tmp_path / f"{one.method}.json")
    again = AttributionExplorer(
        [Attribution.load(tmp_path / one.method) for one in maps],
        [Faithfulness.load(tmp_path / f"{one.method}.json") for one in maps],
    )
    assert again.info == shown.info
    assert "better than random" in again.static()


def test_the_static_form_says_where_the_film_is(
    shown: AttributionExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown.kind, shown.count = "insertion", 2
    page = shown.static()
    assert "2 of 24 regions shown alone, log-probability about -" in page
    assert page.count("<img") == 3
    assert "<img src=x" not in page
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    assert set(shown._repr_mimebundle_()) == {"text/html", "text/plain"}


def test_the_page_carries_all_and_no_text_ends_its_script(shown: AttributionExplorer, tmp_path: Path) -> None:
    page = shown.save_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert page.count("</script>") == 1
    assert "<img src=x" not in page


def test_a_view_gets_every_picture_with_what_its_hidden_regions_show(shown: AttributionExplorer) -> None:
    sent: list[tuple[object, list[bytes]]] = []
    shown.send = lambda content, buffers=None: sent.append((content, buffers))
    shown._heard(shown, {"kind": "pictures"}, [])
    shown._heard(shown, {"kind": "another"}, [])
    ((content, files),) = sent
    assert content == {"kind": "pictures"}
    assert len(files) == 2 * (1 + 3)


def test_choices_that_are_not_there_are_refused(shown: AttributionExplorer) -> None:
    for name, value, says in (
        ("method", "rollout", "occlusion"),
        ("baseline", "pink", "mean"),
        ("count", 25, "24 regions"),
        ("image", 2, "0 to 1"),
    ):
        with pytest.raises(InputError, match=says):
            setattr(shown, name, value)
    with pytest.raises(InputError, match="image=7"):
        shown.altered(7)


def refused(case: str) -> tuple[object, object]:
    """Attributions and checks that cannot be shown."""
    maps, checks = records.both()
    one, check = maps[0], checks[0]
    other = replace(one.answer, token_ids=tuple(i + 1 for i in one.answer.token_ids))
    small = replace(one.answer, images=(Image.new("RGB", (8, 8)), one.answer.images[1]))
    bare = replace(one.answer, images=())
    alone = {name: {"map": named["map"]} for name, named in check.curves.items()}
    return {
        "an answer": (one.answer, check),
        "an attribution as check": (one, one),
        "none": ([], []),
        "a check too few": (maps, checks[:1]),
        "swapped checks": (maps, checks[::-1]),
        "another answer": ([one, replace(maps[1], answer=other)], checks),
        "another target": ([one, records.attribution("chefer", target="thought")], checks),
        "one method twice": ([one, one], [check, check]),
        "the check of another answer": (one, replace(check, full=-7.0)),
        "no curves": (one, replace(check, curves={})),
        "no random orders": (one, replace(check, curves=alone)),
        "no settings": (one, replace(check, settings={})),
        "other regions": (one, replace(check, settings={"regions": (2, 2), "seed": 0})),
        "other baselines": (maps, [check, replace(checks[1], curves={"mean": checks[1].curves["mean"]})]),
        "a picture of another size": (replace(one, answer=small), check),
        "an answer without its pictures": (replace(one, answer=bare), check),
    }[case]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("an answer", "Attribution"),
        ("an attribution as check", r"attribution\.check\(\)"),
        ("none", "0 maps"),
        ("a check too few", "2 maps and 1 checks"),
        ("swapped checks", "same order"),
        ("another answer", "several answers"),
        ("another target", "one target"),
        ("one method twice", "several maps of one method: occlusion"),
        ("the check of another answer", "-7.00 nats"),
        ("no curves", "without curves"),
        ("no random orders", "without its curves"),
        ("no settings", "settings"),
        ("other regions", "24 regions"),
        ("other baselines", "same baselines"),
        ("a picture of another size", "8x8"),
        ("an answer without its pictures", "80x60"),
    ],
)
def test_records_that_do_not_belong_together_are_refused(case: str, says: str) -> None:
    with pytest.raises(WorkbenchError, match=f"(?s){says}"):
        AttributionExplorer(*refused(case))  # type: ignore[arg-type]
