"""What a model can do in the drawn world, and how that holds up when an image or a question is drawn
otherwise.

Accuracy, tokens and seconds by family and mode; the robustness table has a row a perturbation: ``python -m
workbench.train.evaluate --model data/nano --world 1 --n 30`` prints it, ``--card data/nano`` adds it to the
model's card.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from PIL import Image, ImageFilter

from .. import synth
from ..answer import Answer
from ..errors import InputError
from ..files import write_bytes
from ..models.load import load
from ..stats import wilson
from ..synth import WORLD_1, Sample, World
from ..synth.look import Look, compressed, inverted, noisy
from ..synth.wordings import COLOURS
from ..terminal import run_one, write
from ..types import Mode
from .card import add_robustness

__all__ = ["PERTURBATIONS", "Perturbation", "Scored", "apart", "evaluate", "robustness", "summarise"]


#: Fresh pictures: seeds from here on are never used in training.
EVALUATION_SEED = 1_000_003

#: Questions asked one by one, for their time.
ALONE = 21

#: More than any trace needs; a model that rambles is stopped here.
LONGEST_REPLY = 128


@dataclass(frozen=True)
class Scored:
    """One question, its reply and whether it was right."""

    sample: Sample
    answer: Answer

    @property
    def right(self) -> bool:
        """By the family's rule, on the answer without its thought."""
        return self.sample.correct(self.answer.text)

    @property
    def trace_right(self) -> bool | None:
        """Whether the thought is the exact trace; None where there is no thought."""
        return None if self.answer.thought is None else self.answer.thought.strip() == self.sample.trace

    @property
    def facts(self) -> synth.Facts | None:
        """What a description names and invents; None where the answer is not one."""
        return self.sample.facts(self.answer.text) if self.sample.rule == "facts" else None

    @property
    def thought_true(self) -> bool | None:
        """Whether every sentence of the thought is true of the drawing; None where there is no thought."""
        return None if self.answer.thought is None else self.sample.true(self.answer.thought)


def evaluate(
    vlm: Any,
    families: Iterable[str] | None = None,
    *,
    n: int = 100,
    seed: int = EVALUATION_SEED,
    modes: Sequence[Mode | str] = tuple(Mode),
    difficulty: int | None = None,
    world: World | int = WORLD_1,
    batch_size: int = 32,
    progress: bool = True,
    **ask: Any,
) -> list[Scored]:
    """Ask ``n`` fresh questions of each family in each mode.

    Args:
        vlm: a loaded model, or a server.
        families: names of drawing families; None for all of the world's.
        n: questions per family; the same ones in every mode.
        seed: of the questions.
        modes: the modes to ask in.
        difficulty: 1, 2, 3, or None for a mix.
        world: in which the questions are drawn.
        batch_size: questions in one batch.
        progress: show a bar.
        **ask: more arguments of ``vlm.ask_many``, for example ``thinking_budget``; ``max_tokens`` is
            128 unless it is given.
    """
    ask.setdefault("max_tokens", LONGEST_REPLY)
    scored = []
    for family in synth.families_of(world) if families is None else families:
        samples = synth.sample(family, n, seed=seed, difficulty=difficulty, world=world)
        for mode in modes:
            answers = vlm.ask_many(
                [s.images for s in samples],
                [s.question for s in samples],
                mode=mode,
                batch_size=batch_size,
                progress=progress,
                **ask,
            )
            scored += [Scored(s, a) for s, a in zip(samples, answers, strict=True)]
    return scored


def _share(bits: pd.Series) -> float:
    """Mean of bits or shares, where there are any."""
    return bits.dropna().astype(float).mean()


def summarise(scored: Sequence[Scored], by: Sequence[str] = ("family", "mode")) -> pd.DataFrame:
    """One row per group: n, accuracy with its 95% interval, thoughts, p_think, tokens and seconds.

    Of the thoughts, ``trace`` is the share that are the exact trace, ``true`` that of which every sentence is
    true of the drawing, and ``true_if_right`` the latter among right answers.  Of descriptions, ``named`` is
    the mean share of the facts that they should name, ``invented`` that of what they say and is not so.

    Args:
        scored: from `evaluate`.
        by: any of family, domain, several_steps, difficulty, steps, mode.
    """
    rows = pd.DataFrame(
        {
            "family": s.sample.family,
            "domain": s.sample.domain,
            "several_steps": synth.family(s.sample.family).several_steps,
            "difficulty": s.sample.difficulty,
            "steps": s.sample.steps,
            "mode": str(s.answer.mode),
            "right": s.right,
            "thinks": s.answer.thought is not None,
            "trace": s.trace_right,
            "true": s.thought_true,
            "true_if_right": s.thought_true if s.right else None,
            "named": s.facts.named if s.facts else None,
            "invented": s.facts.invented if s.facts else None,
            "p_think": s.answer.p_think,
            "tokens": s.answer.reply_tokens,
            "seconds": s.answer.seconds,
        }
        for s in scored
    )
    groups = rows.groupby(list(by), sort=False)
    table = groups.agg(
        n=("right", "size"),
        right=("right", "sum"),
        accuracy=("right", "mean"),
        thinks=("thinks", "mean"),
        trace=("trace", _share),
        true=("true", _share),
        true_if_right=("true_if_right", _share),
        named=("named", _share),
        invented=("invented", _share),
        p_think=("p_think", "mean"),
        tokens=("tokens", "mean"),
        seconds=("seconds", "mean"),
    ).reset_index()
    bounds = [wilson(int(k), int(m)) for k, m in zip(table["right"], table["n"], strict=True)]
    table.insert(table.columns.get_loc("accuracy") + 1, "low", [low for low, _ in bounds])
    table.insert(table.columns.get_loc("low") + 1, "high", [high for _, high in bounds])
    return table


def apart(vlm: Any, world: World, *, n: int) -> dict[str, Any]:
    """What the card tells beside the scores of its families: how the model reads words that no training
    picture held and when it thinks about wordings that no training question had, where its world has such,
    and the seconds of a direct answer asked alone."""
    told: dict[str, Any] = {}
    if "read_text" in synth.families_of(world):
        unseen = replace(world, held_out=("words",))
        read = evaluate(vlm, ["read_text"], n=n, modes=["nothink"], world=unseen, progress=False)
        told["unseen_words"] = {"n": n, "accuracy": round(sum(s.right for s in read) / n, 4)}
        reworded = replace(world, held_out=("wordings",))
        asked = evaluate(vlm, n=n, modes=["auto"], world=reworded, progress=False)
        shares = summarise(asked, by=["several_steps"]).set_index("several_steps")["thinks"]
        told["auto_held_out"] = {"n": n, "several": round(shares[True], 4), "one": round(shares[False], 4)}
    alone = synth.sample("bar_value", ALONE, seed=EVALUATION_SEED, world=world)
    times = [vlm.ask(s.images, s.question, mode="nothink").seconds for s in alone]
    return told | {"direct_seconds": round(sorted(times)[ALONE // 2], 3)}


Box = tuple[float, float, float, float]
Changed = tuple[Image.Image, Callable[[Box], Box]]

#: Where the pictures and the questions of this table begin; no training draws from here.
ROBUSTNESS_SEED = EVALUATION_SEED + 50_000


@dataclass(frozen=True)
class Perturbation:
    """One row: what is done to a picture, or to the words of a question, or what is drawn instead.

    Args:
        change: gives a picture changed, and where a box of it lies then.
        held_out: of `World`: what is drawn in place of training's own.
        lower: whether the question is asked in small letters.
        colours: whether colours can still be told.
    """

    change: Callable[[Image.Image, random.Random], Changed] | None = None
    held_out: tuple[str, ...] = ()
    lower: bool = False
    colours: bool = True

    def __call__(self, sample: Sample, rng: random.Random) -> Sample:
        """The sample after it, its boxes moved along."""
        question = sample.question.lower() if self.lower else sample.question
        if self.change is None:
            return replace(sample, question=question)
        state = rng.getstate()
        images, boxes = [], sample.boxes
        for number, image in enumerate(sample.images):
            rng.setstate(state)  # all pictures of a question are changed alike
            changed, place = self.change(image, rng)
            images.append(changed)
            if number == sample.image:
                boxes = tuple(place(box) for box in sample.boxes)
        return replace(sample, images=images, boxes=boxes, question=question, elements=())


def _stays(change: Callable[[Image.Image], Image.Image]) -> Callable[[Image.Image, random.Random], Changed]:
    """A change after which everything is where it was."""
    return lambda image, rng: (change(image), lambda box: box)


def _bordered(image: Image.Image, left: int, top: int, colour: tuple[int, ...], *, both: bool) -> Changed:
    """The picture with pixels added at the left and the top, and at the other sides up to whole patches."""
    right, below = (left, top) if both else (16 - left, 16 - top)
    wide = Image.new("RGB", (image.width + left + right, image.height + top + below), colour)
    wide.paste(image, (left, top))
    return wide, lambda box: (box[0] + left, box[1] + top, box[2] + left, box[3] + top)


def _moved(image: Image.Image, rng: random.Random) -> Changed:
    colour = image.getpixel((0, 0))
    return _bordered(image, rng.randint(1, 7), rng.randint(1, 7), colour, both=False)  # type: ignore[arg-type]


def _border(image: Image.Image, rng: random.Random) -> Changed:
    return _bordered(image, 8, 8, (128, 128, 128), both=True)


def _scaled(least: float, most: float) -> Callable[[Image.Image, random.Random], Changed]:
    def change(image: Image.Image, rng: random.Random) -> Changed:
        scale = rng.uniform(least, most)
        size = max(64, round(image.width * scale)), max(64, round(image.height * scale))
        sx, sy = size[0] / image.width, size[1] / image.height
        return image.resize(size, Image.Resampling.BICUBIC), lambda box: (
            box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy,
        )  # fmt: skip

    return change


def _rotated(image: Image.Image, rng: random.Random) -> Changed:
    look = Look(image.size, angle=rng.choice((-3.0, 3.0)))
    return look.finish(image, image.getpixel((0, 0))), look.hull  # type: ignore[arg-type]


def _noisy(image: Image.Image, rng: random.Random) -> Changed:
    return noisy(image, 10, rng.randrange(2**31)), lambda box: box


def _negative(image: Image.Image) -> Image.Image:
    return Image.fromarray(255 - np.asarray(image))


#: Name of each row -> what it does.
PERTURBATIONS: Mapping[str, Perturbation] = {
    "as drawn": Perturbation(),
    "moved 1 to 7 px": Perturbation(_moved),
    "JPEG 50": Perturbation(_stays(lambda image: compressed(image, 50))),
    "noise, deviation 10": Perturbation(_noisy),
    "border of 8 px": Perturbation(_border),
    "scaled 0.75 to 1": Perturbation(_scaled(0.75, 1.0)),
    "scaled 1 to 1.5": Perturbation(_scaled(1.0, 1.5)),
    "rotated 3 degrees": Perturbation(_rotated),
    "blur 0.7": Perturbation(_stays(lambda image: image.filter(ImageFilter.GaussianBlur(0.7)))),
    "grey": Perturbation(_stays(lambda image: image.convert("L").convert("RGB")), colours=False),
    "light and dark inverted": Perturbation(_stays(inverted)),
    "negative": Perturbation(_stays(_negative), colours=False),
    "held-out typefaces": Perturbation(held_out=("fonts",)),
    "held-out wordings": Perturbation(held_out=("wordings",)),
    "lower case": Perturbation(lower=True),
}


def robustness(
    vlm: object,
    families: Iterable[str] | None = None,
    *,
    n: int = 30,
    world: World | int = WORLD_1,
    seed: int = ROBUSTNESS_SEED,
    rows: Iterable[str] = tuple(PERTURBATIONS),
    batch_size: int = 32,
) -> pd.DataFrame:
    """Accuracy under each perturbation: one-step questions asked directly, the others with a thought.

    Rows without colours leave out the questions that name one or ask for one.

    Args:
        vlm: a loaded model.
        families: names of drawing families; None for all of the world's.
        n: questions a family and row; the same ones in every row, as far as what is drawn allows.
        world: in which they are drawn.
        seed: of the questions.
        rows: of `PERTURBATIONS`.
        batch_size: questions in one batch.

    Raises:
        InputError: for an unknown family, row or world.

    Returns:
        One row per perturbation: n, accuracy with its 95% Wilson interval over all questions, the difference
            in
        points from the first row, and each family's accuracy.
    """
    world = world if isinstance(world, World) else World(world)
    families = synth.families_of(world) if families is None else tuple(families)
    if unknown := [name for name in rows if name not in PERTURBATIONS]:
        raise InputError(f"rows={unknown}", f"some of {', '.join(PERTURBATIONS)}")
    table, first = [], None
    for name in rows:
        change = PERTURBATIONS[name]
        right: dict[str, list[bool]] = {}
        for family in families:
            samples = synth.sample(family, n, seed=seed, world=replace(world, held_out=change.held_out))
            rng = random.Random(f"robustness/{name}/{family}/{seed}")
            samples = [change(s, rng) for s in samples if change.colours or not _coloured(s)]
            if samples:
                right[family] = _right(vlm, family, samples, batch_size)
        bits = [bit for found in right.values() for bit in found]
        low, high = wilson(sum(bits), len(bits))
        accuracy = sum(bits) / len(bits)
        first = accuracy if first is None else first
        row = {"perturbation": name, "n": len(bits), "accuracy": accuracy, "low": low, "high": high}
        row["points"] = 100 * (accuracy - first)
        table.append(row | {family: sum(found) / len(found) for family, found in right.items()})
    return pd.DataFrame(table)


def _right(vlm: Any, family: str, samples: list[Sample], batch_size: int) -> list[bool]:
    mode = "think" if synth.family(family).several_steps else "nothink"
    answers = vlm.ask_many(
        [s.images for s in samples],
        [s.question for s in samples],
        mode=mode,
        batch_size=batch_size,
        progress=False,
        max_tokens=LONGEST_REPLY,
    )
    return [s.correct(a.text) for s, a in zip(samples, answers, strict=True)]


def _coloured(sample: Sample) -> bool:
    """Whether a colour is named or asked for."""
    words = set(f"{sample.question} {sample.answer}".lower().replace("?", " ").replace(".", " ").split())
    return bool(words & {*COLOURS, "colour", "coloured"})


def _tabulate(
    *,
    model: Annotated[str, typer.Option(help="A model's folder, or its name.")] = "nano",
    world: Annotated[int, typer.Option(help="The drawn world of the questions.")] = 1,
    n: Annotated[int, typer.Option(help="Questions a family and row.")] = 30,
    families: Annotated[
        list[str] | None, typer.Option(metavar="FAMILY", help="Drawing families; all of the world's.")
    ] = None,
    rows: Annotated[
        list[str], typer.Option(metavar="ROW", help=f"Some of {', '.join(PERTURBATIONS)}.")
    ] = list(PERTURBATIONS),  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Also write the table to this JSON file.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="Also add the table to the card in this model's folder.")
    ] = None,
) -> None:
    """Measure how a model's answers hold up when pictures or questions are changed: one row per change."""
    table = robustness(load(model, device="cpu"), families, n=n, world=world, rows=rows)
    if out is not None:
        write_bytes(out, table.to_json(orient="records", indent=2).encode())
    if card is not None:
        add_robustness(card, table, n=n, world=world)
    write(table.round(3).to_string(index=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the table from a shell; its exit status."""
    examples = [
        "--model data/nano --world 1",
        "--model runs/nano/model --world 2 --n 100 --card runs/nano/model",
    ]
    return run_one(_tabulate, arguments, name="python -m workbench.train.evaluate", examples=examples)


if __name__ == "__main__":
    raise SystemExit(main())
