"""The RegMix runs, and how well each method ranks mixtures that it has not seen

python -m workbench.ablate.regmix                      # left-out runs of the 512; writes regmix.json
python -m workbench.ablate.regmix --unseen FOLDER      # also the authors' test mixtures
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from ..errors import InputError
from ..files import data_path, write_json
from ..provenance import hardware
from ..terminal import run_one, write
from .fits import METHODS
from .response import cross_validate, fit_response, learning_curve, rank_correlation

__all__ = ["TARGET", "load", "main", "recorded", "validate"]

#: The loss that the authors optimise: on web pages, which goes with most downstream tasks.
TARGET = "pile_cc"

#: Test files of the authors: parameters of the proxies, and the endings of the file names.
UNSEEN = {"1M": "1m", "60M": "60m", "1B": "1B"}


def load(target: str = TARGET) -> tuple[pd.DataFrame, pd.Series]:
    """The 512 runs of one million parameters.

    Args:
        target: whose validation loss; one of 13 domains.

    Returns:
        Shares (one column per domain, 17) and loss in nats a token, with the run's number as index.

    Raises:
        InputError: for a target that was not measured.
    """
    return _read(data_path("regmix"), "train", "1m", target)


def _read(folder: Path, part: str, size: str, target: str) -> tuple[pd.DataFrame, pd.Series]:
    shares = pd.read_csv(folder / f"{part}_mixture_{size}.csv", index_col="index")
    losses = pd.read_csv(folder / f"{part}_pile_loss_{size}.csv", index_col="index")
    shares.columns = [name.removeprefix("train_the_pile_") for name in shares]
    losses.columns = [name.removeprefix("metric/the_pile_").removesuffix("_val_loss") for name in losses]
    if target not in losses:
        raise InputError(f"target={target!r}", f"one of {', '.join(losses)}")
    return shares.div(shares.sum(axis=1), axis=0), losses[target].rename(f"{target} loss")


def recorded() -> dict[str, Any]:
    """The measurement that ships: ``validation.json`` beside the runs."""
    return json.loads(data_path("regmix", "validation.json").read_text(encoding="utf-8"))


def validate(
    *,
    target: str = TARGET,
    methods: tuple[str, ...] = METHODS,
    sizes: tuple[int, ...] = (32, 64, 128, 256, 384),
    folds: int = 5,
    n_repeats: int = 3,
    unseen: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Nested cross-validation over all runs, a learning curve, and the authors' unseen mixtures.

    Args:
        target: whose loss is predicted.
        sizes: training runs of the learning curve; 128 other runs are held out each time.
        unseen: a folder with the authors' ``test_mixture_*.csv`` and ``test_pile_loss_*.csv``.

    Returns:
        Plain values: ``cross_validation`` and ``curve`` with one row per method (and size), ``unseen`` with a
        row a method and proxy size (all 512 runs to train), seconds, seed and date.
    """
    begun = time.perf_counter()
    shares, loss = load(target)
    checked = [cross_validate(shares, loss, method=m, folds=folds, seed=seed) for m in methods]
    keep = ("method", "runs", "folds", "spearman", "low", "high", "rmse", "mae", "baseline", "explained")
    curve = learning_curve(shares, loss, methods=methods, sizes=sizes, n_repeats=n_repeats, seed=seed)
    groups = curve.groupby(["method", "runs"], sort=False)
    table = groups.agg(
        repeats=("spearman", "size"), spearman=("spearman", "mean"), least=("spearman", "min"),
        most=("spearman", "max"), rmse=("rmse", "mean"),
    ).reset_index()  # fmt: skip
    return {
        "target": f"{target} validation loss, nats a token",
        "cross_validation": [{name: _short(getattr(one, name)) for name in keep} for one in checked],
        "curve": [{k: _short(v) for k, v in row.items()} for row in table.to_dict("records")],
        "unseen": _unseen(unseen, target, methods, seed) if unseen else [],
        "seed": seed,
        "seconds": round(time.perf_counter() - begun, 1),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _unseen(folder: Path, target: str, methods: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    shares, loss = load(target)
    rows = []
    fits = {name: fit_response(shares, loss, method=name, seed=seed) for name in methods}
    for size, ending in UNSEEN.items():
        other, truth = _read(folder, "test", ending, target)
        for name, fit in fits.items():
            rank = rank_correlation(fit.predict(other).to_numpy(), truth.to_numpy())
            rows.append({"method": name, "proxy": size, "mixtures": len(truth), "spearman": round(rank, 4)})
    return rows


def _short(value: object) -> Any:
    return round(float(value), 4) if isinstance(value, float) else value


def _measure(
    *,
    out: Annotated[Path, typer.Option(help="Where the result goes.")] = Path("regmix.json"),
    unseen: Annotated[
        Path | None, typer.Option(help="The data folder of a clone of the authors' repository.")
    ] = None,
    target: Annotated[str, typer.Option(help="Whose validation loss.")] = TARGET,
    n_repeats: Annotated[int, typer.Option(help="Random training sets of each size.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the training sets.")] = 0,
) -> None:
    """Measure the methods on RegMix's runs and write the JSON that `recorded` reads."""
    result = validate(target=target, n_repeats=n_repeats, unseen=unseen, seed=seed)
    result["hardware"] = hardware()
    write_json(out, result, "out")
    write(pd.DataFrame(result["cross_validation"]).to_string(index=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure from a shell; its exit status."""
    name = "python -m workbench.ablate.regmix"
    return run_one(_measure, arguments, name=name, examples=["--out regmix.json", "--unseen FOLDER"])


if __name__ == "__main__":
    raise SystemExit(main())
