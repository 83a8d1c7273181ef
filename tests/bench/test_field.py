"""Benchmarks of the field, from small folders with the columns and files of their repositories."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from bench_fakes import FakeVLM
from PIL import Image

from workbench import bench
from workbench.bench.tasks.field import FIELD
from workbench.errors import InputError, LoadError


def png(colour: int = 0, size: tuple[int, int] = (40, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (colour, 100, 50)).save(buffer, "PNG")
    return buffer.getvalue()


def cell(colour: int = 0, size: tuple[int, int] = (40, 20)) -> dict:
    return {"bytes": png(colour, size), "path": None}


def parquet(path: Path, rows: list[dict], group: int = 100) -> Path:
    from pyarrow import parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    return path


# One row of each repository, with its real column names: (file, row, what must come out).
ROWS = {
    "AI2D": (
        "data/test-00000-of-00002.parquet",
        {"question": "which is it?", "options": ["a root", "a leaf"], "answer": "1", "image": cell()},
        {"gold": "B", "options": {"A": "a root", "B": "a leaf"}, "in": "B. a leaf\nAnswer with"},
    ),
    "ChartQA": (
        "data/test-00000-of-00001.parquet",
        {"type": "human_test", "question": "How many?", "answer": "14", "image": cell()},
        {"gold": "14", "category": "human_test", "in": "How many?\nAnswer the question with a single word."},
    ),
    "HallusionBench": (
        "data/image-00000-of-00001.parquet",
        {
            "category": "VD", "subcategory": "illusion", "visual_input": "1", "set_id": "0",
            "figure_id": "1", "sample_note": "circle", "question_id": "2", "question": "Same size?",
            "gt_answer_details": "They are", "gt_answer": "1", "filename": "./a.png", "image": cell(),
        },
        {"gold": "Yes", "id": "VD_illusion_0_1_2", "cluster": "VD_illusion_0", "in": "Same size?"},
    ),
    "MathVerse": (
        "testmini.parquet",
        {
            "sample_index": "7", "problem_index": "2", "problem_version": "Text Lite", "image": cell(),
            "question": "How big?\nChoices:\nA:40\nB:50", "answer": "B", "question_type": "multi-choice",
            "query_wo": "Please answer directly. How big?", "query_cot": "Please reason. How big?",
        },
        {"gold": "B", "id": "7", "cluster": "problem 2", "options": {"A": "40", "B": "50"}, "in": "directly"},
    ),
    "MathVision": (
        "data/testmini-00000-of-00001-f8.parquet",
        {
            "id": "4", "question": "How many?\n<image1>", "options": [], "image": "images/4.jpg",
            "decoded_image": cell(), "answer": "9", "solution": None, "level": 2, "subject": "counting",
        },
        {"gold": "9", "category": "counting", "in": "\\boxed{}"},
    ),
    "MathVista": (
        "data/testmini-00000-of-00001-72.parquet",
        {
            "pid": "12", "question": "What value?", "image": "images/12.jpg", "decoded_image": cell(),
            "choices": None, "unit": None, "precision": 1.0, "answer": "1.2", "question_type": "free_form",
            "answer_type": "float", "query": "Hint: one decimal.\nQuestion: What value?",
            "metadata": {"task": "figure question answering", "source": "x"},
        },
        {"gold": "1.2", "precision": 1, "answer_type": "float", "category": "figure question answering"},
    ),
    "MMMU": (
        "Art_Theory/validation-00000-of-00001.parquet",
        {
            "id": "validation_Art_Theory_3", "question": "Compare <image 1> and <image 2>.",
            "options": "['like <image 1>', 'both']", "explanation": "", "image_1": cell(), "image_2": cell(9),
            "image_3": None, "answer": "B", "question_type": "multiple-choice", "subfield": "Art",
        },
        {"gold": "B", "category": "Art_Theory", "images": 2, "options": {"A": "like <image 1>", "B": "both"}},
    ),
    "MMStar": (
        "mmstar.parquet",
        {
            "index": 5, "question": "What is it?\nOptions: A: a cat, B: a dog, C: a fox, D: an owl",
            "image": png(), "answer": "C", "category": "coarse perception", "l2_category": "x",
            "meta_info": {"source": "MMBench"},
        },
        {"gold": "C", "id": "5", "options": {"A": "a cat", "B": "a dog", "C": "a fox", "D": "an owl"}},
    ),
    "OCRBench": (
        "data/test-00000-of-00001.parquet",
        {
            "dataset": "HME100k", "question": "Write out the formula.", "image": cell(),
            "question_type": "Handwritten Mathematical Expression Recognition", "answer": ["a + b"],
        },
        {"gold": ["a + b"], "dataset": "HME100k"},
    ),
    "ScreenSpot": (
        "data/test-00000-of-00003.parquet",
        {
            "file_name": "pc_1.png", "bbox": [0.1, 0.2, 0.5, 0.6], "instruction": "close",
            "data_type": "icon", "data_source": "windows", "image": cell(size=(100, 50)),
        },
        {"gold": [10.0, 10.0, 50.0, 30.0], "image_size": [100, 50], "category": "windows icon"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(ROWS))
def test_a_row_in_the_layout_of_its_repository_becomes_an_item(name: str, tmp_path) -> None:
    file, row, expected = ROWS[name]
    parquet(tmp_path / file, [row])
    task = bench.task(name, folder=tmp_path)
    assert (task.name, task.scorer, len(task)) == (name, name, 1)
    item = task.items[0]
    assert item.gold == expected["gold"]
    assert expected.get("in", "") in task.asked(item)
    assert len(item.images) == len(item.open()) == expected.get("images", 1)
    assert item.size == item.open()[0].size
    for key in ("id", "cluster", "category"):
        assert getattr(item, key) == expected.get(key, getattr(item, key))
    for key in ("options", "precision", "answer_type", "dataset", "image_size"):
        if key in expected:
            assert item.scoring[key] == expected[key]


def test_screens_of_version_two_lie_in_json_and_a_zip(tmp_path) -> None:
    entry = {"img_filename": "web_1.png", "bbox": [42, 10, 20, 8], "instruction": "search"}
    rows = [{**entry, "data_type": "text", "data_source": "shop"}, {**entry, "bbox": [0, 0, 4, 4]}]
    (tmp_path / "screenspot_web_v2.json").write_text(json.dumps(rows))
    with zipfile.ZipFile(tmp_path / "screenspotv2_image.zip", "w") as archive:
        archive.writestr("screenspotv2_image/web_1.png", png(size=(200, 100)))
    first, second = bench.task("ScreenSpot_v2", folder=tmp_path).items
    assert first.gold == [42, 10, 62, 18]
    assert first.boxes == ((42, 10, 62, 18),)
    assert first.scoring["gold_format"] == "xyxy"
    assert first.size == (200, 100) == first.open()[0].size
    assert first.cluster == second.cluster == "web_1.png"  # items of one screenshot are not independent
    assert not (tmp_path / "screenspotv2_image").exists()  # nothing was unpacked


def test_professional_screens_lie_in_folders(tmp_path) -> None:
    row = {"img_filename": "cad/a.png", "bbox": [30, 10, 40, 20], "instruction": "zoom", "id": "cad_0"}
    row |= {"application": "autocad", "platform": "windows", "img_size": [80, 60], "ui_type": "icon"}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "autocad_windows.json").write_text(json.dumps([row]))
    (tmp_path / "images" / "cad").mkdir(parents=True)
    (tmp_path / "images" / "cad" / "a.png").write_bytes(png(size=(80, 60)))
    item = bench.task("ScreenSpot_Pro", folder=tmp_path).items[0]
    assert (item.id, item.gold, item.category) == ("cad_0", [30, 10, 40, 20], "autocad icon")


def test_vstar_lies_in_json_lines_beside_its_pictures(tmp_path) -> None:
    text = "What is it made of?\n(A) rubber\n(B) cotton\n"
    text += "Answer with the option's letter from the given choices directly."
    row = {"image": "direct_attributes/a.jpg", "text": text, "category": "direct_attributes", "label": "A"}
    (tmp_path / "test_questions.jsonl").write_text(json.dumps({**row, "question_id": 0}) + "\n")
    (tmp_path / "direct_attributes").mkdir()
    Image.new("RGB", (30, 10)).save(tmp_path / "direct_attributes" / "a.jpg")
    item = bench.task("V*Bench", folder=tmp_path).items[0]
    assert item.scoring["options"] == {"A": "rubber", "B": "cotton"}
    assert item.question == text
    assert item.gold == "A"


def test_items_that_share_a_picture_share_a_cluster_and_pictures_are_read_late(tmp_path) -> None:
    rows = [
        {"type": "human_test", "question": f"{i}?", "answer": "1", "image": cell(i // 2)} for i in range(6)
    ]
    parquet(tmp_path / "data" / "test-0.parquet", rows, group=2)
    task = bench.task("ChartQA", folder=tmp_path)
    assert [item.cluster == task.items[0].cluster for item in task.items] == [True, True, *[False] * 4]
    assert task.items[5].open()[0].getpixel((0, 0)) == (2, 100, 50)
    assert type(task.items[0].images[0]).__name__ == "ParquetPicture"
    assert len(bench.task("ChartQA", folder=tmp_path, n=2)) == 2


def test_pictures_in_base64_and_chartqa_of_another_repository_are_read(tmp_path) -> None:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    row = {"query": "How much?", "label": ["3"], "human_or_machine": 0, "image": text}
    parquet(tmp_path / "test.parquet", [row])
    item = bench.task("ChartQA", folder=tmp_path).items[0]
    assert item.gold == "3"
    assert item.open()[0].tobytes() == noise.tobytes()


def test_a_part_or_another_split_is_told_before_it_is_held_against_the_published_tables(tmp_path) -> None:
    _, row, _ = ROWS["ChartQA"]
    parquet(tmp_path / "data" / "some.parquet", [row])  # no name of its repository, but the columns
    task = bench.task("ChartQA", folder=tmp_path)
    results = bench.run(FakeVLM(), task, ["auto"], folder=tmp_path / "run", progress=False)
    assert results.warnings == (
        "ChartQA: 1 items, where the published tables count 2500: another split, or a part",
    )


def test_missing_files_columns_pictures_and_answers_are_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"mmstar\.parquet"):
        bench.task("MMStar", folder=tmp_path)
    parquet(tmp_path / "mmstar.parquet", [{"index": 1, "question": "What?", "image": png()}])
    with pytest.raises(InputError, match="without answer") as caught:
        bench.task("MMStar", folder=tmp_path)
    assert any("row 0 of" in note for note in caught.value.__notes__)
    (tmp_path / "mmstar.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="damaged"):
        bench.task("MMStar", folder=tmp_path)
    row = {"img_filename": "../../etc/passwd", "bbox": [1, 2, 30, 4], "instruction": "x"}
    for name, told in (("../../etc/passwd", "leads out"), ("none.png", "is not in")):
        (tmp_path / "screenspot_web_v2.json").write_text(json.dumps([{**row, "img_filename": name}]))
        with pytest.raises(InputError, match=told):
            bench.task("ScreenSpot_v2", folder=tmp_path)
    (tmp_path / "screenspot_web_v2.json").write_text('[{"img_filename": ')
    with pytest.raises(InputError, match="damaged"):
        bench.task("ScreenSpot_v2", folder=tmp_path)


def test_without_a_network_the_hub_is_a_clear_error() -> None:
    with pytest.raises(LoadError, match="folder="):
        bench.task("MMStar")


def test_every_benchmark_of_the_published_table_is_there() -> None:
    published = {
        "AI2D",
        "ChartQA",
        "HallusionBench",
        "MathVerse",
        "MathVision",
        "MathVista",
        "MMMU",
        "MMStar",
    }
    assert published | {"OCRBench", "ScreenSpot", "ScreenSpot_v2", "ScreenSpot_Pro", "V*Bench"} == set(FIELD)
