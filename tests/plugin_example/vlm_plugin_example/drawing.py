"""A family of drawings: a bar of battery charge, read to the next tenth."""

from __future__ import annotations

import random

from workbench import synth
from workbench.synth import Canvas, Drawing, Question

__all__ = ["battery", "register"]


def battery(rng: random.Random, difficulty: int) -> Drawing:
    """A battery symbol that is full to some tenths; a harder one is smaller."""
    canvas = Canvas(128, 96)
    width, height = 100 - 20 * difficulty, 32
    x, y = rng.randrange(4, 124 - width), rng.randrange(4, 60)
    tenths = rng.randrange(1, 11)
    frame = (float(x), float(y), float(x + width), float(y + height))
    canvas.rectangle(frame, fill=(255, 255, 255), line=(0, 0, 0))
    canvas.rectangle((x, y, x + width * tenths / 10, y + height), fill=(0, 136, 85))
    answer = str(10 * tenths)
    question = Question(
        text="How full is the battery, in percent?",
        answer=answer,
        trace=f"The battery is {answer} percent full.",
        boxes=(frame,),
        rule="number",
    )
    return Drawing([canvas], [question])


def register() -> None:
    """Add it to the workbench's table."""
    synth.register_family("battery", battery, domain="computer_use")
