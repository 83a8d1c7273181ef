"""The house keeps its shape: layers, no circle, few hidden imports, short functions."""

from __future__ import annotations

import ast
import importlib
import json
from pathlib import Path

import house
import pytest
import words

ROOT = Path(__file__).resolve().parent.parent
HOUSE = house.read_house(ROOT)


def source(
    text: str, *, name: str = "workbench.models.load", package: str = "workbench.models"
) -> list[house.Import]:
    """The imports of a module that holds some text, in a package of known modules."""
    known = {
        "workbench",
        *(f"workbench.{m}" for m in ("errors", "types", "viz", "viz.plot", "models.layout", "ui.chat")),
    }
    return list(house.own_imports(ast.parse(text), text, name, package, known))


@pytest.mark.parametrize(
    ("text", "package", "expected"),
    [
        ("from ..errors import InputError", "workbench.models", {("workbench.errors", "top")}),
        ("from ...types import Mode", "workbench.models.families", {("workbench.types", "top")}),
        ("from .layout import f", "workbench.models", {("workbench.models.layout", "top")}),
        ("def f():\n    from ..viz import plot", "workbench.models", {("workbench.viz.plot", "function")}),
        ("def f():\n    from ..viz import show", "workbench.models", {("workbench.viz", "function")}),
        ("import workbench.ui.chat", "workbench.models", {("workbench.ui.chat", "top")}),
        ("from .. import load, errors", "workbench.viz", {("workbench", "top"), ("workbench.errors", "top")}),
        ("if TYPE_CHECKING:\n    from ..types import Mode", "workbench.viz", {("workbench.types", "typing")}),
        ("import torch\nfrom torch import nn", "workbench.viz", set()),
    ],
)
def test_imports_are_read_as_python_reads_them(
    text: str, package: str, expected: set[tuple[str, str]]
) -> None:
    assert {(each.target, each.where) for each in source(text, package=package)} == expected


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("def f():\n    from ..viz import plot  # matplotlib", ["matplotlib"]),
        (
            "def f():\n    # matplotlib\n    from ..viz import plot\n    from ..errors import E",
            ["matplotlib"] * 2,
        ),
        ("def f():\n    from ..viz import plot  # noqa: F401", [""]),
        ("def f():\n    x = 1  # one\n    from ..viz import plot", [""]),
    ],
)
def test_a_hidden_import_is_read_with_its_reason(text: str, reasons: list[str]) -> None:
    assert [each.reason for each in source(text)] == reasons


def built(*arrows: tuple[str, str]) -> house.House:
    """A house of modules with some imports between them."""
    names = {name for arrow in arrows for name in arrow}
    imports = [house.Import(a, b, "top", 1, "") for a, b in arrows]
    return house.House(ROOT, {name: ROOT / f"{name}.py" for name in names}, {}, imports, [])


def test_a_circle_is_found_whole_and_a_face_over_its_room_is_none() -> None:
    a, b, c, d = (f"workbench.{room}" for room in ("models.a", "models.b", "models.c", "train.d"))
    assert built((a, b), (b, c), (c, a), (c, d)).circles() == [[a, b, c]]
    assert built(("workbench.models", a), (a, "workbench.models")).circles() == []


def test_an_upward_import_is_found() -> None:
    assert (
        built(("workbench.models.a", "workbench.errors"), ("workbench.viz", "workbench.models.a")).upward()
        == []
    )
    assert built(("workbench.models.a", "workbench.viz.b")).upward() == [
        "workbench.models.a.py:1: models imports workbench.viz.b"
    ]
    assert built(("workbench.errors", "workbench")).upward()
    assert built(("workbench.new_room", "workbench.errors")).upward(), "a room without a place in the order"


def test_no_room_imports_one_above_it() -> None:
    assert HOUSE.upward() == []


def test_no_modules_import_one_another_in_a_circle() -> None:
    assert HOUSE.circles() == []


def test_few_own_imports_hide_in_functions_and_each_says_why() -> None:
    hidden = HOUSE.hidden()
    assert len(hidden) <= 25
    assert [HOUSE.place(each) for each in hidden if not each.reason] == []


def test_no_own_import_stands_under_type_checking_except_in_a_lazy_face() -> None:
    inside = [each for each in HOUSE.hidden("typing") if HOUSE.modules[each.source].name != "__init__.py"]
    assert [f"{HOUSE.place(each)} {each.target}" for each in inside] == []


def test_any_is_an_exception() -> None:
    assert HOUSE.anys_per_1000_lines() <= 4


def test_functions_fit_a_screen() -> None:
    lengths = sorted(each.lines for each in HOUSE.functions)
    assert [f"{each.place} {each.name}" for each in HOUSE.functions if each.lines > 90] == []
    assert lengths[len(lengths) // 2] <= 12


def test_an_answer_imports_few_modules() -> None:
    assert len(house.modules_for_an_answer(ROOT)) <= 85


def test_every_module_exports_what_it_says() -> None:
    modules = {
        name: importlib.import_module(name) for name in HOUSE.modules if not name.endswith(".__main__")
    }
    missing = [
        f"{m}.{name}"
        for m in modules
        for name in getattr(modules[m], "__all__", [])
        if not hasattr(modules[m], name)
    ]
    assert missing == []
    assert [name for name, module in modules.items() if not module.__doc__] == [], (
        "a module says what it is for"
    )


def face_imports(text: str, faces: dict[str, set[str]]) -> list[str]:
    """Imports of the package in some code that go past its faces."""
    past = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            past += [
                a.name for a in node.names if a.name.split(".")[0] == "workbench" and a.name not in faces
            ]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "workbench":
            known = faces.get(str(node.module), set())
            past += [f"{node.module}.{a.name}" for a in node.names if a.name not in known]
    return past


def test_an_import_past_the_faces_would_be_found() -> None:
    faces = {"workbench": {"viz"}, "workbench.viz": {"maps"}}
    assert (
        face_imports("import workbench\nfrom workbench import viz\nfrom workbench.viz import maps", faces)
        == []
    )
    assert face_imports("from workbench.viz.maps import f", faces) == ["workbench.viz.maps.f"]
    assert face_imports("from workbench.viz import other\nimport workbench.viz.maps", faces) == [
        "workbench.viz.other",
        "workbench.viz.maps",
    ]


def test_notebooks_import_faces_only() -> None:
    faces = {face.__name__: set(getattr(face, "__all__", [])) for face in words.faces()}
    past = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        plain = "\n".join(
            line for cell in code for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))
        )
        past += [f"{path.name}: {name}" for name in face_imports(plain, faces)]
    assert past == []
