"""A hybrid decoder (Qwen3.5: three layers of linear attention, then one with rows) keeps layer numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import workbench
from workbench import interpret
from workbench.attention import Attention
from workbench.errors import CapabilityError, InputError
from workbench.ui import AttentionExplorer

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
import tiny_families  # noqa: E402

BOX = (0, 0, 60, 60)


@pytest.fixture(scope="module")
def vlm(tmp_path_factory):
    folder = tiny_families.build("qwen3.5", tmp_path_factory.mktemp("hybrid"))
    return workbench.load(folder, device="cpu", progress=False)


@pytest.fixture(scope="module")
def answer(vlm):
    return vlm.ask(tiny_families.picture(120, 80), "Is it red?", max_tokens=4, capture=True)


def test_a_record_names_the_layers_that_have_rows(answer, tmp_path):
    record = answer.attention
    assert list(record.layers) == [3]
    assert record.heads(BOX)["layer"].unique().tolist() == [3]
    assert record.row(answer.prompt_tokens, 3, 0).sum() == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(record.rows(answer.prompt_tokens, layers=-1), record.rows(answer.prompt_tokens))
    with pytest.raises(InputError, match="layer=1.*attention rows: 3"):
        record.row(answer.prompt_tokens, 1, 0)
    kept = Attention.load(record.save(tmp_path / "record.safetensors"))
    assert list(kept.layers) == [3]


def test_what_passes_through_every_layer_is_not_said_of_some(vlm, answer):
    record = answer.attention
    with pytest.raises(InputError, match="rolled out over layers 3 alone"):
        record.flow(answer.prompt_tokens)
    assert record.flow(answer.prompt_tokens, layers=[3]).sum() == pytest.approx(1.0, abs=1e-5)
    for method in ("rollout", "chefer"):
        with pytest.raises(CapabilityError, match="1 of the 4 layers"):
            interpret.attribute(vlm, answer, method=method, progress=False)
    assert interpret.attribute(vlm, answer, method="attention", progress=False).maps


def test_attention_is_cut_where_there_is_some(vlm, answer):
    cut = {"sources": "images", "targets": [answer.prompt_tokens - 1, answer.prompt_tokens]}
    every = interpret.knockout(vlm, answer, **cut)
    assert every.layers == (3,)
    assert np.array_equal(every.after, interpret.knockout(vlm, answer, layers=3, **cut).after)
    with pytest.raises(InputError, match="layer 1 has no attention"):
        interpret.knockout(vlm, answer, layers=[1, 3], **cut)


def test_the_explorer_shows_the_decoders_numbers(answer):
    explorer = AttentionExplorer(answer)
    assert "(layer 3, head" in explorer.static()
    assert explorer.heads()["layer"].unique().tolist() == [3]


def test_a_decoder_that_ends_without_rows_is_a_hybrid_too(tmp_path):
    kinds = ["full_attention", *["linear_attention"] * 3]
    tiny_families._qwen3_5(tmp_path / "model", kinds)
    vlm = workbench.load(tmp_path / "model", device="cpu", progress=False)
    answer = vlm.ask(tiny_families.picture(120, 80), "Is it red?", max_tokens=4, capture=True)
    for record in (answer.attention, Attention.load(answer.attention.save(tmp_path / "record.safetensors"))):
        assert (list(record.layers), record.depth, record.whole) == ([0], 4, False)
        with pytest.raises(InputError, match="rolled out over layers 0 alone"):
            record.flow(answer.prompt_tokens)
        with pytest.raises(InputError, match="layer=3.*attention rows: 0"):
            record.row(answer.prompt_tokens, 3, 0)
