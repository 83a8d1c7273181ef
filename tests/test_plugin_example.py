"""The example of a plug-in, installed as pip would lay it out, keeps the contracts."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "plugin_example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a Python that has the example installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    site = tmp_path_factory.mktemp("site")
    info = site / f"vlm_plugin_example-{project['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(metadata, "utf-8")
    lines = [
        line
        for group, points in project["entry-points"].items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    folders = [str(site), str(EXAMPLE), str(EXAMPLE.parent.parent), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, folders))
    return {**os.environ, "PYTHONPATH": path}


def run(installed: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], env=installed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_registers_one_of_each(installed: dict[str, str]) -> None:
    code = (
        "from workbench.plugins import load_plugins\n"
        "from workbench.models import FAMILIES, family_of\n"
        "print([(p.name, p.package, p.error) for p in load_plugins()])\n"
        "print(family_of('llava').name, list(FAMILIES.plugged()))\n"
        "from workbench import bench, synth\n"
        "sample = synth.sample('battery', 1, seed=0)[0]\n"
        "print(sample.correct(sample.answer), list(synth.DRAWN.plugged()))\n"
        "print(bench.task('synth:battery@2', n=3))\n"
        "from workbench.interpret.methods import TABLE\n"
        "print(list(TABLE.plugged()), TABLE['edges'].unit)\n"
        "print(bench.score('Colours', 'Red.', gold='red').value, bench.task('Colours', n=2))\n"
        "from workbench.bench.importers import IMPORTERS\n"
        "print(list(IMPORTERS.plugged()))\n"
    )
    plugins, family, drawing, task, method, scored, importers = run(installed, "-c", code).splitlines()
    assert drawing == "True ['battery']"
    assert task.startswith("Task('synth:battery@2', 3 items")
    assert "('example', 'vlm-plugin-example 0.1', '')" in plugins
    assert family == "llava-1.5 ['llava-1.5']"
    assert method == "['edges'] steepness"
    assert scored.startswith("1.0 Task('Colours', 2 items")
    assert importers == "['colour-log']"


@pytest.mark.slow
def test_the_example_keeps_the_contracts(installed: dict[str, str], tmp_path: Path) -> None:
    """The one command that a plug-in's author runs."""
    said = run(
        installed, "-m", "pytest", "--pyargs", "workbench.contracts", "-q", "-k", "llava-1.5", "-p",
        "no:cacheprovider", "--rootdir", str(tmp_path), "-rA",
    )  # fmt: skip
    assert "test_history_goes_on_from_what_was_written[llava-1.5]" in said
    assert "failed" not in said
    assert "skipped" not in said


@pytest.mark.slow
def test_the_example_method_keeps_its_contract(installed: dict[str, str], tmp_path: Path) -> None:
    said = run(
        installed, "-m", "pytest", "--pyargs", "workbench.contracts.test_methods", "-q", "-k", "edges", "-p",
        "no:cacheprovider", "--rootdir", str(tmp_path), "-rA",
    )  # fmt: skip
    assert "test_a_method_does_what_it_says[edges]" in said
    assert "failed" not in said


@pytest.mark.slow
def test_the_example_benchmark_keeps_its_contracts(installed: dict[str, str], tmp_path: Path) -> None:
    modules = [f"workbench.contracts.test_{kind}" for kind in ("scorers", "tasks", "importers")]
    said = run(
        installed, "-m", "pytest", "--pyargs", *modules, "-q", "-k", "olour", "-p", "no:cacheprovider",
        "--rootdir", str(tmp_path), "-rA",
    )  # fmt: skip
    assert "test_a_right_reply_is_right_and_says_why[Colours-workbench]" in said
    assert "test_its_scorer_knows_its_gold_answers[Colours]" in said
    assert "test_a_log_that_is_cut_is_an_error_or_a_warning[colour-log]" in said
    assert "failed" not in said
    assert "skipped" not in said
