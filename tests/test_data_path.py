"""What ships is found: in a checkout, and in an installed wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import workbench
from workbench.errors import InputError
from workbench.files import data_path

ROOT = Path(workbench.__file__).resolve().parent.parent


def test_the_folder_and_what_is_in_it() -> None:
    assert data_path() == ROOT / "data"
    assert data_path("samples", "samples.json").is_file()
    assert workbench.data_path is data_path


def test_a_name_that_does_not_ship_is_refused_with_those_that_do() -> None:
    with pytest.raises(InputError, match=r"no_such\.png.*one of: .*samples\.json"):
        data_path("samples", "no_such.png")


@pytest.mark.parametrize(
    "parts", [("..",), ("..", "pyproject.toml"), ("samples", "..", "..", "README.md"), ("/",)]
)
def test_nothing_outside_the_folder_is_reached(parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="below the data folder"):
        data_path(*parts)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel of this checkout is installed, without its dependencies."""
    made, target = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("installed")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(made), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = made.glob("*.whl")
    install = [*(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"), "--target"]
    done = subprocess.run([*install, str(target), str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.mark.slow
def test_a_wheel_carries_the_data_and_finds_it(installed: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(installed)!r})\n"
        "import workbench\n"
        "print(workbench.__file__); print(workbench.data_path('samples', 'samples.json'))"
    )
    # -P: the checkout, should it be the working folder, is not looked at
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed) for line in done.stdout.splitlines())

    def files(folder: Path) -> dict[str, int]:
        return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}

    assert files(installed / "workbench" / "_data") == files(ROOT / "data")


@pytest.mark.slow
def test_lab_of_a_wheel_copies_its_notebooks_into_the_folder_it_is_called_in(
    installed: Path, tmp_path: Path
) -> None:
    code = (
        f"import os, sys; sys.path.insert(0, {str(installed)!r})\n"
        "from workbench import cli\n"
        "os.execv = lambda program, command: print(*command, sep='\\n')\n"
        "sys.exit(cli.main(['lab']))"
    )
    lab = [sys.executable, "-P", "-c", code]
    done = subprocess.run(lab, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mine = tmp_path / "workbench-notebooks"
    assert str(mine) in done.stderr
    assert f"--ServerApp.root_dir={tmp_path}" in done.stdout

    def files(folder: Path, pattern: str) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in folder.glob(pattern)}

    assert files(mine, "*.ipynb") == files(ROOT / "notebooks", "*.ipynb") != {}
    assert files(mine / "samples", "*") == files(ROOT / "data" / "samples", "*")


@pytest.mark.slow
def test_a_wheel_carries_every_module_and_no_tests(installed: Path) -> None:
    def modules(folder: Path) -> set[str]:
        return {str(p.relative_to(folder)) for p in folder.rglob("*.py")}

    assert modules(installed / "workbench") == modules(ROOT / "workbench")
    assert not (installed / "tests").exists()


@pytest.mark.slow
def test_a_wheel_carries_the_scripts_and_styles_of_the_widgets(installed: Path) -> None:
    def assets(folder: Path) -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (folder / "ui" / "assets").iterdir()}

    assert assets(installed / "workbench") == assets(ROOT / "workbench")
    assert {Path(name).suffix for name in assets(ROOT / "workbench")} == {".js", ".css"}


def test_the_constraints_name_one_version_within_each_supported_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    exact = {canonicalize_name(name): version for name, version in pins.items()}
    extras = [line for group in project["optional-dependencies"].values() for line in group]
    for line in [*project["dependencies"], *extras]:
        need = Requirement(line)
        if need.name != project["name"]:
            assert need.specifier.contains(exact[canonicalize_name(need.name)]), line
