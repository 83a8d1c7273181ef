"""An answer with attention by hand: two pictures, a thought and an answer, known looks of each word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from workbench.answer import Answer
from workbench.attention import Attention, make_attention
from workbench.interpret.attribution import Attribution
from workbench.interpret.lens_record import LogitLens
from workbench.interpret.targets import Scored, Target
from workbench.types import PatchGrid, Span, TokenLayout

EVIL = "<img src=x onerror=document.title='owned'>"
CLOSING = "</script><script>document.title='owned'</script>"
TEXTS = ("<think>", " red", "dish", " then", "\n", "</think>", EVIL, f" {CLOSING}", "<end>")
THOUGHT, ANSWER = (1, 5), (6, 8)  # which of them
BEFORE, ROWS, COLS, AFTER = 2, 3, 4, 2
#: The same with a thought of two sentences.
TWO = (TEXTS[0], " Red", ".", " Blue", ".", *TEXTS[5:])
SIZES = ((80, 60), (40, 30))
LAYERS, HEADS = 3, 2


def weights(words: int = len(TEXTS)) -> np.ndarray:
    """Of each layer, head and word: 0.4 on its own cell, 0.3 spread over the pictures, the rest on text.

    Word ``i`` has cell ``i + layer``; in head 1 it lies in the second picture.  The first token is a sink.
    """
    prompt = BEFORE + 2 * ROWS * COLS + AFTER
    found = np.zeros((LAYERS, HEADS, words, prompt + words - 1))
    for layer in range(LAYERS):
        for head in range(HEADS):
            for word in range(words):
                found[layer, head, word, BEFORE : prompt - AFTER] = 0.3 / (2 * ROWS * COLS)
                found[layer, head, word, BEFORE + head * ROWS * COLS + word + layer] += 0.4
                found[layer, head, word, 0] = 0.3
    return found


def record(texts: tuple[str, ...] = TEXTS) -> Attention:
    """The attention alone."""
    made = make_attention(
        weights(len(texts)), grid=(2 * ROWS, COLS), before=BEFORE, after=AFTER, reply=len(texts), words=texts
    )
    prompt = made.layout.length
    grids = tuple(
        PatchGrid(i, ROWS, COLS, BEFORE + i * ROWS * COLS, size, (0.0, 0.0, *map(float, size)), COLS)
        for i, size in enumerate(SIZES)
    )
    spans = {
        "thought": replace(made.spans["answer"], start=prompt + THOUGHT[0], stop=prompt + THOUGHT[1]),
        "answer": replace(made.spans["answer"], start=prompt + ANSWER[0], stop=prompt + ANSWER[1]),
    }
    return replace(made, layout=TokenLayout(prompt, grids), spans=spans)


def answer(texts: tuple[str, ...] = TEXTS) -> Answer:
    """The answer with its attention: a white picture and a black one; ``texts`` as long as `TEXTS`."""
    attention = record(texts)
    pictures = tuple(
        Image.new("RGB", size, colour) for size, colour in zip(SIZES, ("white", "black"), strict=True)
    )
    prompt = attention.layout.length
    return Answer(
        text="".join(texts[slice(*ANSWER)]),
        thought="".join(texts[slice(*THOUGHT)]),
        mode="think",
        p_think=0.9,
        prompt_tokens=prompt,
        image_tokens=2 * ROWS * COLS,
        thought_tokens=4,
        answer_tokens=2,
        seconds=0.1,
        seconds_to_first_token=0.1,
        stopped="end",
        token_ids=tuple(range(prompt + len(TEXTS))),
        spans=attention.spans,
        layout=attention.layout,
        question=f"Which? {CLOSING}",
        images=pictures,
        captured=attention,
    )


def direct_answer() -> Answer:
    """The other mode's reply to the same question: no thought, one word of answer, `EVIL` as well."""
    texts = ("</think>", EVIL, "<end>")
    whole, attention = answer(), record(texts)
    prompt = attention.layout.length
    spans = {"thought": Span(0, 0), "answer": Span(prompt + 1, prompt + 2)}
    return replace(
        whole, text=EVIL, thought=None, mode="nothink", thought_tokens=0, answer_tokens=1,
        token_ids=tuple(range(prompt + len(texts))), spans=spans,
        captured=replace(attention, spans=spans),
    )  # fmt: skip


def attribution() -> Attribution:
    """Evidence on the first picture: 3 for at row 1, column 2, and 1.5 against at row 2, column 0."""
    maps = (np.zeros((ROWS, COLS)), np.zeros((ROWS, COLS)))
    maps[0][1, 2], maps[0][2, 0] = 3.0, -1.5
    whole = answer()
    target = Target("answer", f"“{EVIL}”", (Scored(whole.token_ids, whole.spans["answer"]),))
    return Attribution(whole, "occlusion", target, maps)


def lens() -> LogitLens:
    """Every position says its number and its layer, in layer ``n`` with the probability ``n / LAYERS``."""
    whole = answer()
    count = len(whole.token_ids)
    ids = np.arange((LAYERS + 1) * count).reshape(LAYERS + 1, count, 1)
    chances = np.broadcast_to(np.arange(LAYERS + 1)[:, None, None] / LAYERS, ids.shape)
    words = {int(n): f" p{n % count}l{n // count}" for n in ids.ravel()} | {int(ids[2, BEFORE, 0]): EVIL}
    return LogitLens(
        whole, np.arange(count), ids, chances, np.zeros(ids.shape[:2]), np.zeros(ids.shape[:2], int), words
    )


def pointing_answer() -> Answer:
    """An answer about one picture: in layer 1, head 0 each word has its own patch; no other head moves.

    Head 1 of layer 0 always looks at the last patch, harder than the pointing head at its own.
    """
    rows, cols, words = 2, 3, (" a", " b", " c", " d")
    prompt = BEFORE + rows * cols + AFTER
    found = np.full((2, 2, len(words), prompt + len(words) - 1), 0.0)
    found[..., BEFORE : prompt - AFTER] = 0.01
    for word in range(len(words)):
        found[1, 0, word, BEFORE + word] = 0.5
        found[0, 1, word, BEFORE + rows * cols - 1] = 0.9
    found[..., 0] = 0.3
    made = make_attention(found, grid=(rows, cols), before=BEFORE, after=AFTER, reply=len(words), words=words)
    picture = Image.new("RGB", made.layout.images[0].size, "white")
    whole = answer()
    return replace(
        whole, text="a b c d", thought=None, mode="nothink", prompt_tokens=prompt, image_tokens=rows * cols,
        thought_tokens=0, answer_tokens=len(words), token_ids=tuple(range(prompt + len(words))),
        spans=made.spans, layout=made.layout, images=(picture,), captured=made,
    )  # fmt: skip
