"""The record on attention that is known: every number is compared with the weights it was made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.attention import Attention, LayerStore, make_attention
from workbench.errors import CapabilityError, InputError
from workbench.types import Region, Span, TokenLayout

GRID, BEFORE, AFTER, REPLY = (3, 4), 2, 2, 5
PROMPT = BEFORE + 12 + AFTER
POSITIONS = PROMPT + REPLY - 1


def weights(seed: int = 0) -> np.ndarray:
    """Seeded rows ``[layers, heads, reply, positions]`` that keep to the order of time."""
    w = np.random.default_rng(seed).gamma(0.5, size=(2, 3, REPLY, POSITIONS)) + 1e-6
    w *= np.arange(POSITIONS) < PROMPT + np.arange(REPLY)[:, None]
    return w / w.sum(axis=-1, keepdims=True)


def record(w: np.ndarray | None = None, **options) -> Attention:
    w = weights() if w is None else w
    return make_attention(w, grid=GRID, before=BEFORE, after=AFTER, reply=REPLY, thought=3, **options)


def cells(w: np.ndarray) -> np.ndarray:
    """The picture's part of rows, as ``[..., rows, cols]``."""
    return w[..., BEFORE : BEFORE + 12].reshape(*w.shape[:-1], *GRID)


def test_a_row_is_the_softmax_of_its_query_and_keys():
    attention, w = record(), weights()
    for i, token in enumerate(attention.tokens):
        row = attention.row(token, 1, 2)
        assert np.allclose(row, w[1, 2, i], atol=1e-6)
        assert row.sum() == pytest.approx(1, abs=1e-6)
        assert not row[PROMPT + i :].any()


def test_rows_of_grouped_heads_equal_those_of_repeated_keys():
    rng = np.random.default_rng(3)
    q, k = rng.normal(size=(6, 4, 8)).astype("f4"), rng.normal(size=(2, 9, 8)).astype("f4")
    seen = np.tril(np.ones((4, 9), bool), 5)
    ours = LayerStore(q, k, 0.3).rows([0, 2, 3], [5, 0, 3], seen[[0, 2, 3]])
    scores = np.where(seen, 0.3 * q @ np.repeat(k, 3, axis=0).transpose(0, 2, 1), -np.inf)
    theirs = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert np.allclose(ours, theirs[np.ix_([5, 0, 3], [0, 2, 3])], atol=1e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_precision_is_kept_as_it_is(kind):
    rng = np.random.default_rng(4)
    q, k = rng.normal(size=(2, 3, 8)).astype("f4"), rng.normal(size=(1, 5, 8)).astype("f4")
    if kind == "float16":
        kept = [a.astype(np.float16) for a in (q, k)]
        full = [a.astype(np.float32) for a in kept]
    else:
        kept = [(a.view(np.uint32) >> 16).astype(np.uint16) for a in (q, k)]
        full = [(a.view(np.uint32) & 0xFFFF0000).view(np.float32) for a in (q, k)]
    seen = np.ones((3, 5), bool)
    assert np.array_equal(
        LayerStore(*kept, 1.0).rows([0, 1, 2], [0, 1], seen),
        LayerStore(*full, 1.0).rows([0, 1, 2], [0, 1], seen),
    )


def test_a_map_is_the_mean_over_the_chosen_tokens_layers_and_heads():
    attention, w = record(), weights()
    token = attention.reply(2)
    assert np.allclose(attention.map(token), cells(w[:, :, 2].mean((0, 1))), atol=1e-6)
    assert np.allclose(
        attention.map(token, layers=1, heads=[0, 2]), cells(w[1, [0, 2], 2].mean(0)), atol=1e-6
    )
    span = Span(PROMPT + 1, PROMPT + 4)
    assert np.allclose(attention.map(span), cells(w[:, :, 1:4].mean((0, 1, 2))), atol=1e-6)
    assert np.allclose(attention.map(span, reduce="max"), cells(w[:, :, 1:4].max((0, 1, 2))), atol=1e-6)
    apart = attention.map(span, reduce="none")
    assert apart.shape == (2, 3, 3, *GRID)
    assert np.allclose(apart, cells(w[:, :, 1:4]), atol=1e-6)


def test_chunks_of_rows_change_nothing(monkeypatch):
    attention = record()
    whole = [attention.map(attention.tokens, reduce=how) for how in ("mean", "max", "none")]
    monkeypatch.setattr("workbench.attention.record.CHUNK", 1)
    for how, before in zip(("mean", "max", "none"), whole, strict=True):
        assert np.allclose(attention.map(attention.tokens, reduce=how), before, atol=1e-7)


def test_tokens_are_counted_from_the_end_and_from_the_reply():
    attention = record()
    last = attention.row(PROMPT + REPLY - 1, 0, 0)
    assert np.array_equal(attention.row(-1, 0, 0), last)
    assert np.array_equal(attention.row(attention.reply(-1), 0, 0), last)
    assert attention.reply(0) == PROMPT


def test_over_time_gives_share_and_entropy():
    w = weights()
    w[:, :, 1] = 0
    w[:, :, 1, BEFORE + 5] = 0.25  # one patch
    w[:, :, 1, 0] = 0.75
    frame = record(w).over_time()
    assert frame["share"][1] == pytest.approx(0.25, abs=1e-6)
    assert frame["entropy"][1] == pytest.approx(0, abs=1e-5)
    mean = w[:, :, 2].mean((0, 1))[BEFORE : BEFORE + 12]
    p = mean / mean.sum()
    assert frame["share"][2] == pytest.approx(mean.sum(), abs=1e-6)
    assert frame["entropy"][2] == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-4)
    assert frame["entropy_share"][2] == pytest.approx(frame["entropy"][2] / np.log2(12), abs=1e-6)
    assert list(frame["part"]) == ["thought"] * 3 + ["answer"] * 2
    assert list(frame["token"]) == list(range(PROMPT, PROMPT + REPLY))


def test_reverse_finds_the_word_that_looked_at_a_region():
    w = np.full((2, 3, REPLY, POSITIONS), 1.0) * (np.arange(POSITIONS) < PROMPT + np.arange(REPLY)[:, None])
    w[:, :, 3, BEFORE + 4 * 1 + 2] = 50  # cell (1, 2)
    frame = record(w).reverse((20, 10, 30, 20))
    assert frame["share"].idxmax() == 3
    assert frame["lift"][0] == pytest.approx(1, abs=1e-5)
    assert frame["lift"][3] == pytest.approx(50 / 61 * 12, abs=1e-4)
    assert frame["text"][3] == " w3"
    again = record(w).reverse(Region((20, 10, 30, 20)))
    assert again.equals(frame)


def test_heads_are_ranked_by_how_well_they_point():
    w = np.full((2, 3, REPLY, POSITIONS), 1.0) * (np.arange(POSITIONS) < PROMPT + np.arange(REPLY)[:, None])
    w[1, 0, :, BEFORE] = 100  # points at the first cell
    w[0, 2, :, BEFORE + 11] = 100  # points elsewhere
    frame = record(w).heads((0, 0, 10, 10))
    assert (frame["layer"][0], frame["head"][0]) == (1, 0)
    assert frame["hit"][0] == 1
    assert (frame["layer"].iloc[-1], frame["head"].iloc[-1]) == (0, 2)
    assert frame["score"].iloc[-1] < 0
    assert len(frame) == 6


def test_a_sink_is_found_and_can_be_left_out():
    w = np.full((2, 3, REPLY, POSITIONS), 1.0) * (np.arange(POSITIONS) < PROMPT + np.arange(REPLY)[:, None])
    w[:, :, :, BEFORE + 7] = 60  # cell (1, 3), whatever the token and the head
    w[1, 1, 2, BEFORE + 2] = 60  # one head and one token: no sink
    attention = record(w)
    table = attention.sinks()
    assert list(table["position"]) == [BEFORE + 7]
    assert (table["row"][0], table["col"][0], table["head_share"][0]) == (1, 3, 1.0)
    token = attention.reply(0)
    assert attention.map(token)[1, 3] > 0.7
    without = attention.map(token, sinks=False)
    assert without[1, 3] == 0
    assert without[0, 0] == pytest.approx(1 / (PROMPT - 1), abs=1e-6)
    time = attention.over_time()
    assert time["sink_share"][0] == pytest.approx(60 / (60 + PROMPT - 1), abs=1e-6)
    assert attention.over_time(sinks=False)["share"][0] == pytest.approx(11 / (PROMPT - 1), abs=1e-6)
    assert attention.reverse((0, 0, 10, 10), sinks=False)["share"][0] == pytest.approx(1 / (PROMPT - 1))
    assert attention.map(token, sinks=False, reduce="max")[1, 3] == 0
    assert (attention.heads((30, 10, 40, 20), sinks=False)["on_region"] == 0).all()


def test_attention_that_follows_the_tokens_is_no_sink():
    w = np.full((2, 3, REPLY, POSITIONS), 1.0) * (np.arange(POSITIONS) < PROMPT + np.arange(REPLY)[:, None])
    for i in range(REPLY):
        w[:, :, i, BEFORE + i] = 6
    assert record(w).sinks().empty


def test_rollout_is_the_product_of_the_layers_matrices():
    attention, w = record(), weights()
    n = POSITIONS
    full = np.eye(n)
    for layer in (0, 1):  # prompt positions have no rows: they pass on themselves
        step = np.eye(n)
        for i in range(REPLY):
            at = PROMPT - 1 + i
            step[at] = 0.5 * np.eye(n)[at] + 0.5 * w[layer, :, i].mean(0)
        full = step @ full
    for i, token in enumerate(attention.tokens):
        flow = attention.flow(token)
        assert np.allclose(flow, full[PROMPT - 1 + i], atol=1e-6)
        assert flow.sum() == pytest.approx(1, abs=1e-5)
        assert np.allclose(attention.rollout(token), cells(flow))


def test_a_record_is_saved_and_loaded(tmp_path):
    attention = record()
    path = attention.save(tmp_path / "deep" / "record.safetensors")
    again = Attention.load(path)
    assert np.array_equal(again.map(again.tokens), attention.map(attention.tokens))
    assert again.over_time().equals(attention.over_time())
    assert (again.layout, again.texts, again.spans) == (attention.layout, attention.texts, attention.spans)
    assert [p.name for p in path.parent.iterdir()] == ["record.safetensors"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: a.row(PROMPT - 1, 0, 0), "token=15"),
        (lambda a: a.row(PROMPT + REPLY, 0, 0), "token=21"),
        (lambda a: a.row(-6, 0, 0), "token=-6"),
        (lambda a: a.row("first", 0, 0), "part by its name"),
        (lambda a: a.row(True, 0, 0), "whole number"),
        (lambda a: a.row(PROMPT, 2, 0), "layer=2.*0 to 1"),
        (lambda a: a.row(PROMPT, 0, 3), "head=3.*0 to 2"),
        (lambda a: a.map(PROMPT, layers=[]), "empty"),
        (lambda a: a.map(Span(4, 4)), "empty"),
        (lambda a: a.map(PROMPT, image=1), "image=1"),
        (lambda a: a.map(PROMPT, image=-1), "image=-1"),
        (lambda a: a.map(PROMPT, tile=0), "no crops"),
        (lambda a: a.map(PROMPT, reduce="median"), "median"),
        (lambda a: a.over_time(image=3), "image=3"),
        (lambda a: a.reverse((0, 0, 0, 10)), "x1 < x2"),
        (lambda a: a.reverse((10, 10, 500, 20)), "40 x 30 pixels"),
        (lambda a: a.reverse(Region((0, 0, 5, 5), image=2)), "image=2"),
        (lambda a: a.reverse("top left"), "box"),
        (lambda a: a.heads((0, 0, 10, 10), tokens=3), "token=3"),
        (lambda a: a.sinks(share=0), "share=0"),
        (lambda a: a.sinks(factor=-1), "factor=-1"),
        (lambda a: a.rollout(PROMPT, residual=2), "residual=2"),
        (lambda a: a.reply(5), "reply token 5"),
        (lambda a: Attention.load("nowhere.safetensors"), "nowhere"),
    ],
)
def test_what_is_out_of_range_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(record())


def test_a_damaged_file_is_refused(tmp_path):
    path = record().save(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="damaged"):
        Attention.load(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.safetensors"):
        Attention.load(path)


def test_a_record_without_the_towers_attention_says_so():
    with pytest.raises(CapabilityError, match="capture=True"):
        _ = record().vision


def windowed() -> tuple[Attention, np.ndarray, np.ndarray]:
    """Twelve rows over twelve positions, in two layers: a window of four, and all that came before.

    Returns the record, its rows ``[layers, heads, rows, positions]`` and who sees whom, both by numpy alone.
    """
    rng, count = np.random.default_rng(8), 12
    at = np.arange(count)
    before = at <= at[:, None]
    seen = np.stack([before & (at > at[:, None] - 4), before])
    q, k = rng.normal(size=(2, 3, count, 5)).astype("f4"), rng.normal(size=(2, 3, count, 5)).astype("f4")
    q[..., 0], k[..., 0] = 6.0, 0.0
    k[:, :, [0, 9], 0] = 4.0  # what every row that may see it looks at: the first position, and the tenth
    store = tuple(LayerStore(q[n], k[n], 1.0, mask=0 if n == 0 else None) for n in (0, 1))
    scores = np.where(seen[:, None], q @ k.transpose(0, 1, 3, 2), -np.inf)
    rows = np.exp(scores - scores.max(-1, keepdims=True))
    rows /= rows.sum(-1, keepdims=True)
    record = Attention(
        store=store, layout=TokenLayout(2), texts=tuple(map(str, range(count))), tokens=Span(0, count),
        masks=(seen[0],), ahead=0,
    )  # fmt: skip
    return record, rows, seen


def test_attention_that_positions_draw_is_a_mean_over_the_rows_that_see_them():
    attention, rows, seen = windowed()
    for layer in (0, 1):
        for position in range(12):
            who = np.flatnonzero(seen[layer][:, position])
            expected = rows[layer][:, who, position].mean(axis=1)
            assert np.allclose(attention.received[layer, :, position], expected, atol=1e-6)
    assert np.allclose(attention.visible, np.maximum(seen[0].mean(axis=0), seen[1].mean(axis=0)))
    assert attention.visible.tolist() == [(12 - position) / 12 for position in range(12)]


def test_a_position_that_few_rows_see_is_no_sink_however_much_it_draws():
    attention, rows, seen = windowed()
    drawn = [
        np.mean([[rows[n, h, seen[n][:, p], p].mean() > 4 / 12 for h in range(3)] for n in (0, 1)])
        for p in range(12)
    ]
    assert drawn[0] == drawn[9] == 1  # both draw more than four times uniform attention, in every head
    assert attention.sinks(factor=4)["position"].tolist() == [0]
    assert attention.sinks(factor=4)["head_share"].tolist() == [1]


def test_relative_attention_is_the_ratio_of_two_maps_layer_by_layer():
    own, generic = make_attention(layers=3, seed=1, thought=2), make_attention(layers=3, seed=2, reply=2)
    found = own.relative(generic)
    first, its = own.spans["answer"].start, generic.reply(0)
    maps = [own.map(first, layers=n) / generic.map(its, layers=n) for n in range(3)]
    np.testing.assert_allclose(found, np.mean(maps, axis=0), rtol=1e-4)
    one = own.relative(generic, own.reply(0), layers=1, heads=0)
    expected = own.map(own.reply(0), layers=1, heads=0) / generic.map(its, layers=1, heads=0)
    np.testing.assert_allclose(one, expected, rtol=1e-4)
    np.testing.assert_allclose(own.relative(own), 1, rtol=1e-5)
    with pytest.raises(InputError, match="5 x 4 patches"):
        own.relative(make_attention(layers=3, grid=(5, 4)))


def test_a_map_is_carried_through_the_tower_by_its_matrices():
    own = make_attention(layers=2, seed=3)
    rng, cells = np.random.default_rng(4), 24
    queries, keys = rng.normal(size=(2, 2, 2, cells, 5)).astype(np.float32)  # [layers, heads, cells, width]
    tower = Attention(
        store=tuple(LayerStore(q, k, 1.0, 0) for q, k in zip(queries, keys, strict=True)),
        layout=TokenLayout(cells, make_attention(grid=(6, 4), before=0).layout.images),
        texts=("",) * cells,
        tokens=Span(0, cells),
        masks=(np.zeros(cells, dtype=int),),
        ahead=0,
    )
    record = replace(own, tower=tower)
    assert own.map(own.reply(0)).shape == (3, 4)
    start = np.kron(own.map(own.reply(0)), np.full((2, 1), 0.5)).ravel()
    for layer in (1, 0):
        matrix = tower.rows(range(cells), layers=layer)[0].mean(axis=0)
        start = start @ (0.3 * np.eye(cells) + 0.7 * matrix)
    found = record.carried(own.reply(0), residual=0.3)
    np.testing.assert_allclose(found.ravel(), start, rtol=1e-4)
    assert found.sum() == pytest.approx(own.map(own.reply(0)).sum(), rel=1e-4)
    with pytest.raises(CapabilityError, match="capture=True"):
        own.carried()
    with pytest.raises(InputError, match="residual"):
        record.carried(residual=2)
