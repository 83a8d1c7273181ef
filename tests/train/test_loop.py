"""The loop learns, stops, and goes on as if it had not stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workbench import synth
from workbench.errors import CheckpointError, DivergenceError
from workbench.train.data import Mix, batches, build_tokenizer
from workbench.train.loop import Phase, TrainConfig, Trainer, phased_trainer
from workbench.train.losses import Term
from workbench.train.nano import build_nano, grow, nano_encoder, start_folder, warm_start

SMALL = TrainConfig(
    steps=6,
    encoder_steps=2,
    warmup=2,
    checkpoint_interval=4,
    bf16=False,
    phases=(Phase(0, 4, Mix(weights={"shape_colour": 1.0})), Phase(4, 3, Mix(weights={"chain": 1.0}))),
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(n_images=40)


def trainer(tokenizer, folder: Path, config: TrainConfig = SMALL) -> Trainer:
    model = build_nano(tokenizer, width=32, depth=1, tower=1)
    return phased_trainer(model, nano_encoder(tokenizer), config=config, folder=folder)


def test_a_run_that_was_cut_ends_with_the_same_weights(tokenizer, tmp_path: Path) -> None:
    whole = trainer(tokenizer, tmp_path / "whole")
    whole.run(on_metrics=lambda _: None)

    class Cut(Exception):
        pass

    first = trainer(tokenizer, tmp_path / "cut")
    update = first.update

    def dies_at_six(batch):
        if first.step == 6:
            raise Cut
        return update(batch)

    first.update = dies_at_six
    with pytest.raises(Cut):
        first.run(on_metrics=lambda _: None)
    second = trainer(tokenizer, tmp_path / "cut")
    second.run(on_metrics=lambda _: None)
    assert second.step == 8
    for (name, a), b in zip(
        whole.model.state_dict().items(), second.model.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b), name


def test_the_encoder_learns_alone_then_all_parts(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    reports: list[dict] = []
    run.run(on_metrics=reports.append, every=1)
    assert [("reply" in r) for r in reports] == [False] * 2 + [True] * 6
    changed = {k for k, v in run.model.state_dict().items() if not torch.equal(v, before[k])}
    assert any("language_model" in k for k in changed)
    assert any("vision_tower" in k for k in changed)
    assert not any("encoder.layers.1." in k for k in changed), "the tower's last layer is never run"


def test_loss_falls_on_one_batch(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path, replace(SMALL, encoder_steps=0, steps=1000, lr=1e-2))
    step = next(run.batches(0))
    losses = [run.update(step)["reply"] for _ in range(50)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_steps_batches_weigh_as_much_as_their_conversations(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path, replace(SMALL, encoder_steps=0, clip=1e9))
    (first,), (second,) = next(run.batches(0)), next(run.batches(4))
    assert (len(first.input_ids), len(second.input_ids)) == (4, 3)
    run.model.train()

    def gradient(batch) -> torch.Tensor:
        loss, _ = run.loss(batch)
        parameters = [*run.model.parameters(), *run.heads.parameters()]
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return torch.cat(
            [
                torch.zeros(p.numel()) if g is None else g.flatten()
                for p, g in zip(parameters, found, strict=True)
            ]
        )

    run.bf16 = False
    one, other = gradient(first), gradient(second)
    weighed = (4 * one + 3 * other) / 7
    assert (one + other).norm().item() != pytest.approx(weighed.norm().item(), rel=0.05)
    assert run.update([first, second])["norm"] == pytest.approx(weighed.norm().item(), rel=1e-3, abs=1e-3)


def test_phases_change_what_is_drawn(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path)
    (first,), (second,) = next(run.batches(0)), next(run.batches(4))
    assert len(first.input_ids) == 4
    assert len(second.input_ids) == 3
    plus = tokenizer.encode(" from left").ids
    rows = [row.tolist() for row in second.input_ids]
    assert all(any(row[i : i + 2] == plus for i in range(len(row))) for row in rows), "chains, as asked"


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_last_checkpoint(tokenizer, tmp_path) -> None:
    run = trainer(tokenizer, tmp_path)
    terms = run.terms

    def breaks(step: int):
        if step < 6:
            return terms(step)
        return [Term(lambda seen: (seen.features.sum() * float("nan"), {"reply": 1.0}))]

    run.terms = breaks
    with pytest.raises(DivergenceError, match="step 7 of 8: norm is nan.*lower the learning rate"):
        run.run(on_metrics=lambda _: None)
    assert all(p.isfinite().all() for p in run.model.parameters()), "the step was not taken"
    again = trainer(tokenizer, tmp_path)
    again.restore()
    assert again.step == 4


def test_weights_that_are_no_numbers_are_never_kept(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path)
    run.save()
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    with torch.no_grad():
        run.model.lm_head.weight[0, 0] = float("inf")
    with pytest.raises(DivergenceError, match="no longer finite"):
        run.save()
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept


def test_a_run_that_is_far_worse_than_guessing_is_given_up_and_not_kept(tokenizer, tmp_path: Path) -> None:
    run = trainer(tokenizer, tmp_path, replace(SMALL, encoder_steps=0, steps=40, warmup=1, lr=10.0))
    with pytest.raises(DivergenceError, match="3 times that of guessing for 10 steps"):
        run.run(on_metrics=lambda _: None)
    assert not (tmp_path / "checkpoint.json").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:4],
        lambda data: b"",
        lambda data: b"\0" * len(data),
        lambda data: data.replace(b"model.model", b"model.mudel"),
        lambda data: data.replace(b'"step"', b'"stop"'),
    ],
    ids=["cut", "header cut", "empty", "zeros", "other tensors", "other header"],
)
def test_a_damaged_checkpoint_is_told_as_one(tokenizer, tmp_path: Path, damage) -> None:
    run = trainer(tokenizer, tmp_path)
    run.save()
    file = tmp_path / "checkpoint.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError, match="cannot be read.*begins anew"):
        trainer(tokenizer, tmp_path).restore()


def test_a_checkpoint_of_another_shape_is_told_as_one(tokenizer, tmp_path: Path) -> None:
    trainer(tokenizer, tmp_path).save()
    wider = phased_trainer(
        build_nano(tokenizer, width=64, depth=1, tower=1),
        nano_encoder(tokenizer),
        config=SMALL,
        folder=tmp_path,
    )
    with pytest.raises(CheckpointError, match="cannot be read"):
        wider.restore()


def test_another_runs_folder_is_refused(tokenizer, tmp_path: Path) -> None:
    trainer(tokenizer, tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        trainer(tokenizer, tmp_path, replace(SMALL, lr=1e-4))


def test_a_folder_with_another_tokenizer_is_refused(tmp_path: Path) -> None:
    start_folder(tmp_path)
    start_folder(tmp_path)
    file = tmp_path / "tokenizer.json"
    file.write_text(file.read_text().replace('"type": "BPE"', '"type":  "BPE"'))
    with pytest.raises(CheckpointError, match="not the tokenizer"):
        start_folder(tmp_path)


def test_a_warm_start_takes_the_weights_or_says_why_not(tmp_path: Path) -> None:
    full = start_folder(tmp_path)
    trained = build_nano(full, seed=1, width=32, depth=1, tower=1)
    trained.save_pretrained(tmp_path)
    fresh = build_nano(full, seed=2, width=32, depth=1, tower=1)
    assert not torch.equal(fresh.lm_head.weight, trained.lm_head.weight)
    warm_start(fresh, full, tmp_path)
    for (name, a), b in zip(trained.state_dict().items(), fresh.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    with pytest.raises(CheckpointError, match="another shape"):
        warm_start(build_nano(full, width=64, depth=1, tower=1), full, tmp_path)
    with pytest.raises(CheckpointError, match="another tokenizer"):
        warm_start(fresh, build_tokenizer(n_images=10), tmp_path)


def test_processes_draw_what_is_drawn_without_them(tokenizer, tmp_path: Path) -> None:
    told: list[list[dict]] = []
    for workers in (0, 2):
        model = build_nano(tokenizer, width=32, depth=1, tower=1)
        folder = tmp_path / str(workers)
        run = phased_trainer(model, nano_encoder(tokenizer), config=SMALL, folder=folder, workers=workers)
        told.append([])
        run.run(on_metrics=told[-1].append, every=1)
    assert len(told[0]) == 8
    first, second = ([{k: v for k, v in d.items() if k != "seconds"} for d in run] for run in told)
    assert first == second


def test_a_model_grows_into_a_larger_one_and_knows_what_it_knew(tmp_path: Path) -> None:
    small = build_tokenizer(n_images=10)
    start = build_nano(small, width=32, depth=1, tower=2)
    start.save_pretrained(tmp_path)
    small.save(str(tmp_path / "tokenizer.json"))
    large = build_tokenizer(1400, n_images=10, world=synth.World(2))
    model = build_nano(large, seed=1, width=32, depth=1, tower=4)
    grow(model, large, tmp_path)
    rows, grown = (m.get_input_embeddings().weight for m in (start, model))
    for token in (" Tea", "<think>", " 37"):
        name = large.encode(token, add_special_tokens=False).tokens[0]
        assert torch.equal(rows[small.token_to_id(name)], grown[large.token_to_id(name)]), token
    batch = next(batches(nano_encoder(small), Mix(), seed="grow", size=3))[0]
    with torch.no_grad():
        features = [
            torch.cat(
                m.eval()
                .get_image_features(batch.pixel_values, batch.pixel_attention_mask, batch.spatial_shapes)
                .pooler_output
            )
            for m in (start, model)
        ]
    assert torch.allclose(*features, atol=1e-4), "new layers begin by changing nothing"
    with pytest.raises(CheckpointError, match="width"):
        grow(build_nano(large, width=16, depth=1, tower=4), large, tmp_path)
