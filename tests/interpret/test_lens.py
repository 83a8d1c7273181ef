"""The logit lens: exact at the last layer, right about places, small in memory, and clear about bad input."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from attribution_cases import MODELS, ask, tiny_vlm

import workbench
from workbench.answer import Answer
from workbench.errors import CapabilityError, InputError, OutOfMemoryError
from workbench.interpret.lens_record import LogitLens
from workbench.interpret.logit_lens import logit_lens
from workbench.interpret.replay import Decoder, Replay, forward, held
from workbench.models.server import ServerVLM
from workbench.models.vlm import VLM


@pytest.fixture(scope="module")
def nano() -> VLM:
    return workbench.load()


@pytest.fixture(scope="module")
def sample() -> workbench.synth.Sample:
    return workbench.synth.sample("gui_links", 1, seed=7)[0]


@pytest.fixture(scope="module")
def answer(nano: VLM, sample: workbench.synth.Sample) -> Answer:
    return nano.ask(sample.images, sample.question, mode="auto")


@pytest.fixture(scope="module")
def read(nano: VLM, answer: Answer) -> LogitLens:
    return logit_lens(nano, answer)


def own_logits(vlm: VLM, answer: Answer) -> torch.Tensor:
    """The model's scores at every position, from one plain forward pass."""
    replay = Replay.of(vlm, answer)
    with held(vlm):
        return forward(vlm, replay, replay.length)


@pytest.mark.parametrize("name", MODELS)
def test_the_last_layer_is_the_models_own_distribution(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    vlm = tiny_vlm(name, tmp_path_factory)
    answer = ask(vlm)
    read = logit_lens(vlm, answer, k=4, chunk=7)
    own = torch.softmax(own_logits(vlm, answer).double(), dim=-1)
    best = own.topk(4, dim=-1)
    assert read.layers == Decoder(vlm).depth
    np.testing.assert_allclose(read.top_probabilities[-1], best.values, atol=1e-5)
    assert read.error < 1e-4
    chosen = own.argmax(dim=-1)[answer.prompt_tokens - 1 : -1].tolist()
    assert tuple(chosen) == answer.reply_ids  # the reply is greedy, so the replay is the reply's own run
    assert (read.next_ranks[-1, answer.prompt_tokens - 1 : -1] == 0).all()
    assert not any(m._forward_pre_hooks for m in vlm.model.modules())


def test_middle_layers_are_norm_and_head_over_transformers_hidden_states(nano: VLM, answer: Answer) -> None:
    read, replay = logit_lens(nano, answer, k=3), Replay.of(nano, answer)
    with held(nano):
        states = nano.model(**replay.inputs, output_hidden_states=True, use_cache=False).hidden_states
        for layer in range(read.layers):  # the last one of Transformers is normed already
            scores = nano.model.lm_head(nano.model.model.language_model.norm(states[layer][0]))
            best = torch.softmax(scores, dim=-1).topk(3, dim=-1)
            np.testing.assert_allclose(read.top_probabilities[layer], best.values, atol=1e-5)
            following = torch.log_softmax(scores[:-1], dim=-1).gather(
                -1, replay.inputs["input_ids"][0, 1:, None]
            )
            np.testing.assert_allclose(read.next_log_probabilities[layer, :-1], following[:, 0], atol=1e-4)


def test_the_decision_ends_at_p_think(nano: VLM, read: LogitLens, answer: Answer) -> None:
    decision = read.decision
    assert list(decision["layer"]) == list(range(read.layers + 1))
    assert decision["p_think"].iloc[-1] == pytest.approx(answer.p_think, abs=1e-5)
    assert (decision["think"].iloc[0], decision["other"].iloc[0]) == ("<think>", "<|dummy_84|>")
    odds = np.log(decision["p_think"]) - np.log(decision["p_other"])
    np.testing.assert_allclose(decision["log_odds"], odds, atol=1e-3)
    assert (decision["log_odds"][read.decided_at :] > 0).all()


def test_the_decision_is_read_before_a_mode_is_forced(nano: VLM, sample, read: LogitLens) -> None:
    direct = logit_lens(nano, nano.ask(sample.images, sample.question, mode="nothink"))
    pd.testing.assert_frame_equal(direct.decision, read.decision, atol=1e-6)


def test_a_family_without_thoughts_has_no_decision(tmp_path_factory: pytest.TempPathFactory) -> None:
    vlm = tiny_vlm("gemma3", tmp_path_factory)
    read = logit_lens(vlm, ask(vlm))
    assert read.decision is None
    assert read.decided_at is None


def test_decided_at_is_where_the_sign_stays() -> None:
    def at(*odds: float) -> int | None:
        blank = np.zeros((len(odds), 1))
        made = LogitLens.__new__(LogitLens)
        object.__setattr__(made, "decision", pd.DataFrame({"log_odds": odds}))
        object.__setattr__(made, "top_ids", blank)
        return made.decided_at

    assert at(-1, 1, 2, 3) == 1
    assert at(1, 1, -1, 2, 3) == 3
    assert at(1, -1, -1) == 1


def test_patches_of_the_built_in_model_say_the_word_that_is_drawn_on_them(nano: VLM) -> None:
    total, right = 0, np.zeros(nano.model.config.text_config.num_hidden_layers + 1)
    for sample in workbench.synth.sample("gui_links", 4, seed=11):
        read = logit_lens(nano, nano.ask(sample.images, sample.question, mode="think"))
        said = [read.says(layer) for layer in range(len(right))]
        for box, step in zip(sample.boxes, sample.trace.split(".")):
            cells = said[0].grid.cells((box[0], box[1], box[0] + 20, box[3]))
            total += 1
            right += [any(one.words[cell].strip() == step.split()[0] for cell in cells) for one in said]
    assert right.max() >= 0.5 * total > 0  # at the best layer; by chance one in a thousand words


def test_patch_says_and_at_agree(read: LogitLens) -> None:
    said = read.says(2)
    grid = read.answer.layout.images[0]
    assert said.words.shape == said.probabilities.shape == (grid.rows, grid.cols)
    row = read.patch(3, 2, layer=2).iloc[0]
    assert (row["token"], row["probability"]) == (said.words[3, 2], pytest.approx(said.probabilities[3, 2]))
    assert read.patch(3, 2).equals(read.at(grid.position(3, 2)))
    assert read.says(2, rank=1).probabilities[3, 2] <= said.probabilities[3, 2]
    assert len(read.at(-1)) == (read.layers + 1) * read.k


def test_written_follows_one_token_through_the_layers(read: LogitLens, answer: Answer) -> None:
    path = read.written(answer.spans["answer"].start)
    assert path["says"].iloc[-1].strip() == answer.text
    assert path["rank"].iloc[-1] == 0
    assert path["probability"].iloc[-1] > path["probability"].iloc[0]


def test_chosen_places_are_read_and_no_others(nano: VLM, answer: Answer, read: LogitLens) -> None:
    some = logit_lens(nano, answer, place=["images", 90], k=5)
    first = answer.prompt_tokens - 1
    assert set(some.positions) == {*range(4, 4 + answer.image_tokens), 90, first}
    np.testing.assert_allclose(some.says(3).probabilities, read.says(3).probabilities, atol=1e-6)
    with pytest.raises(InputError, match="that were read"):
        some.at(91)
    with pytest.raises(InputError, match="that were read"):
        some.written(answer.spans["answer"].start)


def test_memory_holds_no_scores_of_all_positions(nano: VLM, answer: Answer, monkeypatch) -> None:
    seen: list[int] = []
    scores = Decoder.scores

    def counted(self: Decoder, states: torch.Tensor) -> torch.Tensor:
        seen.append(len(states))
        return scores(self, states)

    monkeypatch.setattr(Decoder, "scores", counted)
    logit_lens(nano, answer, chunk=16)
    assert max(seen) == 16


def test_a_lens_is_saved_and_loaded_without_torch(read: LogitLens, tmp_path) -> None:
    folder = read.save(tmp_path / "lens")
    read.save(folder)  # again, in its own place
    code = (
        "import sys\nfrom workbench.interpret.lens_record import LogitLens\n"
        f"read = LogitLens.load({str(folder)!r})\n"
        "print(read.says(1).words.shape, read.decided_at, 'torch' in sys.modules)\n"
        "assert '<table>' in read._repr_html_()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["(9,", "7)", str(read.decided_at), "False"], done.stderr
    again = LogitLens.load(folder)
    pd.testing.assert_frame_equal(again.decision, read.decision)
    pd.testing.assert_frame_equal(again.at(20), read.at(20))
    assert again.answer.token_ids == read.answer.token_ids


def test_another_folder_is_no_lens(read: LogitLens, answer: Answer, tmp_path) -> None:
    with pytest.raises(InputError, match="No such file"):
        LogitLens.load(tmp_path / "nothing")
    folder = read.save(tmp_path / "lens")
    (folder / "record.json").write_text('{"format": "other"}')
    with pytest.raises(InputError, match="damaged|format"):
        LogitLens.load(folder)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        read.save(tmp_path / "full")


def test_what_is_out_of_range_is_named(nano: VLM, answer: Answer, read: LogitLens) -> None:
    for wrong, message in (
        (lambda: read.says(5), "layer=5"),
        (lambda: read.says(-1), "layer=-1"),
        (lambda: read.says(0, image=1), "image=1"),
        (lambda: read.says(0, rank=5), "rank=5"),
        (lambda: read.patch(9, 0), "row=9"),
        (lambda: read.at(len(answer.token_ids)), "position"),
        (lambda: logit_lens(nano, answer, k=0), "k=0"),
        (lambda: logit_lens(nano, answer, place=9999), "position 9999"),
        (lambda: logit_lens(nano, answer, place="everywhere"), "everywhere"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()


def test_a_server_an_empty_answer_and_another_models_answer_are_refused(
    nano: VLM, answer: Answer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(CapabilityError, match="cannot be looked into"):
        logit_lens(ServerVLM.__new__(ServerVLM), answer)
    with pytest.raises(CapabilityError, match="without token ids"):
        logit_lens(nano, replace(answer, token_ids=(), layout=None))
    with pytest.raises(InputError, match="empty answer"):
        logit_lens(nano, replace(answer, token_ids=answer.prompt_ids))
    with pytest.raises(InputError, match="with the model"):
        logit_lens(tiny_vlm("phi4-rv", tmp_path_factory), answer)


def test_a_lack_of_memory_says_what_to_do_and_leaves_no_hook(nano: VLM, answer: Answer, monkeypatch) -> None:
    def full(self: Decoder, states: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Decoder, "scores", full)
        with pytest.raises(OutOfMemoryError, match="fewer positions"):
            logit_lens(nano, answer)
    assert not any(m._forward_pre_hooks for m in nano.model.modules())
    assert logit_lens(nano, answer).error < 1e-4


def test_a_head_that_is_not_the_models_scores_is_refused(nano: VLM, answer: Answer) -> None:
    hook = nano.model.register_forward_hook(lambda m, a, out: setattr(out, "logits", out.logits * 0.5))
    try:
        with pytest.raises(CapabilityError, match="output head over its final norm"):
            logit_lens(nano, answer)
    finally:
        hook.remove()
