"""One question answered in both modes: aligned answer tokens, what each looked at, and the difference"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from ..answer import Answer, html_table
from ..errors import CapabilityError, InputError
from ..types import Span
from .thinking import timeline

if TYPE_CHECKING:
    from ..models.handle import VLM

__all__ = ["ModePair", "PairedMaps", "compare_thinking"]


class PairedMaps(NamedTuple):
    """Attention on one picture in both modes, ``[rows, cols]`` each, and ``think - direct``."""

    think: np.ndarray
    direct: np.ndarray
    difference: np.ndarray


@dataclass(frozen=True)
class ModePair:
    """The same question, thought about and answered directly, with attention.

    Args:
        think: the answer that thought first.
        direct: the answer without a thought.
    """

    think: Answer
    direct: Answer

    def __post_init__(self) -> None:
        for name in ("think", "direct"):
            answer = getattr(self, name)
            _ = answer.attention  # says what is missing
            if not len(answer.spans["answer"]):
                raise InputError(f"an empty answer ({name})", "two answers with a token", "raise max_tokens")
        if self.think.thought is None:
            raise InputError("a thinking answer without a thought", "mode='think', and a model that thinks")
        if self.direct.thought is not None:
            raise InputError("a direct answer with a thought", "mode='nothink'")
        if (self.think.question, _shapes(self.think)) != (self.direct.question, _shapes(self.direct)):
            raise InputError("answers to two questions", "the same question about the same pictures")

    @property
    def same(self) -> bool:
        """Whether both answers are the same text."""
        return self.think.text == self.direct.text

    @property
    def tokens(self) -> pd.DataFrame:
        """The answers' tokens, aligned: equal ones side by side, others alone or against each other.

        Returns:
            A row for each pair: ``think``, ``direct`` (texts; "" where there is none), ``think_position``,
            ``direct_position`` (in each ``token_ids``; -1 where there is none), ``same``.
        """
        spans = [answer.spans["answer"] for answer in (self.think, self.direct)]
        ids = [a.token_ids[s.start : s.stop] for a, s in zip((self.think, self.direct), spans, strict=True)]
        rows: list[tuple[int, int, bool]] = []
        for kind, a, b, c, d in SequenceMatcher(a=ids[0], b=ids[1], autojunk=False).get_opcodes():
            for i in range(max(b - a, d - c)):
                left = spans[0].start + a + i if i < b - a else -1
                right = spans[1].start + c + i if i < d - c else -1
                rows.append((left, right, kind == "equal"))
        texts = [answer.attention.texts for answer in (self.think, self.direct)]
        return pd.DataFrame(
            {
                "think": ["" if at < 0 else texts[0][at] for at, _, _ in rows],
                "direct": ["" if at < 0 else texts[1][at] for _, at, _ in rows],
                "think_position": [at for at, _, _ in rows],
                "direct_position": [at for _, at, _ in rows],
                "same": [same for _, _, same in rows],
            }
        )

    def maps(
        self,
        row: int | None = None,
        *,
        image: int = 0,
        layers: int | Sequence[int] | None = None,
        heads: int | Sequence[int] | None = None,
        sinks: bool = False,
    ) -> PairedMaps:
        """What a pair of answer tokens looked at in each mode.

        Args:
            row: a row of `tokens`; None for the mean over each whole answer.
            image: which picture.
            layers, heads: averaged over; None for all.
            sinks: whether sinks count.

        Raises:
            InputError: for a row, picture, layer or head out of range, or a row without a partner.
        """
        options: dict[str, Any] = {"layers": layers, "heads": heads, "sinks": sinks}
        left, right = self._places(row)
        think = self.think.attention.map(left, image, **options)
        direct = self.direct.attention.map(right, image, **options)
        return PairedMaps(think, direct, think - direct)

    def shares(self) -> pd.DataFrame:
        """Where the answers' tokens looked: shares of the attention, all layers and heads.

        Returns:
            A row for each mode and answer token: ``mode``, ``token`` (position), ``text``, ``pictures``,
            ``prompt`` (the prompt's other tokens), ``thought``, ``reply`` (the rest of the reply so far).
        """
        return pd.concat([_shares(self.think, "think"), _shares(self.direct, "direct")], ignore_index=True)

    def timeline(self, **options: Any) -> pd.DataFrame:
        """The thought sentence by sentence; see `workbench.interpret.timeline`."""
        return timeline(self.think, **options)

    def save(self, path: str | Path) -> Path:
        """Save into a folder, the two answers as ``think`` and ``direct`` in it; it loads without a model.

        Raises:
            InputError: if there is something else.
        """
        folder = Path(path).expanduser()
        self.think.save(folder / "think")
        self.direct.save(folder / "direct")
        return folder

    @classmethod
    def load(cls, path: str | Path) -> ModePair:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there or damaged.
        """
        folder = Path(path).expanduser()
        return cls(Answer.load(folder / "think"), Answer.load(folder / "direct"))

    def __repr__(self) -> str:
        return (
            f"ModePair(think {self.think.text[:40]!r} after {self.think.thought_tokens} tokens, "
            f"direct {self.direct.text[:40]!r}: {'the same' if self.same else 'different'})"
        )

    def _repr_html_(self) -> str:
        means = self.shares().groupby("mode")[["pictures", "prompt", "thought", "reply"]].mean()
        rows = [
            [name, answer.text, *(f"{100 * share:.0f}%" for share in means.loc[name])]
            for name, answer in (("think", self.think), ("direct", self.direct))
        ]
        return html_table(
            ("mode", "answer", "on pictures", "on the prompt", "on the thought", "on the rest"), rows
        )

    def _places(self, row: int | None) -> tuple[Any, Any]:
        if row is None:
            return self.think.spans["answer"], self.direct.spans["answer"]
        table = self.tokens
        if not 0 <= row < len(table):
            raise InputError(f"row={row}", f"a row of .tokens, 0 to {len(table) - 1}")
        left, right = table["think_position"].iloc[row], table["direct_position"].iloc[row]
        if left < 0 or right < 0:
            raise InputError(f"row={row}, a token that only one answer has", "a row with both tokens")
        return int(left), int(right)


def compare_thinking(vlm: VLM, images: Any, question: str, **options: Any) -> ModePair:
    """Ask one question in both modes and keep the attention of both.

    Args:
        vlm: a model that can think and answer directly.
        images, question: as for `VLM.ask`.
        options: as for `VLM.ask`, without ``mode`` and ``capture``.

    Raises:
        ModeError: if the model lacks a mode.
        CapabilityError: for a server.
        InputError: as `VLM.ask`; for ``mode`` or ``capture``; if an answer is empty or a thought is missing.
    """
    from .prompts import check_vlm

    check_vlm(vlm)
    if wrong := {"mode", "capture"} & set(options):
        raise InputError(f"{wrong.pop()}= for a comparison of both modes", "the other options of vlm.ask")
    think, direct = (vlm.ask(images, question, mode=m, capture=True, **options) for m in ("think", "nothink"))
    return ModePair(think, direct)


def _shapes(answer: Answer) -> list[tuple[int, int, int]]:
    if answer.layout is None:
        raise CapabilityError("an answer without a layout", "one of a model that was loaded here")
    return [(grid.image, grid.rows, grid.cols) for grid in answer.layout.grids]


def _shares(answer: Answer, mode: str) -> pd.DataFrame:
    attention, span = answer.attention, answer.spans["answer"]
    rows = attention.mean(span)  # [tokens, positions]
    at = np.arange(rows.shape[1])
    assert answer.layout is not None, "checked when the pair was made"
    picture = np.array([answer.layout.locate(int(p)) is not None for p in at])
    thought: Span = answer.spans["thought"]
    inside = (at >= thought.start) & (at < thought.stop)
    prompt = (at < answer.prompt_tokens) & ~picture
    return pd.DataFrame(
        {
            "mode": mode,
            "token": list(span),
            "text": [attention.texts[p] for p in span],
            "pictures": rows[:, picture].sum(axis=1),
            "prompt": rows[:, prompt].sum(axis=1),
            "thought": rows[:, inside].sum(axis=1),
            "reply": rows[:, ~(picture | prompt | inside)].sum(axis=1),
        }
    )
