"""The leaderboard: which method's maps are faithful, plausible and cheap, with intervals over questions

`workbench.interpret.leaderboard` measures it; reading it needs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import data_path, local_path, read_json
from ..html import framed
from ..names import later
from ..stats import bootstrap_mean
from .faithfulness import LEAST_DROP, LEAST_SHARE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["REFERENCES", "Leaderboard", "read_leaderboard", "standings"]

REFERENCES = ("random", "centre", "sink")
ROWS, TABLE, ABOUT = "rows.csv", "league.csv", "league.json"


def standings(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per mode and method, the most faithful first, with 95% bootstrap intervals over questions.

    Faithfulness is the gap of insertion and deletion AUC in nats, averaged over the baselines; random
    orders have none.  It counts the answers that need their picture.  Plausibility counts the right ones:
    the true evidence of a wrong answer is not known.

    Args:
        rows: as they were measured, one per question, mode and method.

    Returns:
        ``mode, method, n, gap, gap_low, gap_high`` (nats), ``worst`` and ``worst_low`` (the baseline with
        the lowest interval), ``over_centre`` with its interval (paired), ``n_right, pointing, iou`` with
        intervals, ``chance``, ``seconds, forwards, backwards`` and ``verdict``.

    Raises:
        InputError: for no measured row.
    """
    rows = rows[rows["note"].isna() | (rows["note"] == "")]
    baselines = [name.removeprefix("gap_") for name in rows.columns if name.startswith("gap_")]
    if rows.empty or not baselines:
        raise InputError("a leaderboard without a measured row", "rows with gap_... columns")
    rows = rows.assign(gap=rows[[f"gap_{baseline}" for baseline in baselines]].mean(axis=1))
    needed = rows[rows["full"] - rows["no_image"] >= LEAST_DROP]
    found = []
    for (mode, method), own in needed.groupby(["mode", "method"], sort=False):
        right = rows[(rows["mode"] == mode) & (rows["method"] == method) & rows["right"]]
        centre = needed[(needed["mode"] == mode) & (needed["method"] == "centre")]
        found.append(
            {
                "mode": mode,
                "method": method,
                **_faithful(own, centre, baselines),
                **_plausible(right),
                **_cost(own),
            }
        )
    table = pd.DataFrame(found)
    return table.sort_values(["mode", "gap"], ascending=[True, False], ignore_index=True, kind="stable")


def _faithful(own: pd.DataFrame, centre: pd.DataFrame, baselines: Sequence[str]) -> dict[str, Any]:
    by_baseline = {baseline: bootstrap_mean(own[f"gap_{baseline}"].to_numpy()) for baseline in baselines}
    worst = min(by_baseline, key=lambda baseline: by_baseline[baseline][1])
    paired = own.merge(centre, on="question", suffixes=("", "_centre"))
    over = bootstrap_mean((paired["gap"] - paired["gap_centre"]).to_numpy())
    return {
        "n": len(own),
        **_named("gap", bootstrap_mean(own["gap"].to_numpy())),
        "worst": worst,
        "worst_low": by_baseline[worst][1],
        **_named("over_centre", over),
        "verdict": _verdict(by_baseline, over, float((own["full"] - own["no_image"]).mean())),
    }


def _verdict(
    by_baseline: dict[str, tuple[float, float, float]], over: tuple[float, float, float], drop: float
) -> str:
    better, worse = (
        [f for f, e in by_baseline.items() if e[1] > 0],
        [f for f, e in by_baseline.items() if e[2] < 0],
    )
    if len(better) == len(by_baseline):
        return "better than random" + (" and centre" if over[1] > 0 else "")
    if better:
        return f"better than random under {', '.join(better)} only"
    if len(worse) == len(by_baseline):
        return "worse than random"
    useless = all(high <= LEAST_SHARE * drop for _, _, high in by_baseline.values())
    return "no better than random" if useless else "cannot tell from random"


def _plausible(right: pd.DataFrame) -> dict[str, Any]:
    return {
        "n_right": len(right),
        **_named("pointing", bootstrap_mean(right["pointing"].to_numpy())),
        **_named("iou", bootstrap_mean(right["iou"].to_numpy())),
        "chance": float(right["chance"].mean()),
    }


def _cost(own: pd.DataFrame) -> dict[str, Any]:
    return {
        **_named("seconds", bootstrap_mean(own["seconds"].to_numpy())),
        "forwards": float(own["forwards"].mean()),
        "backwards": float(own["backwards"].mean()),
    }


def _named(name: str, estimate: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), estimate, strict=True))


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A leaderboard that was measured.

    Args:
        table: `standings`.
        rows: one per question, mode and method.
        about: settings, model, hardware, date, commit, seconds.
    """

    table: pd.DataFrame
    rows: pd.DataFrame
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def findings(self) -> list[str]:
        """What the table says, computed: a sentence a mode on faithfulness, one on plausibility."""
        return [
            line for mode, own in self.table.groupby("mode", sort=False) for line in _findings(str(mode), own)
        ]

    def needed(self) -> pd.DataFrame:
        """How far answers need their picture: one row per mode, nats lost without it by the whole reply, and
        by the answer alone when its thought is given."""
        once = self.rows.drop_duplicates(["question", "mode"]).dropna(subset=["full"])
        found = []
        for mode, own in once.groupby("mode", sort=False):
            drop = (own["full"] - own["no_image"]).to_numpy()
            given = own["drop_answer"].to_numpy(dtype=float)
            need = float(np.mean(drop >= LEAST_DROP))
            row = {"mode": mode, "n": len(own), "right": float(own["right"].mean()), "share_needed": need}
            found.append(
                {**row, **_named("drop", bootstrap_mean(drop)), **_named("answer", bootstrap_mean(given))}
            )
        return pd.DataFrame(found)

    def plot(self) -> Figure:
        """Each method's faithfulness, plausibility and seconds: `workbench.viz.leaderboard`."""
        return later("viz", "leaderboard")(self)

    def __repr__(self) -> str:
        return f"Leaderboard({len(self.table)} rows; {' '.join(self.findings)})"

    @framed
    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.findings)
        return f"<ul>{lines}</ul>{self.table.round(2).to_html()}"


def _findings(mode: str, own: pd.DataFrame) -> list[str]:
    name = {"nothink": "Answering directly", "think": "Thinking"}.get(mode, mode)
    real = own[~own["method"].isin(REFERENCES)]
    good = real[real["verdict"].str.startswith("better than random") & ~real["verdict"].str.endswith("only")]
    best, lines = own.iloc[0], []
    failed = [m for m in real["method"] if m not in set(good["method"])]
    lines.append(
        f"{name}, {len(good)} of {len(real)} methods are better than random under every baseline; the most "
        f"faithful is {best.method} ({best.gap:.2f} nats, {best.gap_low:.2f} to {best.gap_high:.2f})"
        + (f"; not better: {', '.join(failed)}." if failed else ".")
    )
    known = own.dropna(subset=["pointing"])
    if len(known):
        aim = known.sort_values("pointing", ascending=False).iloc[0]
        lines.append(
            f"{name}, {aim.method} points at the true evidence most often ({100 * aim.pointing:.0f}% of "
            f"{aim.n_right} right answers, by chance {100 * aim.chance:.0f}%)."
        )
    return lines


def read_leaderboard(folder: str | Path | None = None) -> Leaderboard:
    """Read a leaderboard that was measured; by default the one that ships.

    Raises:
        InputError: if there is none, or it is not finished.
    """
    place = data_path("league") if folder is None else local_path(folder)
    if not ((place / ABOUT).is_file() and (place / ROWS).is_file()):
        raise InputError(
            f"no finished leaderboard in {str(folder or 'data/league')!r}",
            f"a folder with {ROWS} and {ABOUT}",
            "python -m workbench.interpret.leaderboard --out FOLDER",
        )
    rows = pd.read_csv(place / ROWS, keep_default_na=True)
    return Leaderboard(standings(rows), rows, read_json(place / ABOUT, expect=dict))
