"""Tables that plug-ins add to: found by their entry points, loaded once, and never in the way."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench import plugins
from workbench.errors import InputError
from workbench.plugins import PluginWarning, Table, load_plugins

TABLE: Table[int] = Table("number", {"one": 1})


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Install a distribution with one module and its entry point, as pip would lay it out."""
    monkeypatch.setattr(plugins, "_loaded", None)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def install(name: str, source: str, target: str = "") -> None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        info = tmp_path / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", "utf-8")
        points = f"[{plugins.GROUP}]\n{name}-point = {target or name}\n"
        (info / "entry_points.txt").write_text(points, "utf-8")

    yield install
    TABLE._entries, TABLE._owners = {"one": 1}, {"one": "the workbench"}
    for name in set(sys.modules) - before:
        del sys.modules[name]


ADD = "import {test} as here\nhere.TABLE.register({name!r}, {value})\n"


def adds(name: str, value: int) -> str:
    return ADD.format(test=__name__, name=name, value=value)


def test_a_plug_in_is_loaded_when_a_table_is_read(install: Callable[..., None]) -> None:
    install("plug_module", adds("two", 2))
    install(
        "plug_function",
        "def begin():\n    " + adds("three", 3).replace("\n", "\n    "),
        "plug_function:begin",
    )
    assert "plug_module" not in sys.modules
    assert TABLE.find("two") == 2
    assert dict(TABLE) == {"one": 1, "two": 2, "three": 3}
    assert TABLE.plugged() == {"two": 2, "three": 3}
    ours = {p.name: p for p in load_plugins() if p.name.startswith("plug_")}
    assert ours["plug_module-point"].package == "plug_module 1.2"
    assert not any(plugin.error for plugin in ours.values())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import a_package_that_nobody_has", "ModuleNotFoundError"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("def begin(argument): ...", "TypeError"),
        (adds("one", 11), "InputError: a number with the name 'one', which belongs to the workbench"),
    ],
)
def test_a_broken_plug_in_is_named_and_left_out(
    install: Callable[..., None], source: str, reason: str
) -> None:
    install("plug_broken", source, "plug_broken:begin" if "begin" in source else "")
    install("plug_sound", adds("two", 2))
    with pytest.warns(PluginWarning, match="'plug_broken-point' of plug_broken 1.2") as caught:
        assert dict(TABLE) == {"one": 1, "two": 2}
    assert reason in str(caught[0].message)
    (broken,) = (plugin for plugin in load_plugins() if plugin.error)
    assert broken.error.startswith(reason)
    with warnings.catch_warnings():  # said once
        warnings.simplefilter("error")
        list(TABLE)


def test_two_plug_ins_cannot_take_one_name_and_a_session_can(install: Callable[..., None]) -> None:
    install("plug_first", adds("two", 2))
    install("plug_second", adds("two", 22))
    with pytest.warns(PluginWarning, match=r"'plug_second-point'.*belongs to plug_first-point"):
        assert TABLE["two"] == 2
    TABLE.register("two", 222)
    assert TABLE["two"] == 222


def test_a_plug_in_may_read_the_table_that_it_adds_to(install: Callable[..., None]) -> None:
    source = f"import {__name__} as here\nhere.TABLE.register('more', len(here.TABLE) + here.TABLE['one'])\n"
    install("plug_reader", source)
    assert TABLE["more"] == 2


def test_an_unknown_name_lists_the_known_ones(install: Callable[..., None]) -> None:
    with pytest.raises(InputError, match=r"number='four'. Expected: one of 'one'"):
        TABLE.find("four")
    assert TABLE.get("four") is None
    with pytest.raises(InputError, match="the workbench"):
        TABLE.register("one", 11)
    with pytest.raises(InputError, match="a name"):
        TABLE.register(" ", 11)
