"""One question in every thinking mode, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..answer import Answer, html_table
from ..errors import ModeError
from ..types import Mode

if TYPE_CHECKING:
    import pandas

    from .chat import Asks

__all__ = ["ModeComparison", "compare_modes"]

COLUMNS = (
    *("mode", "text", "thought", "p_think", "prompt_tokens", "image_tokens", "thought_tokens"),
    *("answer_tokens", "seconds", "seconds_to_first_token", "stopped"),
)
HEADER = ("mode", "answer", "thought", "p_think", "thought tokens", "answer tokens", "seconds", "stopped")


@dataclass(frozen=True)
class ModeComparison:
    """The answers to one question by mode, as a table.

    Args:
        answers: mode name -> answer, for the modes that this model has.
        missing: mode name -> why the model lacks it.
    """

    answers: Mapping[str, Answer]
    missing: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, mode: str | Mode) -> Answer:
        return self.answers[Mode.of(mode).value]

    def frame(self) -> pandas.DataFrame:
        """One row per mode, numbers as numbers."""
        import pandas as pd

        rows = [{name: getattr(answer, name) for name in COLUMNS} for answer in self.answers.values()]
        return pd.DataFrame([{**row, "mode": str(row["mode"])} for row in rows], columns=list(COLUMNS))

    def _rows(self) -> list[list[str]]:
        rows = []
        for mode, a in self.answers.items():
            p_think = "" if a.p_think is None else f"{a.p_think:.3f}"
            counts = [str(a.thought_tokens), str(a.answer_tokens), f"{a.seconds:.2f}", a.stopped]
            rows.append([mode, a.text, a.thought or "", p_think, *counts])
        return rows + [[mode, f"(not available: {why})"] + [""] * 6 for mode, why in self.missing.items()]

    def __str__(self) -> str:
        lines = [HEADER, *self._rows()]
        return "\n".join(" | ".join(cell.replace("\n", " ") for cell in line) for line in lines)

    def _repr_html_(self) -> str:
        return html_table(HEADER, self._rows())


def compare_modes(vlm: Asks, images: Any, question: str, **options: Any) -> ModeComparison:
    """Ask in every mode that the model has, one after the other.

    An interruption ends the comparison: modes not yet asked are then left out.

    Args:
        vlm: the model.
        images, question: as for ``vlm.ask``.
        options: what else ``vlm.ask`` takes, without ``mode``.

    Raises:
        ModeError: if the model has none of the modes; and as ``vlm.ask``.
    """
    answers: dict[str, Answer] = {}
    missing: dict[str, str] = {}
    for mode in Mode:
        try:
            answers[mode.value] = vlm.ask(images, question, mode=mode, **options)
        except ModeError as error:
            missing[mode.value] = error.given
            continue
        if answers[mode.value].stopped == "interrupted":
            break
    if not answers:
        raise ModeError("; ".join(missing.values()), "a model that has a mode")
    return ModeComparison(answers, missing)
