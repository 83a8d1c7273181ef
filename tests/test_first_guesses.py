"""First guesses of Transformers, captum, TransformerLens and lmms-eval users work, or get the right word."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import workbench
from workbench import ablate, bench, interpret, synth, viz
from workbench.errors import ArgumentError, InputError, UnknownNameError


class Room:
    """What a guess is made with: the built-in model, a picture with a question, and an answer about it."""

    def __init__(self) -> None:
        self.vlm = workbench.load()
        self.sample = synth.sample("read_sign", 1, seed=5)[0]
        self.image, self.question = self.sample.images[0], self.sample.question
        self.answer = self.vlm.ask(self.image, self.question, mode="nothink", max_tokens=8, capture=True)


@pytest.fixture(scope="module")
def room() -> Room:
    return Room()


Guess = Callable[[Room], Any]

ARGUMENTS: list[tuple[Guess, str]] = [
    # Transformers and the chat interfaces
    (lambda r: r.vlm.ask(image=r.image, question=r.question), "images"),
    (lambda r: r.vlm.ask(r.image, prompt=r.question), "question"),
    (lambda r: r.vlm.ask(r.image, text=r.question), "question"),
    (lambda r: r.vlm.ask(r.image, r.question, max_new_tokens=8), "max_tokens"),
    (lambda r: r.vlm.ask(r.image, r.question, do_sample=True), "temperature"),
    (lambda r: r.vlm.ask(r.image, r.question, enable_thinking=False), "mode"),
    (lambda r: r.vlm.ask(r.image, r.question, output_attentions=True), "capture"),
    (lambda r: r.vlm.ask(r.image, r.question, messages=[]), "history"),
    (lambda r: r.vlm.ask_many([r.image], [r.question], max_length=8), "max_tokens"),
    (lambda r: r.vlm.chat(max_new_tokens=8), "max_tokens"),
    (lambda r: workbench.load("nano", torch_dtype="float32"), "dtype"),
    (lambda r: workbench.load("nano", device_map="auto"), "device"),
    (lambda r: workbench.load("nano", load_in_4bit=True), "quantize"),
    (lambda r: workbench.load(pretrained="nano"), "source"),
    (lambda r: workbench.memory_plan(model_id="nano"), "source"),
    # captum
    (lambda r: interpret.attribute(r.vlm, r.answer, baselines="blur"), "baseline"),
    (lambda r: interpret.attribute(r.vlm, r.answer, feature_mask=(4, 4)), "regions"),
    (lambda r: interpret.attribute(r.vlm, r.answer, method="kernel_shap", n_samples=20), "samples"),
    (lambda r: interpret.attribute(r.vlm, r.answer, method="integrated_gradients", n_steps=20), "steps"),
    (lambda r: interpret.attribute(r.vlm, r.answer, internal_batch_size=4), "batch_size"),
    (lambda r: interpret.counterfactual(r.vlm, r.answer, region=(0, 0, 9, 9), baselines="blur"), "baseline"),
    # TransformerLens
    (lambda r: interpret.logit_lens(r.vlm, r.answer, pos=-1), "place"),
    (lambda r: interpret.knockout(model=r.vlm, answer=r.answer, sources="images", targets="answer"), "vlm"),
    # lmms-eval and VLMEvalKit
    (lambda r: bench.run(model=r.vlm, tasks=["mmmu"]), "vlm"),
    (lambda r: bench.run(r.vlm, task="suite"), "tasks"),
    (lambda r: bench.run(r.vlm, "suite", output_path="x"), "folder"),
    (lambda r: bench.run(r.vlm, "suite", num_samples=5), "limit"),
    (lambda r: bench.run(r.vlm, "suite", batchsize=5), "batch_size"),
    (lambda r: bench.run(r.vlm, "suite", verbose=False), "progress"),
    (lambda r: bench.load_results("x.xlsx", protocoll="workbench"), "protocol"),
    # anyone
    (lambda r: synth.sample("chain", num_samples=3, seed=0), "n"),
    (lambda r: synth.sample("chain", 3, random_state=0), "seed"),
    (lambda r: ablate.sweep([], show_progress=False), "progress"),
    (lambda r: viz.overlay(r.answer, map=None, picture=0), "image"),
    (lambda r: bench.score("mmmu", "A", reference="A"), "gold"),
]


@pytest.mark.parametrize(("guess", "meant"), ARGUMENTS)
def test_a_guessed_argument_is_told_its_word(room: Room, guess: Guess, meant: str) -> None:
    with pytest.raises(ArgumentError, match=f"did you mean {meant}\\?"):
        guess(room)


NAMES: list[tuple[Guess, str]] = [
    (lambda r: r.vlm.generate, "vlm.ask"),
    (lambda r: r.vlm.run_with_cache, "capture=True"),
    (lambda r: r.vlm.to_tokens, "vlm.tokenizer"),
    (lambda r: r.vlm.aks, "did you mean ask"),
    (lambda r: r.answer.attentions, "answer.attention"),
    (lambda r: r.answer.reasoning, "answer.thought"),
    (lambda r: r.answer.response, "answer.text"),
    (lambda r: workbench.from_pretrained, "workbench.load"),
    (lambda r: workbench.load_model, "workbench.load"),
    (lambda r: workbench.pipeline, "workbench.load"),
    (lambda r: interpret.IntegratedGradients, "method='integrated_gradients'"),
    (lambda r: interpret.Occlusion, "method='occlusion'"),
    (lambda r: interpret.activation_patching, "patch_region"),
    (lambda r: interpret.run_with_hooks, "knockout"),
    (lambda r: bench.simple_evaluate, "workbench.bench.run"),
    (lambda r: bench.Result, "did you mean Results"),
    (lambda r: viz.visualize_image_attr, "workbench.viz.overlay"),
    (lambda r: r.vlm(r.image, r.question), "vlm.ask(images, question)"),
]


@pytest.mark.parametrize(("guess", "meant"), NAMES)
def test_a_guessed_name_is_told_what_to_write(room: Room, guess: Guess, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=re.escape(meant)):
        guess(room)


TOLD: list[tuple[Guess, str]] = [
    (lambda r: bench.report([]), "report(results, path)"),
    (lambda r: interpret.attribute(r.answer), "attribute(vlm, answer)"),
    (lambda r: interpret.attribute(r.vlm, r.answer, method="IntegratedGradients"), "'integrated_gradients'?"),
    (lambda r: interpret.attribute(r.vlm, r.answer, method="ocklusion"), "did you mean 'occlusion'?"),
    (lambda r: bench.score("mmmu", "A", gold="A", protocol="lmms_eval"), "did you mean 'lmms-eval'?"),
    (lambda r: r.vlm.ask(r.image, r.question, mode="thinking"), "did you mean 'think'?"),
    (lambda r: r.vlm.ask(r.image, r.question, mode="no_think"), "did you mean 'nothink'?"),
    (lambda r: r.answer.plot(layer=1), "answer.attention.plot(layers=[1]"),
    (lambda r: interpret.logit_lens(r.vlm, r.answer, k=1).plot(path="x.png"), "of: lens"),
    (lambda r: synth.sample("chain", "three", seed=0), "for n: a whole number"),
    (lambda r: interpret.logit_lens(r.vlm, "an answer"), "answer"),
]


@pytest.mark.parametrize(("guess", "meant"), TOLD)
def test_a_call_that_cannot_be_is_told_what_it_should_be(room: Room, guess: Guess, meant: str) -> None:
    with pytest.raises(InputError, match=re.escape(meant)):
        guess(room)


def test_first_guesses_that_simply_work(room: Room) -> None:
    assert room.vlm.ask(images=room.image, question=room.question, max_tokens=2).text is not None
    assert room.vlm.chat(mode="nothink", max_tokens=2).ask(room.question, images=room.image).text is not None
    read = interpret.logit_lens(room.vlm, room.answer, k=1)
    assert read.layers > 1
    assert room.answer.plot("answer") is not None
    assert room.answer.attention.plot("answer") is not None
    occlusion = interpret.attribute(
        room.vlm, room.answer, target="answer", method="occlusion", regions=(2, 2), progress=False
    )
    assert len(occlusion.maps) == 1


def test_a_benchmark_is_found_however_it_is_written(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="a file like"):  # known, but not in this folder
        bench.task("mmmu", folder=tmp_path)


def test_a_model_named_as_for_a_server_is_told_where_it_goes() -> None:
    with pytest.raises(InputError, match=r"workbench\.load\('owner/name'\)"):
        workbench.load(model="owner/name")
