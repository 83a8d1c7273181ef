"""Attention supervision measures the attention that the model really pays, and moves it to the evidence;
auxiliary labels count alike, or their aspects do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.synth.wordings import ASPECTS, COLOURS, KINDS, NAMES, TEXTS
from workbench.train.data import Mix, build_tokenizer
from workbench.train.loop import Phase, TrainConfig, Trainer, phased_trainer
from workbench.train.losses import SUPERVISED, AttentionSupervision, AuxiliaryHeads, Forward, reply_loss
from workbench.train.nano import build_nano, nano_encoder

CONFIG = TrainConfig(
    steps=1000,
    encoder_steps=0,
    warmup=2,
    lr=1e-2,
    checkpoint_interval=4,
    attention_supervision=3.0,
    auxiliary=0.0,
    phases=(Phase(0, 4, Mix(weights={"shape_change": 1.0, "read_sign": 1.0})),),
)


@pytest.fixture
def run(tmp_path: Path) -> Trainer:
    tokenizer = build_tokenizer(n_images=40)
    model = build_nano(tokenizer, width=32, depth=3, tower=1)
    return phased_trainer(model, nano_encoder(tokenizer), config=CONFIG, folder=tmp_path)


def test_the_supervised_attention_is_the_models_own(run: Trainer) -> None:
    (batch,) = next(run.batches(0))
    model = run.model.train()
    _, _ = run.loss(batch)
    _, shares = run.loss(batch)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        out = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            pixel_values=batch.pixel_values,
            pixel_attention_mask=batch.pixel_attention_mask,
            spatial_shapes=batch.spatial_shapes,
            output_attentions=True,
        )
    for kind, (layer, head) in SUPERVISED.items():
        own = [
            out.attentions[layer][row, head, position][seen].sum()
            for (k, row, position), seen in zip(batch.looks.tolist(), batch.seen, strict=True)
            if k == kind
        ]
        assert own
        assert shares[f"look_{kind}"] == pytest.approx(torch.stack(own).mean().item(), abs=2e-4)


def test_supervised_heads_learn_to_look_at_the_evidence(run: Trainer) -> None:
    step = next(run.batches(0))
    shares = [run.update(step) for _ in range(90)]
    for kind in SUPERVISED:
        assert shares[0][f"look_{kind}"] < 0.1
        assert shares[-1][f"look_{kind}"] > 0.5


def test_nothing_is_kept_where_nothing_is_trained(run: Trainer) -> None:
    (batch,) = next(run.batches(0))
    supervision = AttentionSupervision(run.model.model.language_model)
    with torch.no_grad():
        run.model.eval()(input_ids=batch.input_ids[:1, -4:])
    assert not supervision._inputs
    run.model.train()
    seen = run.forward(batch)
    reply_loss(seen)
    assert supervision._inputs.keys() == {layer for layer, _ in SUPERVISED.values()}
    supervision.loss(seen)
    assert not supervision._inputs, "the listened inputs go with the loss that used them"


def test_a_pass_runs_each_part_once_and_only_if_a_term_asks(run: Trainer, monkeypatch) -> None:
    (batch,) = next(run.batches(0))
    ran: list[str] = []
    for name in ("see", "decode"):
        part = getattr(Forward, name)
        monkeypatch.setattr(Forward, name, lambda *a, p=part, n=name: ran.append(n) or p(*a))
    seen = run.forward(batch)
    run.heads.loss(seen)
    assert ran == ["see"], "auxiliary labels need no decoder"
    reply_loss(seen)
    reply_loss(seen)
    assert ran == ["see", "decode"]


def test_auxiliary_labels_count_alike_or_their_aspects_do() -> None:
    torch.manual_seed(0)
    features, embeddings = torch.randn(5, 8), torch.randn(300, 8)
    content = torch.full((5, len(ASPECTS)), -100)
    told = {"text": TEXTS, "kind": KINDS, "colour": tuple(COLOURS)}
    content[:2, 0] = torch.tensor([NAMES.index(TEXTS[3]), NAMES.index(TEXTS[40])])
    content[:, 1] = NAMES.index("text")
    content[4, 2] = NAMES.index("red")
    costs = []
    for i, (aspect, names) in enumerate(told.items()):
        rows = [patch for patch in range(5) if content[patch, i] >= 0]
        numbers = [NAMES.index(name) for name in names]
        scores = features[rows] @ embeddings[numbers].T * 3.0
        right = torch.tensor([numbers.index(int(content[patch, i])) for patch in rows])
        costs.append(scores.logsumexp(-1) - scores[range(len(rows)), right])
        assert aspect == ASPECTS[i]
    for by_label, expected in (
        (True, torch.cat(costs).sum() / 5),
        (False, torch.stack([cost.mean() for cost in costs]).sum()),
    ):
        heads = AuxiliaryHeads(8, torch.arange(len(NAMES)), by_label=by_label)
        loss, _ = heads(features, content, embeddings)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
