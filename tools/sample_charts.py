"""Charts for data/samples: plain matplotlib and seaborn calls, default styles, with the true values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from sklearn.datasets import load_iris, load_wine

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (after the choice of its canvas)

__all__ = ["draw_charts"]

CITIES = {"Lima": 42, "Oslo": 17, "Cairo": 65, "Quito": 28, "Hanoi": 53}


def draw_charts(folder: Path) -> list[dict[str, Any]]:
    """Draw all charts into a folder; returns one entry of samples.json for each."""
    return [draw(folder) for draw in (_bar, _line, _pie, _scatter, _bars_of_means, _heatmap, _box)]


def _entry(
    folder: Path, name: str, call: str, values: Any, *questions: tuple[str, str, str]
) -> dict[str, Any]:
    plt.savefig(folder / f"{name}.png")
    plt.close("all")
    return {
        "file": f"{name}.png",
        "kind": "chart",
        "origin": f"{call}, default style",
        "licence": "MIT (drawn by tools/sample_charts.py)",
        "values": values,
        "questions": [{"question": q, "answer": a, "rule": rule} for q, a, rule in questions],
    }


def _bar(folder: Path) -> dict[str, Any]:
    plt.bar(list(CITIES), list(CITIES.values()))
    plt.ylabel("Visitors")
    plt.title("Visitors by city")
    return _entry(
        folder,
        "matplotlib_bar",
        "matplotlib.pyplot.bar",
        CITIES,
        ("Which city has the most visitors?", "Cairo", "words"),
        ("Which city has the fewest visitors?", "Oslo", "words"),
    )


def _line(folder: Path) -> dict[str, Any]:
    years = list(range(2016, 2026))
    series = {"Solar": [3, 4, 6, 9, 13, 18, 24, 31, 40, 50], "Coal": [44, 42, 41, 37, 35, 33, 30, 27, 25, 20]}
    for name, values in series.items():
        plt.plot(years, values, label=name)
    plt.xlabel("Year")
    plt.ylabel("Share (%)")
    plt.legend()
    return _entry(
        folder,
        "matplotlib_line",
        "matplotlib.pyplot.plot",
        {"year": years, **series},
        ("Which line is higher in 2025?", "Solar", "words"),
        ("In which year does the share of solar first exceed the share of coal?", "2023", "number"),
    )


def _pie(folder: Path) -> dict[str, Any]:
    shares = {"Rent": 35, "Food": 25, "Travel": 15, "Books": 5, "Savings": 20}
    plt.pie(list(shares.values()), labels=list(shares), autopct="%1.0f%%")
    return _entry(
        folder,
        "matplotlib_pie",
        "matplotlib.pyplot.pie",
        shares,
        ("What percentage is spent on travel?", "15", "number"),
        ("How many percent are food and books together?", "30", "number"),
    )


def _scatter(folder: Path) -> dict[str, Any]:
    wine = load_wine(as_frame=True)
    frame = wine.frame.assign(cultivar=wine.target.map(lambda t: f"class {t}"))
    sns.scatterplot(frame, x="alcohol", y="color_intensity", hue="cultivar")
    columns = ["alcohol", "color_intensity", "cultivar"]
    means = frame.groupby("cultivar")["color_intensity"].mean()
    return _entry(
        folder,
        "seaborn_scatter",
        "seaborn.scatterplot on scikit-learn's wine data",
        frame[columns].to_dict(orient="list"),
        ("Which class has the highest colour intensity on average?", str(means.idxmax()), "words"),
        ("What is on the horizontal axis?", "alcohol", "words"),
    )


def _bars_of_means(folder: Path) -> dict[str, Any]:
    iris = load_iris(as_frame=True)
    frame = iris.frame.assign(species=[iris.target_names[t] for t in iris.target])
    # The error bars are bootstrapped: with a seed the same picture comes again.
    sns.barplot(frame, x="species", y="petal length (cm)", seed=0)
    means = frame.groupby("species")["petal length (cm)"].mean()
    return _entry(
        folder,
        "seaborn_bar",
        "seaborn.barplot on scikit-learn's iris data",
        {name: round(float(value), 3) for name, value in means.items()},
        ("Which species has the longest petals?", str(means.idxmax()), "words"),
        ("Which species has the shortest petals?", str(means.idxmin()), "words"),
    )


def _heatmap(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        rng.integers(10, 100, (4, 5)),
        index=["North", "East", "South", "West"],
        columns=["Mon", "Tue", "Wed", "Thu", "Fri"],
    )
    sns.heatmap(frame, annot=True, fmt="d")
    row, col = "South", "Wed"
    total = int(frame.loc["North", "Mon"] + frame.loc["West", "Fri"])
    return _entry(
        folder,
        "seaborn_heatmap",
        "seaborn.heatmap",
        frame.to_dict(orient="index"),
        (f"What is the value of {row} on {col}?", str(frame.loc[row, col]), "number"),
        ("What is the sum of North on Mon and West on Fri?", str(total), "number"),
    )


def _box(folder: Path) -> dict[str, Any]:
    wine = load_wine(as_frame=True)
    groups = [wine.data.loc[wine.target == t, "alcohol"].round(2).tolist() for t in range(3)]
    plt.boxplot(groups, tick_labels=["first", "second", "third"])
    plt.ylabel("Alcohol (% vol)")
    medians = {
        name: float(np.median(g)) for name, g in zip(("first", "second", "third"), groups, strict=True)
    }
    return _entry(
        folder,
        "matplotlib_box",
        "matplotlib.pyplot.boxplot on scikit-learn's wine data",
        {"medians": medians},
        ("Which group has the lowest median?", min(medians, key=medians.__getitem__), "words"),
        ("Which group has the highest median?", max(medians, key=medians.__getitem__), "words"),
    )
