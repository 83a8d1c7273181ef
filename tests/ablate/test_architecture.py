"""Each field of the architecture changes what it says, in training and when the model is asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ablate_tiny import TINY
from tokenizers import Tokenizer

from workbench import ablate, load, synth
from workbench.ablate.recipe import part_of
from workbench.ablate.resolution import FEEDINGS
from workbench.ablate.stream import make_plan, write_example
from workbench.ablate.training import recipe_trainer
from workbench.ablate.variant import (
    SHARED,
    build_model,
    encoder_of,
    image_mask,
    open_model,
    projector_width,
    save_model,
)
from workbench.errors import InputError, WorkbenchError
from workbench.files import data_path
from workbench.train.data import Encoder, Mix, collate
from workbench.train.loop import Trainer
from workbench.types import Turn

CROPS = {"token_budget": 80, "tile": 4}
SHAPES: dict[str, dict[str, Any]] = {
    "standard": {},
    "early": {"fusion": "early", "vision_layer": 0},
    "deep projector": {"projector_depth": 3},
    "bidirectional": {"image_attention": "bidirectional"},
    "few tokens": {"token_budget": 16},
    **{method: {"feeding": method, **CROPS} for method in FEEDINGS if method != "dynamic_resolution"},
}
TOKENIZER = Tokenizer.from_file(str(data_path("nano", "tokenizer.json")))


def recipe_of(shape: dict[str, Any]) -> ablate.Recipe:
    return TINY.replace(architecture=shape)


def encoder_for(name: str) -> Encoder:
    return encoder_of(recipe_of(SHAPES[name]).architecture, TOKENIZER)


def trainer_of(name: str, folder: Path) -> Trainer:
    recipe = recipe_of(SHAPES[name])
    plan = make_plan(recipe, 24)
    return recipe_trainer(
        build_model(recipe, TOKENIZER), encoder_for(name), plan=plan, folder=folder / "train"
    )


def opened(trainer: Trainer, name: str, folder: Path) -> Any:
    """The trainer's model, saved and opened to be asked."""
    place = folder / "name" / "model"
    place.mkdir(parents=True)
    for file in SHARED:
        (place / file).write_bytes(data_path("nano", file).read_bytes())
    save_model(trainer.model, recipe_of(SHAPES[name]).architecture, place)
    return open_model(place)


@pytest.mark.parametrize("name", SHAPES)
def test_training_and_asking_see_the_same(name: str, tmp_path: Path) -> None:
    trainer, encoder = trainer_of(name, tmp_path), encoder_for(name)
    drawing, _ = synth.draw("read_sign", seed=3)
    example = encoder.start()
    encoder.add(
        example, drawing, family="read_sign", rng=random.Random(0), mix=Mix(think_look=0.0, questions=1)
    )
    batch = collate([example], encoder.pad)
    trainer.model.eval()
    with torch.no_grad():
        taught = trainer.model.lm_head(trainer.forward(batch).hidden)[0]
    vlm = opened(trainer, name, tmp_path)
    turns = [[Turn("user", drawing.questions[0].text, (drawing.canvases[0].image(),))]]
    encoded = vlm.family.encode(vlm.processor, turns, mode="nothink", config=vlm.model.config)
    prompt = encoded.prompt_ids[0]
    assert example.ids[: len(prompt)] == prompt
    with torch.no_grad():
        asked = vlm.model(**encoded.inputs).logits[0]
    assert torch.allclose(asked, taught[: len(prompt)], atol=2e-5)
    assert encoded.layouts[0].image_tokens == prompt.count(encoder.image_token)


@pytest.mark.parametrize("name", ["bidirectional", "multi_crop_s2"])
def test_a_batch_gets_the_replies_of_single_questions(name: str, tmp_path: Path) -> None:
    vlm = opened(trainer_of(name, tmp_path), name, tmp_path)
    samples = [synth.sample(family, 1, seed=5)[0] for family in ("read_sign", "shape_change", "chain")]
    options: dict[str, Any] = {"mode": "nothink", "max_tokens": 5}
    single = [vlm.ask(s.images, s.question, **options).token_ids for s in samples]
    together = vlm.ask_many(
        [s.images for s in samples], [s.question for s in samples], progress=False, **options
    )
    assert [answer.token_ids for answer in together] == single


def test_only_with_a_bidirectional_mask_an_earlier_patch_sees_a_later_one(tmp_path: Path) -> None:
    moved = {}
    for name in ("standard", "bidirectional"):
        trainer = trainer_of(name, tmp_path / name)
        batch = next(trainer.batches(trainer.total - 1))[0]
        trainer.model.eval()
        embeds = trainer.model.get_input_embeddings()(batch.input_ids)
        image = torch.nonzero(batch.input_ids[0] == encoder_for(name).image_token)[:, 0]
        last = int(image[-1])
        changed = embeds.clone()
        changed[0, last] += 1.0
        with torch.no_grad():
            seen = trainer.forward(batch)
            difference = (seen.decode(embeds) - seen.decode(changed))[0].abs().sum(-1)
        assert difference[: int(image[0])].max() == 0, "what stands before the picture never sees it"
        assert difference[last + 1] > 0
        moved[name] = float(difference[image[0]])
    assert moved["standard"] == 0
    assert moved["bidirectional"] > 0


def test_patches_see_their_own_picture_only_and_padding_sees_itself() -> None:
    ids = torch.tensor([[0, 9, 9, 1, 9, 9, 2]])
    mask = image_mask(ids, torch.tensor([[0, 1, 1, 1, 1, 1, 1]]), 9)[0, 0] == 0
    assert mask[1].tolist() == [False, True, True, False, False, False, False]
    assert mask[4].tolist() == [False, True, True, True, True, True, False]
    assert mask[3].tolist() == [False, True, True, True, False, False, False]
    assert mask[0].tolist() == [True] + [False] * 6


def test_early_fusion_has_no_tower_that_mixes_patches() -> None:
    alone = {}
    for name in ("standard", "early"):
        model = build_model(recipe_of(SHAPES[name]), TOKENIZER).eval()
        pixels = torch.randn(1, 6, 768, generator=torch.Generator().manual_seed(0))
        other = pixels.clone()
        other[0, -1] += 1
        mask, shape = torch.ones(1, 6, dtype=torch.long), torch.tensor([[2, 3]])
        with torch.no_grad():
            both = [model.get_image_features(p, mask, shape).pooler_output[0][0] for p in (pixels, other)]
        alone[name] = torch.equal(*both)
    assert alone == {"standard": False, "early": True}


def sizes(shape: dict[str, Any], part: str) -> int:
    model = build_model(recipe_of(shape), TOKENIZER)
    return sum(p.numel() for n, p in model.named_parameters() if part_of(n) == part)


def test_layers_are_counted() -> None:
    width = TINY.architecture.width
    projector = [sizes({"projector_depth": depth}, "projector") for depth in (1, 2, 3)]
    assert np.diff(projector).tolist() == [width * width + width] * 2
    towers = [sizes({"vision_layer": layer}, "encoder") for layer in (1, 2, 3)]
    assert towers[1] - towers[0] == towers[2] - towers[1] > 0
    for method in FEEDINGS:
        shape = {} if method == "dynamic_resolution" else CROPS
        wide = sizes({"feeding": method, **shape}, "projector") - sizes({}, "projector")
        assert wide == (projector_width(method, width) - width) * width


@pytest.mark.parametrize("name", [n for n in SHAPES if n not in ("standard", "early")])
def test_what_is_told_of_a_token_lies_under_it(name: str) -> None:
    architecture = recipe_of(SHAPES[name]).architecture
    encoder = encoder_of(architecture, TOKENIZER)
    drawing, _ = synth.draw("icon_name", seed=1, difficulty=1)
    canvas, question = drawing.canvases[0], drawing.questions[0]
    seen, plan = encoder.see(canvas), architecture.plan((256, 256))
    assert len(seen.content) == plan.tokens <= architecture.token_budget
    assert [shape for _, shape in seen.views] == [(view.rows, view.cols) for view in plan.views]
    cells = [cell for block in plan.blocks for cell in _cells(block)]
    middle = [(question.boxes[0][i] + question.boxes[0][i + 2]) / 2 for i in (0, 1)]
    found = seen.tokens(question.boxes[0])
    assert found
    under = [i for i, (x1, y1, x2, y2) in enumerate(cells) if x1 <= middle[0] < x2 and y1 <= middle[1] < y2]
    assert set(under) & set(found)
    x1, y1, x2, y2 = question.boxes[0]
    assert all(cells[i][0] < x2 and cells[i][2] > x1 for i in found)
    assert all(cells[i][1] < y2 and cells[i][3] > y1 for i in found)


def _cells(block: Any) -> list[tuple[float, float, float, float]]:
    x1, y1, x2, y2 = block.region
    w, h = (x2 - x1) / block.cols, (y2 - y1) / block.rows
    return [
        (x1 + c * w, y1 + r * h, x1 + (c + 1) * w, y1 + (r + 1) * h)
        for r in range(block.rows)
        for c in range(block.cols)
    ]


def test_a_picture_fed_at_its_own_size_is_the_drawing_itself() -> None:
    plain, fed = (
        write_example(encoder_of(recipe_of(SHAPES[n]).architecture, TOKENIZER), TINY, [("general", 3)])
        for n in ("standard", "bidirectional")
    )
    assert plain.ids == fed.ids
    assert plain.looks == fed.looks
    assert np.array_equal(plain.patches[0], fed.patches[0])
    assert np.array_equal(plain.content[0], fed.content[0])


def test_a_run_of_another_architecture_is_asked_by_itself_and_refused_elsewhere(store: Path) -> None:
    shape = {**SHAPES["dynamic_s2"], "image_attention": "bidirectional", "projector_depth": 1}
    recipe = recipe_of(shape).replace(budget=8, modes=["nothink"])
    done = ablate.run(recipe, store)
    vlm = done.model()
    sample = synth.sample("read_sign", 1, seed=0)[0]
    answer = vlm.ask(sample.images, sample.question, mode="nothink", max_tokens=3)
    assert answer.image_tokens == recipe.architecture.plan(sample.images[0].size).tokens
    with pytest.raises(WorkbenchError):
        load(str(done.folder / "model"))
    follow = recipe.replace(
        start=f"run:{recipe.hash}", start_parts=["encoder"], architecture={"feeding": "multi_crop"}, seed=1
    )
    begun = build_model(follow, TOKENIZER, start=done.folder / "model").state_dict()
    trained = vlm.model.state_dict()
    same = {k: trained[k].shape == v.shape and torch.equal(trained[k], v) for k, v in begun.items()}
    kept = {k for k, equal in same.items() if equal and begun[k].std() > 0}
    assert {part_of(k) for k in kept if "norm" not in k} == {"encoder"}
    with pytest.raises(InputError, match="no finished run"):
        ablate.run(follow.replace(start="run:0123"), store)


def test_a_model_that_was_not_kept_is_said_so(store: Path) -> None:
    done = ablate.run(TINY.replace(budget=4, modes=["nothink"]), store, keep_model=False)
    with pytest.raises(InputError, match="without its model"):
        done.model()


def test_s2_begins_with_a_trained_projector_that_reads_the_mean_of_the_scales() -> None:
    nano = data_path("nano")
    plain = TINY.replace(start="nano", architecture={"width": 160})
    wide = plain.replace(architecture=SHAPES["multi_crop_s2"])
    name = "model.multi_modal_projector.linear_1.weight"
    own, read = (build_model(r, TOKENIZER, start=nano).state_dict()[name] for r in (plain, wide))
    assert read.shape[1] == 3 * own.shape[1]
    scales = torch.randn(3, own.shape[1], generator=torch.Generator().manual_seed(0))
    assert torch.allclose(read @ scales.flatten(), own @ scales.mean(0), atol=1e-5)
