"""A decoder learns from pictures that are written out, with thoughts or without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ablate_tiny import TINY
from tokenizers import Tokenizer

from workbench import synth
from workbench.ablate.recipe import part_of
from workbench.ablate.stream import WRITTEN, make_plan, write_example, written
from workbench.ablate.studies import PIPELINES, study
from workbench.ablate.training import recipe_trainer
from workbench.ablate.variant import build_model, encoder_of
from workbench.files import data_path

TOKENIZER = Tokenizer.from_file(str(data_path("nano", "tokenizer.json")))


@pytest.mark.parametrize("family", WRITTEN)
def test_the_answer_can_be_found_in_what_is_written(family: str) -> None:
    for seed in range(20):
        drawing, _ = synth.draw(family, seed=seed)
        told = written(drawing)
        lines = told.removesuffix(".").split(", ")
        question = drawing.questions[0]
        if family == "chain":  # what is written is the expression itself
            value = int(lines[0])
            for operator, number in zip(lines[1::2], lines[2::2], strict=True):
                n = int(number)
                value = {"+": value + n, "-": value - n, "×": value * n}[operator] % 10
            assert str(value) == question.answer
        elif family == "gui_links":
            target, at = dict(line.split() for line in lines), question.trace.split()[0]
            for _ in range(question.steps):
                at = target[at]
            assert at == question.answer
        elif family == "bar_walk":
            says, at = {a: int(n) for a, n in (line.split() for line in lines)}, question.trace[0]
            for _ in range(question.steps):
                at = "ABCDEF"[("ABCDEF".index(at) + says[at]) % 6]
            assert at == question.answer
        elif family == "shape_count":
            word = question.text.split()[2]
            forms = {word, word.removesuffix("s"), word.removesuffix("es")}
            assert sum(bool({*line.split()} & forms) for line in lines) == int(question.answer)
        else:
            asked = set(question.text.replace("?", " ").replace(".", " ").split())
            fits = [line for line in lines if question.answer in line.split() and set(line.split()) & asked]
            assert fits, (told, question.text, question.answer)


def test_a_text_stage_shows_no_picture_and_trains_the_decoder_alone(tmp_path: Path) -> None:
    recipe = TINY.replace(
        stages=[{"kind": "text", "share": 0.5, "reasoning": 1}, {"kind": "all", "share": 0.5}], budget=8
    )
    encoder = encoder_of(recipe.architecture, TOKENIZER)
    trainer = recipe_trainer(
        build_model(recipe, TOKENIZER), encoder, plan=make_plan(recipe, 8), folder=tmp_path
    )
    before = {k: v.clone() for k, v in trainer.model.named_parameters()}
    step = next(trainer.batches(0))
    assert not any((batch.input_ids == encoder.image_token).any() for batch in step)
    trainer.update(step)
    after = dict(trainer.model.named_parameters())
    assert {part_of(k) for k, v in after.items() if not torch.equal(v, before[k])} == {"decoder"}
    assert trainer.work["patches"] == 0
    later = next(trainer.batches(trainer.total - 1))[0]
    assert (later.input_ids == encoder.image_token).any()


@pytest.mark.parametrize(("share", "token"), [(0.0, "direct"), (1.0, "think")])
def test_a_stage_has_its_own_share_of_reasoning(share: float, token: str) -> None:
    encoder = encoder_of(TINY.architecture, TOKENIZER)
    for number in range(6):
        example = write_example(encoder, TINY, [("general", number)], "text", share)
        opening = {i for i, w in zip(example.ids, example.weights, strict=True) if w} & {
            encoder.think,
            encoder.direct,
        }
        assert opening == {getattr(encoder, token)}


def test_the_four_pipelines_are_four_recipes() -> None:
    runs = study("pipelines").runs
    assert {one.labels["pipeline"] for one in runs} == set(PIPELINES)
    assert len(runs) == len({one.recipe.hash for one in runs}) == 12
    for one in runs:
        shares = [s.reasoning for s in one.recipe.stages if s.kind in ("text", "all")]
        assert tuple(shares) == PIPELINES[one.labels["pipeline"]]
