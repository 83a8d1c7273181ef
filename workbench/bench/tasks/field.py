"""Benchmarks of the field, from the Hub or a local folder in the same layout"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, LoadError
from . import field_items as items
from .pictures import picture_digest
from .rows import Beside, EncodedPicture, picture_size, read_rows
from .task import Item, Task

__all__ = ["FIELD", "Field", "field_task", "unlike_published"]


@dataclass(frozen=True)
class Field:
    """Where a benchmark lies and how its rows become items.

    Args:
        repo: of the Hub's datasets.
        files: names of the files with the rows, as patterns; the first that matches counts.
        pictures: further files that hold pictures, where they are not in the rows.
        item: from a row to the fields of an item.
        chance: share that guessing gets right; None where answers are open.
        tested: how many items the published report counts, to notice another split (see `unlike_published`).
    """

    repo: str
    files: tuple[str, ...]
    item: Callable[[Mapping[str, Any]], dict[str, Any]]
    pictures: tuple[str, ...] = ()
    chance: float | None = None
    tested: int = 0


#: Name -> benchmark. Repositories and columns as lmms-eval reads them, and as their cards say.
FIELD: dict[str, Field] = {
    "AI2D": Field(
        "lmms-lab/ai2d", ("data/test-*.parquet", "*.parquet"), items.ai2d, chance=0.25, tested=3088
    ),
    "ChartQA": Field("lmms-lab/ChartQA", ("data/test-*.parquet", "*.parquet"), items.chartqa, tested=2500),
    "HallusionBench": Field(
        "lmms-lab/HallusionBench",
        ("data/image-*.parquet", "*.parquet"),
        items.hallusionbench,
        chance=0.5,
        tested=951,
    ),
    "MathVerse": Field(
        "AI4Math/MathVerse", ("testmini.parquet", "testmini.json", "*.parquet"), items.mathverse, tested=3940
    ),
    "MathVision": Field(
        "MathLLMs/MathVision",
        ("data/testmini-*.parquet", "*testmini*.parquet", "*.parquet"),
        items.mathvision,
        tested=304,
    ),
    "MathVista": Field(
        "AI4Math/MathVista",
        ("data/testmini-*.parquet", "*testmini*.parquet", "*.parquet"),
        items.mathvista,
        tested=1000,
    ),
    "MMMU": Field("MMMU/MMMU", ("*/validation-*.parquet", "*.parquet"), items.mmmu, tested=900),
    "MMStar": Field(
        "Lin-Chen/MMStar", ("mmstar.parquet", "*.parquet"), items.mmstar, chance=0.25, tested=1500
    ),
    "OCRBench": Field("echo840/OCRBench", ("data/test-*.parquet", "*.parquet"), items.ocrbench, tested=1000),
    "ScreenSpot": Field(
        "rootsautomation/ScreenSpot",
        ("data/test-*.parquet", "*.parquet", "*.json"),
        items.screenspot,
        tested=1272,
    ),
    "ScreenSpot_v2": Field(
        "OS-Copilot/ScreenSpot-v2",
        ("screenspot_*_v2.json", "data/test-*.parquet", "*.parquet"),
        items.screenspot,
        pictures=("screenspotv2_image.zip",),
        tested=1272,
    ),
    "ScreenSpot_Pro": Field(
        "likaixin/ScreenSpot-Pro",
        ("annotations/*.json", "*.parquet"),
        items.screenspot_pro,
        pictures=("images/**",),
        tested=1581,
    ),
    "V*Bench": Field(
        "craigwu/vstar_bench",
        ("test_questions.jsonl", "*.jsonl", "data/test-*.parquet", "*.parquet"),
        items.vstar,
        pictures=("direct_attributes/**", "relative_position/**"),
        chance=0.25,
        tested=191,
    ),
}


#: Further names of files that count in a local folder, where none of a benchmark's own is there.
LOOSE = ("data/*.parquet", "*.jsonl")


def unlike_published(task: Task) -> str:
    """What to know before a score is held against the published tables: "" where the items are as many."""
    tested = FIELD[task.name].tested if task.name in FIELD else len(task)
    if len(task) == tested:
        return ""
    return (
        f"{task.name}: {len(task)} items, where the published tables count {tested}: another split, or a part"
    )


def field_task(
    name: str, *, folder: str | Path | None = None, n: int | None = None, revision: str | None = None
) -> Task:
    """A benchmark of the field.

    Args:
        name: one of `FIELD`.
        folder: where its files lie, in the layout of its Hub repository; None fetches them from the Hub.
        n: only the first items.
        revision: branch, tag or commit of the Hub repository.

    Raises:
        InputError: for an unknown name, files or columns that are missing, or a row without an answer.
        LoadError: if it cannot be fetched.
    """
    if name not in FIELD:
        raise InputError(f"benchmark {name!r}", f"one of {', '.join(FIELD)}")
    field = FIELD[name]
    place = _fetched(field, revision) if folder is None else Path(folder).expanduser()
    rows = read_rows(place, field.files if folder is None else (*field.files, *LOOSE))
    beside = Beside(place)
    made = []
    for number, row in enumerate(rows if n is None else rows[:n]):
        try:
            made.append(_item(field.item(row), number, beside))
        except InputError as error:
            error.add_note(f"This is about row {number} of {row['__file__']}.")
            raise
    origin = f"{field.repo}@{revision or place.name}" if folder is None else str(place)
    return Task(name, made, scorer=name, origin=origin, chance=field.chance)


def _item(drafted: dict[str, Any], number: int, beside: Beside) -> Item:
    """The item of a drafted row: pictures found, clustered by the picture where nothing else is said."""
    pictures = tuple(_picture(picture, beside) for picture in drafted["images"])
    digests = tuple(picture_digest(picture) for picture in pictures)
    size = picture_size(pictures[0]) if pictures else None
    scoring, gold = dict(drafted.get("scoring", {})), drafted.get("gold")
    boxes: tuple[Any, ...] = ()
    if "box" in drafted:
        assert size is not None, drafted
        scale = (*size, *size) if drafted["fractions"] else (1, 1, 1, 1)
        corners = tuple(round(side * by, 2) for side, by in zip(drafted["box"], scale, strict=True))
        gold, boxes = list(corners), (corners,)
        scoring |= {"gold_format": "xyxy", "image_size": list(size)}
    item = Item(
        id=drafted.get("id", f"{number:05d}"),
        question=drafted["question"],
        gold=gold,
        images=pictures,
        cluster=drafted.get("cluster") or (digests[0] if digests else ""),
        category=drafted.get("category", ""),
        size=size,
        scoring=scoring,
        boxes=boxes,
    )
    object.__setattr__(item, "_digests", digests)  # they are read once; see Item.digests
    return item


def _picture(given: Any, beside: Beside) -> Any:
    """A picture as it stands in a row: in a cell, as base64, or by its file's name."""
    if not isinstance(given, str):
        return given
    return EncodedPicture(given) if len(given) > 1000 else beside.find(given)


def _fetched(field: Field, revision: str | None) -> Path:
    """A local copy of the files that are needed, and no others."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wanted = [pattern for pattern in (*field.files, *field.pictures) if not pattern.startswith("*.")]
    try:
        found = snapshot_download(field.repo, repo_type="dataset", revision=revision, allow_patterns=wanted)
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise LoadError(
            f"{field.repo} could not be fetched: {type(error).__name__}: {error}",
            "a network, or a local copy",
            "pass folder= with the repository's files",
        ) from None
    return Path(found)
