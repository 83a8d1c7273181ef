"""`Results`: what a model replied to every item of a benchmark, whoever asked, as one table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError
from .columns import COLUMNS, KEY, tidy

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..answer import Answer

__all__ = ["COLUMNS", "KEY", "Results", "answer_row"]


@dataclass(frozen=True, eq=False)
class Results:
    """Every response of a run or of an imported log, with its score; make one with `Results.of`.

    Args:
        table: the columns of `COLUMNS`, one row an item and mode; `frame` gives a copy.
        folder: where relative picture references lie; None where there are no pictures.
        warnings: what a reader should know about these rows, each with its count.
        about: facts on the run or log as a whole (settings, hardware, the log's own totals).
    """

    table: pd.DataFrame
    folder: Path | None = None
    warnings: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: Iterable[Mapping[str, Any]] | pd.DataFrame,
        *,
        folder: str | Path | None = None,
        warnings: Sequence[str] = (),
        about: Mapping[str, Any] | None = None,
        duplicates: str = "error",
    ) -> Results:
        """Check rows and make the record.

        Args:
            rows: dicts, or a table, with some of `COLUMNS`; ``benchmark``, ``item`` and ``mode`` are needed.
            folder: where relative picture references lie.
            warnings: to keep, beside those that are found here.
            about: facts on the whole, as plain JSON values.
            duplicates: for rows with the same `KEY`: ``"error"``, or ``"first"`` or ``"last"`` to keep that
                one with a counted warning.

        Raises:
            InputError: for an unknown or missing column, an empty id, an unknown mode, a value outside
                0 to 1, or duplicates.
        """
        if duplicates not in ("error", "first", "last"):
            raise InputError(f"duplicates={duplicates!r}", "'error', 'first' or 'last'")
        table = tidy(rows)
        table, doubled = _without_duplicates(table, duplicates)
        found = [*warnings, *doubled, *_observed(table)]
        place = None if folder is None else Path(folder).expanduser()
        return cls(table, place, tuple(dict.fromkeys(found)), dict(about or {}))

    @classmethod
    def concat(cls, parts: Iterable[Results], *, duplicates: str = "error") -> Results:
        """Several results as one; picture references become absolute where the folders differ.

        Raises:
            InputError: if there are none, or two rows have the same `KEY` (unless ``duplicates`` says
                which to keep).
        """
        given = list(parts)
        if not given:
            raise InputError("no results", "at least one Results")
        folders = {part.folder for part in given}
        tables = [part.table if len(folders) == 1 else part._with_absolute_images() for part in given]
        kept = [w for part in given for w in part.warnings if not w.startswith(_OBSERVED)]
        about: dict[str, Any] = {}
        for part in given:
            about.update({k: v for k, v in part.about.items() if k not in about})
        table = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
        folder = given[0].folder if len(folders) == 1 else None
        return cls.of(table, folder=folder, warnings=kept, about=about, duplicates=duplicates)

    def __add__(self, other: Results) -> Results:
        return Results.concat([self, other])

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.table["benchmark"].unique()[:4])) or "no rows"
        scored = self.table["value"].dropna()
        mean = f", mean {scored.mean():.3f}" if len(scored) else ""
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"Results({len(self)} rows: {names}; rules {self.rules}{mean}{warned})"

    @property
    def rules(self) -> str:
        """Whose rules gave the values; ``"mixed"`` where rows differ."""
        names = set(self.table["rules"]) - {""}
        return next(iter(names)) if len(names) == 1 else ("mixed" if names else "")

    def frame(self) -> pd.DataFrame:
        """A copy of the table: one row an item and mode, with the columns of `COLUMNS`."""
        return self.table.copy()

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows as dicts; None for text that is absent, NaN for numbers that are not known."""
        yield from self.table.to_dict("records")

    def where(self, **wanted: Any) -> Results:
        """The rows with these values: ``results.where(benchmark="ChartQA", mode=["auto", "think"])``.

        Raises:
            InputError: for a column that does not exist.
        """
        keep = pd.Series(True, index=self.table.index)
        for name, value in wanted.items():
            if name not in COLUMNS:
                raise InputError(f"column {name!r}", f"one of {', '.join(COLUMNS)}")
            values = [value] if isinstance(value, str) or not isinstance(value, (list, tuple, set)) else value
            keep &= self.table[name].isin(list(values))
        return self.replaced(self.table[keep].reset_index(drop=True))

    def replaced(self, table: pd.DataFrame, *, warnings: Sequence[str] = ()) -> Results:
        """The same record around another table (checked anew), for functions that change some columns."""
        kept = [w for w in self.warnings if not w.startswith(_OBSERVED)]
        return Results.of(table, folder=self.folder, warnings=[*kept, *warnings], about=self.about)

    def images(self, row: int | Mapping[str, Any]) -> list[Image]:
        """The pictures of one row, opened now.

        Args:
            row: position in the table, or a row (anything with ``["images"]``).

        Raises:
            InputError: if a picture is not there or cannot be read.
        """
        from ..images import open_image

        refs = self.table["images"].iloc[row] if isinstance(row, int) else row["images"]
        return [open_image(self.place(ref)) for ref in refs]

    def place(self, ref: str) -> Path:
        """Where a picture reference leads.

        Raises:
            InputError: for a relative one without a folder.
        """
        path = Path(ref)
        if not path.is_absolute() and self.folder is None:
            raise InputError(
                f"picture {ref!r} of results without a folder", "Results.folder", "pass folder=..."
            )
        return path if path.is_absolute() else Path(self.folder or "") / path

    def _with_absolute_images(self) -> pd.DataFrame:
        if self.folder is None:
            return self.table
        table = self.table.copy()
        table["images"] = pd.Series(
            [tuple(str(self.place(ref).absolute()) for ref in refs) for refs in table["images"]],
            dtype=object,
        )
        return table

    def save(self, path: str | Path) -> Path:
        """Save as ``.jsonl`` or (with pyarrow) ``.parquet``; the file's ending decides.

        Raises:
            InputError: for another ending, or parquet without pyarrow.
        """
        from .results_file import save_results

        return save_results(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Results:
        """Load what `save` wrote.

        Raises:
            InputError: if it is not there, damaged, or of another format.
        """
        from .results_file import read_results

        return read_results(path)


_OBSERVED = ("not scored:", "mixed versions:", "mixed rules:")  # warnings that are found anew in each table


def _without_duplicates(table: pd.DataFrame, duplicates: str) -> tuple[pd.DataFrame, list[str]]:
    repeated = table.duplicated(list(KEY), keep="first")
    if not repeated.any():
        return table, []
    first = table[repeated].iloc[0]
    name = f"{first['benchmark']} item {first['item']!r} in mode {first['mode']}"
    if duplicates == "error":
        raise InputError(
            f"{int(repeated.sum())} rows repeat an item that is already there (the first: {name})",
            f"one row for each {', '.join(KEY)}",
            "name the runs apart (run=...), number repetitions (epoch=...), or pass duplicates='last'",
        )
    every = table[table.duplicated(list(KEY), keep=False)]
    differ = int((every.groupby(list(KEY))["response"].nunique(dropna=False) > 1).sum())
    kept = table.drop_duplicates(list(KEY), keep=duplicates).reset_index(drop=True)
    return kept, [
        f"duplicates: {int(repeated.sum())} rows repeat an item (the first: {name}); the {duplicates} "
        f"of each was kept; {differ} items had different responses"
    ]


def _observed(table: pd.DataFrame) -> list[str]:
    found = []
    if missing := int(table["value"].isna().sum()):
        found.append(f"not scored: {missing} of {len(table)} rows have no value (NaN)")
    for benchmark, versions in table.groupby("benchmark")["version"].unique().items():
        if len(versions) > 1:
            names = ", ".join(repr(v) for v in sorted(versions))
            found.append(f"mixed versions: {benchmark} has rows of {len(versions)} versions ({names})")
    rules = sorted(set(table["rules"]) - {""})
    if len(rules) > 1:
        counts = ", ".join(f"{int((table['rules'] == r).sum())} by {r}" for r in rules)
        found.append(f"mixed rules: the values come from {len(rules)} sets of rules ({counts})")
    return found


def answer_row(answer: Answer) -> dict[str, Any]:
    """The columns that an `Answer` fills; the caller adds benchmark, item, gold, value and so on."""
    first = answer.seconds_to_first_token
    return {
        "model": answer.model,
        "harness": "workbench",
        "mode": answer.mode.value,
        "question": answer.question,
        "response": answer.text,
        "thought": answer.thought,
        "stopped": answer.stopped,
        "created": answer.created,
        "prompt_tokens": answer.prompt_tokens,
        "image_tokens": answer.image_tokens,
        "thought_tokens": answer.thought_tokens,
        "answer_tokens": answer.answer_tokens,
        "tokens": answer.thought_tokens + answer.answer_tokens,
        "seconds": answer.seconds,
        "seconds_to_first_token": math.nan if first is None else first,
        "p_think": math.nan if answer.p_think is None else answer.p_think,
    }
