"""Records draw themselves, and a figure of the wrong record says what it wants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from workbench import viz
from workbench.answer import Answer
from workbench.attention import Attention, make_attention
from workbench.bench import Results
from workbench.errors import InputError
from workbench.interpret.attribution import Attribution
from workbench.interpret.targets import make_target
from workbench.interpret.thought import timeline
from workbench.names import later
from workbench.viz.style import Figure


def captured(thought: int = 2) -> Answer:
    """An answer of four tokens about one picture, with its attention."""
    attention = make_attention(grid=(3, 4), size=(40, 30), reply=4, thought=thought, seed=1)
    start = attention.layout.length
    return Answer(
        text="blue", thought="red", mode="think", p_think=0.9, prompt_tokens=start, image_tokens=12,
        thought_tokens=2, answer_tokens=2, seconds=0.1, seconds_to_first_token=0.1, stopped="end",
        token_ids=tuple(range(start + 4)), spans=attention.spans, layout=attention.layout,
        question="Which colour?", images=(Image.new("RGB", (40, 30), "white"),), captured=attention,
    )  # fmt: skip


def another() -> Answer:
    """Another answer on the same grid."""
    answer = captured()
    return replace(answer, token_ids=tuple(i + 1 for i in answer.token_ids))


def attributed(method: str = "occlusion") -> Attribution:
    answer = captured()
    values = np.linspace(-1, 2, 12).reshape(3, 4)
    return Attribution(answer=answer, method=method, target=make_target(answer), maps=(values,))


def title(drawn: Figure) -> str:
    return " ".join(drawn._suptitle.get_text().split())


def bar(drawn: Figure, panel: int = 1) -> str:
    return drawn.axes[panel].get_ylabel()


def test_an_answer_draws_what_its_own_tokens_looked_at_and_else_its_picture_and_words() -> None:
    answer = captured()
    drawn = answer.plot()
    assert bar(drawn) == "share of the attention"
    own = answer.attention.map(answer.spans["answer"])
    assert drawn.axes[1].get_ylim()[1] == pytest.approx(own.max())
    last = answer.plot(-1)
    assert last.axes[1].get_ylim()[1] == pytest.approx(answer.attention.map(-1).max())
    bare = replace(answer, captured=None)
    assert title(bare.plot()) == "Which colour? Model (think): blue"
    with pytest.raises(InputError, match="without capture"):
        bare.plot(-1)


def test_an_attribution_draws_itself_in_its_own_unit() -> None:
    drawn = attributed().plot()
    assert bar(drawn) == "evidence (nats)"
    assert title(drawn) == "Evidence (nats): strongest at the bottom right (+2 in one patch)"
    assert bar(viz.overlay(attributed().answer, attributed())) == "evidence (nats)"
    assert bar(attributed("chefer").plot()) == "relevance"
    assert bar(viz.difference(attributed(), attributed("chefer")), panel=2) == "evidence (nats)"
    assert bar(viz.overlay(captured(), np.ones((3, 4)) / 20)) == "value"


def test_attention_draws_its_layers_and_heads() -> None:
    answer = captured()
    drawn = answer.attention.plot()
    assert [text.get_text() for text in drawn.axes[0].get_xticklabels()] == ["0", "1"]
    page = np.ma.filled(drawn.axes[0].images[0].get_array(), np.nan)
    apart = answer.attention.map(answer.spans["answer"], layers=[0], heads=[0], reduce="none")
    assert np.nanmax(np.abs(page[:3, :4] - apart[0, 0].mean(axis=0))) < 1e-6
    assert len(viz.timeline(answer).axes[0].lines[0].get_xdata()) == 4


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: viz.overlay(np.zeros((3, 4))), "ndarray.*Answer.*vlm.ask"),
        (lambda: viz.overlay(attributed(), np.zeros((3, 4))), "attribution alone"),
        (lambda: viz.overlay(another(), attributed()), "another answer"),
        (lambda: viz.show_sample(captured()), "Answer.*Sample.*synth"),
        (lambda: viz.show_answer("blue"), "str.*Answer"),
        (lambda: viz.show_patches(None), "NoneType.*Answer"),
        (lambda: viz.sheet(np.zeros((3, 4)), 0), "ndarray.*Attention"),
        (lambda: viz.token_strip("blue", [1]), "str.*Answer"),
        (lambda: viz.timeline(3), "int.*over_time"),
        (lambda: viz.forest(captured()), "Answer.*benchmark"),
        (lambda: viz.accuracy("summary"), "str.*summarise"),
        (lambda: viz.curves(attributed()), r"Attribution.*Faithfulness.*check\(\)"),
        (lambda: viz.checks([attributed()]), "Attribution.*FaithfulnessSummary"),
        (lambda: viz.maps(captured()), "Answer.*Attribution.*attribute"),
        (lambda: viz.counterfactual(attributed()), "Attribution.*Counterfactual"),
        (lambda: viz.patching({"a": []}), "a group without a record.*Patching"),
        (lambda: viz.patching(captured()), "Answer.*Patching"),
        (lambda: viz.knockout([1]), "list.*Knockout"),
        (lambda: viz.thought(attributed(), captured()), "Attribution.*timeline"),
        (lambda: viz.thought("x"), "str.*Answer|NoneType.*Answer"),
        (lambda: viz.mode_pair(captured()), "Answer.*ModePair"),
        (lambda: viz.lens_sheet(captured()), "Answer.*LogitLens"),
        (lambda: viz.lens_table(captured()), "Answer.*LogitLens"),
        (lambda: viz.decision([]), "no record|without a record"),
        (lambda: viz.microscope(Image.new("RGB", (8, 8)), captured()), "Answer.*Microscope"),
    ],
)
def test_a_figure_of_something_else_says_what_it_draws(draw, says) -> None:
    with pytest.raises(InputError, match=f"(?s){says}"):
        draw()


def test_a_verb_of_a_room_above_is_imported_when_it_is_called() -> None:
    verb = later("nowhere", "nothing")
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        verb()
    assert isinstance(later("attention", "make_attention")(), Attention)


def test_the_thought_is_drawn_from_the_answer_itself() -> None:
    answer = captured(thought=3)
    drawn, again = viz.thought(answer), viz.thought(timeline(answer), answer)
    assert title(drawn) == title(again)
    assert len(drawn.axes) == len(again.axes)


def test_results_draw_their_scores() -> None:
    rows = [
        {"benchmark": "b", "item": str(i), "mode": "think", "value": float(i % 3 > 0), "response": "x"}
        for i in range(30)
    ]
    drawn = Results.of(rows).plot()
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["b"]
