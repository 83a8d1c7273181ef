"""The published tables, tidy, with an error bar on every number.

The margins say how large the error of a printed score or difference can be where the items are not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd

from ...errors import InputError
from ...files import data_path
from ...names import verb
from ...stats import wilson

__all__ = [
    "FOUR",
    "Margin",
    "PHI",
    "Z",
    "benchmarks",
    "consistent",
    "margin",
    "mean_margin",
    "mixture",
    "models",
    "resolution",
    "scores",
]


#: The model that the report is about.
PHI = "Phi-4-reasoning-vision-15B"

#: The benchmarks that the article averages.
FOUR = ("ChartQA", "MathVista", "MMMU", "ScreenSpot_v2")


@cache
def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(data_path("published", name), keep_default_na=False, na_values=[""])


def benchmarks() -> pd.DataFrame:
    """Items of each benchmark: benchmark, split, items, clusters (NaN: not known), shared_unit, checked."""
    return _read("benchmarks.csv").fillna({"split": "", "checked": ""})


def models() -> pd.DataFrame:
    """Training tokens of each model, in billions, as far as the report says; relation ">" means "over"."""
    return _read("models.csv").copy()


def scores() -> pd.DataFrame:
    """Tables 3 and 4: one row per benchmark, model, mode and output limit.

    Returns:
        ``benchmark``, ``model``, ``mode``, ``max_output_tokens`` (text, empty where the report names none),
        ``entry`` (model, mode and limit in one name), ``score``, ``low``, ``high``, ``error`` (percent),
        ``items``, ``independent`` (items that the error counts), ``right`` (items, rounded) and ``tables``.
    """
    found = _read("scores.csv").fillna({"max_output_tokens": ""})
    limit = found["max_output_tokens"].where(
        found["max_output_tokens"] == "", " " + found["max_output_tokens"]
    )
    mode = found["mode"].where(found["model"] == PHI, "")
    found["entry"] = found["model"] + (" " + mode).where(mode != "", "") + limit
    return with_error(found)


def mixture() -> pd.DataFrame:
    """Table 2: one row per mixture and benchmark, with records a domain and the columns of error of
    `scores`."""
    return with_error(_read("mixture.csv"))


def resolution() -> pd.DataFrame:
    """Table 1: one row per method and benchmark, with the columns of error of `scores`."""
    found = _read("resolution.csv")
    return with_error(found.assign(entry=found["method"] + " " + found["max_tokens"].astype(str)))


def with_error(table: pd.DataFrame) -> pd.DataFrame:
    """Percent scores with their items and sampling error: Wilson's 95% interval and the standard error.

    Where items are versions of one problem, the problems are counted as if all versions were answered alike:
    the largest error that clusters can cause with a correlation of 0 to 1 within them (Kish 1965).

    Raises:
        InputError: for a benchmark of which the number of items is not known.
    """
    known = benchmarks().set_index("benchmark")
    if unknown := sorted(set(table["benchmark"]) - set(known.index)):
        raise InputError(f"benchmark {unknown[0]!r}", f"one of {', '.join(known.index)}")
    items = known.loc[table["benchmark"], "items"].to_numpy()
    independent = known.loc[table["benchmark"], "clusters"].fillna(known["items"]).to_numpy(int)
    share = table["score"].to_numpy(float) / 100
    bounds = [wilson(p * n, n) for p, n in zip(share, independent, strict=True)]
    return table.assign(
        low=[100 * low for low, _ in bounds],
        high=[100 * high for _, high in bounds],
        error=[100 * math.sqrt(p * (1 - p) / n) for p, n in zip(share, independent, strict=True)],
        items=items,
        independent=independent,
        right=(share * items).round().astype(int),
    )


def consistent(table: pd.DataFrame) -> pd.DataFrame:
    """Which printed scores are a whole number of right items (the GRIM test, Brown and Heathers 2017).

    A score of one decimal can be checked where a benchmark has fewer than 1000 items. One that no count of
    items gives was averaged otherwise, cut instead of rounded, mistyped, or is of another number of items.

    Args:
        table: from `scores`, `mixture` or `resolution`.

    Returns:
        The rows of benchmarks with fewer than 1000 items, with ``nearest`` (percent, of the closest count),
        ``reachable`` (rounds to the printed score), and ``by_chance``: the share of all scores with one
        decimal that some count gives, so how little a reachable score proves.
    """
    small = table[table["items"] < 1000]
    nearest = 100 * small["right"] / small["items"]
    # half a unit of the last digit, and a little for the binary form of the number
    return small.assign(
        nearest=nearest,
        reachable=(nearest - small["score"]).abs() <= 0.05 + 1e-9,
        by_chance=[len({round(100 * k / n, 1) for k in range(n + 1)}) / 1001 for n in small["items"]],
    )


#: Standard errors of a 95% interval.
Z = 1.959964


@dataclass(frozen=True, slots=True)
class Margin:
    """A difference of two scores in points, with the errors that it can have.

    The same items were asked twice, but which of them were right is not known here (logs are said to
    come with the weights; that was not verified). ``error`` is the standard
    error if right answers on the two sides had nothing to do with each other; they go together in practice,
    so it is too large rather than too small. ``least_error`` is the smallest that any pairing of the items
    allows: all items that changed, changed the same way.
    """

    first: float
    second: float
    error: float
    least_error: float
    items: int

    @property
    def difference(self) -> float:
        """First score minus second, in points."""
        return self.first - self.second

    @property
    def z(self) -> float:
        """Difference over ``error``."""
        return _ratio(self.difference, self.error)

    @property
    def sure(self) -> bool:
        """Larger than its 95% error even without knowing the pairs."""
        return abs(self.z) > Z

    @property
    def hopeless(self) -> bool:
        """Within its 95% error however the items were paired."""
        return abs(_ratio(self.difference, self.least_error)) <= Z

    def __str__(self) -> str:
        signed = ("+" if self.difference >= 0 else "") + _points(self.difference)
        text = f"{_points(self.first)} - {_points(self.second)} = {signed} points, "
        text += f"95% error {Z * self.error:.1f} (unpaired)"
        if self.sure:
            return f"{text}: larger than its error"
        if self.hopeless:
            return f"{text}, {Z * self.least_error:.1f} at the least: within its error however the items pair"
        return f"{text}, {Z * self.least_error:.1f} at the least: only the items could tell"


@verb("items")
def margin(first: float, second: float, *, items: int, independent: int | None = None) -> Margin:
    """The difference of two printed scores on the same items.

    With shares p and q, an item's difference has the variance ``discordant - (p - q)**2``; the share of
    discordant items lies between ``|p - q|`` and, for answers without any connection, p(1-q) + q(1-p).

    Args:
        first, second: percent.
        items: how many items both were asked.
        independent: how many of them count in ``error`` where items come in clusters; None for all.

    Raises:
        InputError: for scores outside 0 to 100, or no items.
    """
    if not (0 <= first <= 100 and 0 <= second <= 100) or items < 1:
        raise InputError(
            f"scores {first} and {second} of {items} items", "percent of 0 to 100, of at least 1 item"
        )
    p, q = first / 100, second / 100
    d = abs(p - q)
    unpaired = (p * (1 - p) + q * (1 - q)) / (independent or items)
    return Margin(first, second, 100 * math.sqrt(unpaired), 100 * math.sqrt(d * (1 - d) / items), items)


def mean_margin(margins: Sequence[Margin], *, same_items: bool = False) -> Margin:
    """The difference of two means, each margin counting the same.

    Args:
        margins: of different benchmarks, whose errors are independent; or, with ``same_items``, of several
            pairs of models on the same items. What one pair has in common with the next is then not known
            either: ``error`` takes their errors to be fully correlated, ``least_error`` takes the items that
            changed to cancel as far as they can.
        same_items: all margins are of the same items.

    Raises:
        InputError: for none.
    """
    if not margins:
        raise InputError("no benchmarks", "at least one")
    k = len(margins)
    first, second = sum(m.first for m in margins) / k, sum(m.second for m in margins) / k
    if same_items:
        items = margins[0].items
        assert all(m.items == items for m in margins), [m.items for m in margins]
        d = abs(first - second) / 100
        least = 100 * math.sqrt(max(0.0, d / k - d * d) / items)
        return Margin(first, second, sum(m.error for m in margins) / k, least, items)
    error = math.sqrt(sum(m.error**2 for m in margins)) / k
    least = math.sqrt(sum(m.least_error**2 for m in margins)) / k
    return Margin(first, second, error, least, sum(m.items for m in margins))


def _points(value: float) -> str:
    """As printed, with one decimal; a mean with two."""
    return f"{value:.1f}" if abs(value - round(value, 1)) < 1e-6 else f"{value:.2f}"


def _ratio(difference: float, error: float) -> float:
    if error > 0:
        return difference / error
    return 0.0 if difference == 0 else math.copysign(math.inf, difference)
