"""Hide a part of a picture and ask again: both answers, and how likely each is with either picture"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from .. import models
from ..answer import Answer
from ..html import framed, table, thumbnail
from ..interpret.counterfactual import Counterfactual, counterfactual
from ..interpret.regions import Baseline
from ..interpret.targets import whole_reply
from ..types import Region

__all__ = ["AskedAgain", "ask_again"]


@dataclass(frozen=True, eq=False)
class AskedAgain:
    """A question before and after a part of its picture was hidden.

    Args:
        found: both answers, and what was hidden.
        first: probability of the first reply (its thought included), with the picture as it is and hidden.
        second: the same of the second reply.
    """

    found: Counterfactual
    first: tuple[float, float]
    second: tuple[float, float]

    @property
    def rows(self) -> list[tuple[Answer, tuple[float, float]]]:
        """Each answer with its two probabilities; one row where both replies are the same."""
        before, after = self.found.before, self.found.after
        if before.reply_ids == after.reply_ids:
            return [(before, self.first)]
        return [(before, self.first), (after, self.second)]

    @property
    def verdict(self) -> str:
        """One line: whether the answer is another one, and what hiding did to the first."""
        before, after = (answer.text.strip() for answer in (self.found.before, self.found.after))
        kept, left = (told(p) for p in self.first)
        what = (
            f"the answer changes from “{before}” to “{after}”"
            if self.found.changed
            else f"the answer stays “{after}”"
        )
        return f"Hidden: {what}; the first reply's probability goes from {kept} to {left}."

    def to_dict(self) -> dict[str, Any]:
        """What a view shows, as plain JSON values."""
        rows = [
            {"thought": answer.thought or "", "text": answer.text, "probabilities": [told(p) for p in both]}
            for answer, both in self.rows
        ]
        region = self.found.region
        return {"image": region.image, "box": list(region.box), "verdict": self.verdict, "rows": rows}

    @framed
    def _repr_html_(self) -> str:
        picture = thumbnail(
            self.found.after.images[self.found.region.image], side=200, alt="with a part hidden"
        )
        rows = [[answer.thought or "", answer.text, *map(told, both)] for answer, both in self.rows]
        header = ("thought", "answer", "probability as it is", "hidden")
        return f"<div><b>{escape(self.verdict)}</b></div>{picture}{table(header, rows)}"


def told(probability: float) -> str:
    """A probability in percent, to two digits; what is next to nothing is said as that."""
    if probability < 0.0001:
        return "under 0.01%"
    return f"{100 * probability:.3g}%" if probability >= 0.1 else f"{100 * probability:.2g}%"


def ask_again(vlm: models.VLM, answer: Answer, *, region: Region, baseline: Baseline = "mean") -> AskedAgain:
    """Hide a region, ask again with the same settings, and score both replies with both pictures.

    Args:
        vlm: the model that gave the answer.
        answer: the answer.
        region: what to hide.
        baseline: what it shows instead; see `workbench.interpret.counterfactual`.

    Raises:
        InputError: as `workbench.interpret.counterfactual`.
        CapabilityError: for a model behind a server.
    """
    from ..interpret.scoring import Scorer  # needs torch, and the record does not

    found = counterfactual(vlm, answer, region=region, baseline=baseline, controls=0)
    base = Scorer(vlm, answer, whole_reply(answer)).base
    first = (math.exp(base), math.exp(base - found.loss))
    second = (first[1], first[1])
    if found.after.reply_ids and found.after.reply_ids != answer.reply_ids:
        scorer = Scorer(vlm, found.after, whole_reply(found.after))
        second = (math.exp(float(scorer([list(answer.images)])[0])), math.exp(scorer.base))
    return AskedAgain(found, first, second)
