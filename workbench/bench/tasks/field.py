"""Benchmarks of the field, from the Hub or a local folder in the same layout

From a row of a benchmark of the field to an item: question, gold answer, cluster, what its scorer takes

Column names are those of the repositories named in `workbench.bench.tasks.field`; the texts around a question
are the dataset's own where it has some, else those that lmms-eval uses by default.
"""

from __future__ import annotations

import ast
import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, LoadError
from ...files import local_path
from ...types import Box
from ..scorers.choice import options_in
from .rows import Beside, EncodedPicture, picture_size, read_rows
from .task import Item, Task, picture_digest

__all__ = [
    "FIELD",
    "Field",
    "ai2d",
    "chartqa",
    "field_task",
    "hallusionbench",
    "mathverse",
    "mathvision",
    "mathvista",
    "mmmu",
    "mmstar",
    "ocrbench",
    "unlike_published",
]


__all__ += ["screenspot", "screenspot_pro", "vstar"]

Row = Mapping[str, Any]
LETTER = "Answer with the option's letter from the given choices directly."


def need(row: Row, *names: str) -> Any:
    """The value of the first of these columns that is there.

    Raises:
        InputError: naming the column and those that are there.
    """
    for name in names:
        if row.get(name) is not None:
            return row[name]
    there = ", ".join(key for key in row if key != "__file__")
    raise InputError(f"a row without {' or '.join(names)} (it has {there})", f"the column {names[0]}")


def lettered(options: Sequence[Any]) -> dict[str, str]:
    """Options by their letters."""
    return {string.ascii_uppercase[i]: str(option) for i, option in enumerate(options)}


def _with_options(question: str, options: Mapping[str, str], ending: str) -> str:
    lines = [question.strip(), *(f"{letter}. {text}" for letter, text in options.items()), ending]
    return "\n".join(line for line in lines if line)


def _as_list(value: Any) -> list[Any]:
    """A list that some repositories store as text."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value) if value.strip() else []
        except (ValueError, SyntaxError):
            raise InputError(f"options {value[:60]!r}", "a list") from None
    return list(value or [])


def ai2d(row: Row) -> dict[str, Any]:
    """Diagrams; ``answer`` is the number of the right option. Kembhavi et al. 2016."""
    options = lettered(_as_list(need(row, "options")))
    question = _with_options(need(row, "question"), options, LETTER)
    gold = string.ascii_uppercase[int(need(row, "answer"))]
    return {
        "question": question,
        "gold": gold,
        "images": [need(row, "image")],
        "scoring": {"options": options},
    }


def chartqa(row: Row) -> dict[str, Any]:
    """Charts, in the layouts of lmms-lab and HuggingFaceM4. Masry et al. 2022."""
    gold = need(row, "answer", "label")
    return {
        "question": need(row, "question", "query").strip() + "\nAnswer the question with a single word.",
        "gold": gold[0] if isinstance(gold, list) else str(gold),
        "images": [need(row, "image")],
        "category": str(row.get("type") or row.get("human_or_machine") or ""),
    }


def hallusionbench(row: Row) -> dict[str, Any]:
    """Illusions and edited figures; yes or no. fAcc groups by figure, qAcc by question. Guan et al. 2023."""
    names = ("category", "subcategory", "set_id", "figure_id", "question_id")
    group = {name: str(need(row, name)) for name in names}
    return {
        "id": "_".join(group.values()),
        "question": need(row, "question").strip(),
        "gold": "Yes" if str(need(row, "gt_answer")) == "1" else "No",
        "images": [need(row, "image")],
        "category": group["category"],
        "cluster": "_".join(list(group.values())[:3]),
        "scoring": group,
    }


def mathverse(row: Row) -> dict[str, Any]:
    """Geometry and functions, each problem in five versions. Zhang et al. 2024."""
    choice = str(need(row, "question_type")).startswith("multi")
    # the version whose text stands in the picture has an empty question; evaluation has its own
    text = str(row.get("question_for_eval") or need(row, "question"))
    options = options_in(text) if choice else {}
    image = row.get("image")
    return {
        "id": str(need(row, "sample_index")),
        "question": need(row, "query_wo", "question").strip(),
        "gold": str(need(row, "answer")),
        "images": [image] if image else [],
        "cluster": f"problem {need(row, 'problem_index')}",
        "category": str(need(row, "problem_version")),
        "scoring": {
            "question_type": str(row["question_type"]),
            **({"options": options} if options else {}),
        },
    }


def mathvision(row: Row) -> dict[str, Any]:
    """Competition mathematics. Wang et al. 2024."""
    options = lettered(_as_list(row.get("options")))
    question = (
        'Please solve the problem and put your answer in one "\\boxed{}".\n' + need(row, "question").strip()
    )
    question = re.sub(r"<image\d*>", "", question)
    return {
        "id": str(need(row, "id")),
        "question": _with_options(question, options, LETTER if options else ""),
        "gold": str(need(row, "answer")),
        "images": [need(row, "decoded_image", "image")],
        "category": str(row.get("subject") or ""),
        "scoring": {"options": options} if options else {},
    }


def mathvista(row: Row) -> dict[str, Any]:
    """Mathematics in pictures of many kinds, with the dataset's own ``query``. Lu et al. 2023."""
    scoring: dict[str, Any] = {"answer_type": str(need(row, "answer_type"))}
    if row.get("precision") is not None:
        scoring["precision"] = int(row["precision"])
    if choices := _as_list(row.get("choices")):
        scoring["options"] = lettered(choices)
    about = row.get("metadata") or {}
    return {
        "id": str(need(row, "pid")),
        "question": need(row, "query", "question").strip(),
        "gold": str(need(row, "answer")),
        "images": [need(row, "decoded_image", "image")],
        "category": str(about.get("task", "")) if isinstance(about, dict) else "",
        "scoring": scoring,
    }


def mmmu(row: Row) -> dict[str, Any]:
    """College subjects, up to seven pictures; ``options`` is a list written as text. Yue et al. 2023."""
    options = lettered(_as_list(row.get("options")))
    choice = need(row, "question_type") == "multiple-choice"
    ending = LETTER if choice else "Answer the question using a single word or phrase."
    question = _with_options(need(row, "question"), options if choice else {}, "\n" + ending)
    numbers = sorted({int(number) for number in re.findall(r"<image (\d)>", question)}) or [1]
    images = [row.get(f"image_{number}") for number in numbers]
    gold = str(need(row, "answer"))
    several = gold.startswith("[")
    return {
        "id": str(need(row, "id")),
        "question": question,
        "gold": _as_list(gold) if several else gold,
        "images": [image for image in images if image is not None],
        "category": re.sub(r"^(validation|dev|test)_(.*)_\d+$", r"\2", str(row["id"])),
        "scoring": {
            "question_type": str(row["question_type"]),
            **({"options": options} if choice else {}),
        },
    }


def mmstar(row: Row) -> dict[str, Any]:
    """Chosen so that the picture is needed; options stand in the question. Chen et al. 2024."""
    question = need(row, "question").strip()
    return {
        "id": str(need(row, "index")),
        "question": f"{question}\n{LETTER}",
        "gold": str(need(row, "answer")).strip(),
        "images": [need(row, "image")],
        "category": str(row.get("category") or ""),
        "scoring": {"options": options} if (options := options_in(question)) else {},
    }


def ocrbench(row: Row) -> dict[str, Any]:
    """Text in pictures; any of the answers may stand in the reply. Liu et al. 2023."""
    answers = need(row, "answer")
    return {
        "question": need(row, "question").strip(),
        "gold": [str(answer) for answer in (answers if isinstance(answers, list) else [answers])],
        "images": [need(row, "image")],
        "category": str(row.get("question_type") or ""),
        "scoring": {"dataset": str(row.get("dataset") or "")},
    }


def vstar(row: Row) -> dict[str, Any]:
    """Small things in large pictures; question and options are the dataset's text. Wu and Xie 2023."""
    text = need(row, "text").strip()
    return {
        "id": f"{need(row, 'category')}-{need(row, 'question_id')}",
        "question": text if LETTER in text else f"{text}\n{LETTER}",
        "gold": str(need(row, "label")),
        "images": [need(row, "image")],
        "category": str(row["category"]),
        "scoring": {"options": options_in(text)},
    }


CLICK = "Give the place to click as one point [x, y], both numbers from 0 to 1.\nInstruction: "


def screenspot(row: Row) -> dict[str, Any]:
    """Things on screens; boxes as fractions in the parquet layout, as x, y, width, height in pixels in the
    JSON layout. Cheng et al. 2024 (SeeClick), corrected as v2 by Wu et al. 2024 (OS-Atlas)."""
    given = _box(need(row, "bbox"))
    fractions = max(given) <= 1
    corners = given if fractions else (given[0], given[1], given[0] + given[2], given[1] + given[3])
    return _on_screen(row, corners, fractions=fractions)


def screenspot_pro(row: Row) -> dict[str, Any]:
    """Small things on large professional screens; boxes as corners in pixels. Li et al. 2025."""
    corners = _box(need(row, "bbox"))
    return _on_screen(row, corners, fractions=max(corners) <= 1)


def _on_screen(row: Row, corners: Box, *, fractions: bool) -> dict[str, Any]:
    shot = str(need(row, "img_filename", "file_name"))
    kind = str(row.get("data_type") or row.get("ui_type") or "")
    place = str(row.get("data_source") or row.get("application") or "")
    return {
        **({"id": str(row["id"])} if row.get("id") is not None else {}),
        "question": CLICK + need(row, "instruction", "prompt_to_evaluate").strip(),
        "box": corners,
        "fractions": fractions,
        "images": [row["image"] if row.get("image") is not None else shot],
        "cluster": shot,
        "category": " ".join(part for part in (place, kind) if part),
    }


def _box(value: Any) -> Box:
    try:
        numbers = json.loads(value) if isinstance(value, str) else list(value)
        x1, y1, x2, y2 = (float(number) for number in numbers)
    except (TypeError, ValueError):
        raise InputError(f"bbox {value!r}", "four numbers") from None
    return x1, y1, x2, y2


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
    "AI2D": Field("lmms-lab/ai2d", ("data/test-*.parquet", "*.parquet"), ai2d, chance=0.25, tested=3088),
    "ChartQA": Field("lmms-lab/ChartQA", ("data/test-*.parquet", "*.parquet"), chartqa, tested=2500),
    "HallusionBench": Field(
        "lmms-lab/HallusionBench",
        ("data/image-*.parquet", "*.parquet"),
        hallusionbench,
        chance=0.5,
        tested=951,
    ),
    "MathVerse": Field(
        "AI4Math/MathVerse", ("testmini.parquet", "testmini.json", "*.parquet"), mathverse, tested=3940
    ),
    "MathVision": Field(
        "MathLLMs/MathVision",
        ("data/testmini-*.parquet", "*testmini*.parquet", "*.parquet"),
        mathvision,
        tested=304,
    ),
    "MathVista": Field(
        "AI4Math/MathVista",
        ("data/testmini-*.parquet", "*testmini*.parquet", "*.parquet"),
        mathvista,
        tested=1000,
    ),
    "MMMU": Field("MMMU/MMMU", ("*/validation-*.parquet", "*.parquet"), mmmu, tested=900),
    "MMStar": Field("Lin-Chen/MMStar", ("mmstar.parquet", "*.parquet"), mmstar, chance=0.25, tested=1500),
    "OCRBench": Field("echo840/OCRBench", ("data/test-*.parquet", "*.parquet"), ocrbench, tested=1000),
    "ScreenSpot": Field(
        "rootsautomation/ScreenSpot",
        ("data/test-*.parquet", "*.parquet", "*.json"),
        screenspot,
        tested=1272,
    ),
    "ScreenSpot_v2": Field(
        "OS-Copilot/ScreenSpot-v2",
        ("screenspot_*_v2.json", "data/test-*.parquet", "*.parquet"),
        screenspot,
        pictures=("screenspotv2_image.zip",),
        tested=1272,
    ),
    "ScreenSpot_Pro": Field(
        "likaixin/ScreenSpot-Pro",
        ("annotations/*.json", "*.parquet"),
        screenspot_pro,
        pictures=("images/**",),
        tested=1581,
    ),
    "V*Bench": Field(
        "craigwu/vstar_bench",
        ("test_questions.jsonl", "*.jsonl", "data/test-*.parquet", "*.parquet"),
        vstar,
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
    place = _fetched(field, revision) if folder is None else local_path(folder)
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


def _picture(given: object, beside: Beside) -> Any:
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
