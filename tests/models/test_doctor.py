"""The doctor: what is here, what is missing, also where PyTorch is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module

import pytest

import workbench
from workbench.models.doctor import Check, Device, Report

doctor_module = import_module("workbench.models.doctor")  # the room hands out the function of this name


def test_this_machine_can_run_the_workbench():
    report = workbench.doctor()
    assert report.ok
    checks = {check.name: check for check in report.checks}
    import torch

    assert checks["torch"].found == torch.__version__
    cpu = next(device for device in report.devices if device.name == "cpu")
    assert 0 < cpu.free <= cpu.total
    text = str(report)
    assert "can run here" in text
    assert "Phi-4-reasoning-vision-15B fits in" in text
    assert list(report.frame()["name"]) == [check.name for check in report.checks]


def test_it_works_where_torch_cannot_be_imported():
    """In a process of its own, with a torch that raises on import (a broken library does)."""
    code = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in ('torch', 'transformers'):\n"
        "            raise OSError('libcudart.so.12: cannot open shared object file')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import workbench\n"
        "report = workbench.doctor()\n"
        "print(report)\n"
        "assert not report.ok\n"
        "assert any('force-reinstall' in c and 'torch' in c for c in report.to_install), report.to_install\n"
        "assert [d.name for d in report.devices] == ['cpu']\n"
        "report._repr_html_()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "can NOT run here" in done.stdout
    assert "libcudart.so.12" in done.stdout


def test_what_is_missing_or_old_gets_a_command(monkeypatch):
    from importlib import metadata

    versions = {"torch": "2.4.1+cu121", "transformers": "5.23.0", "accelerate": "1.15.0"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor_module.metadata, "version", version)
    report = workbench.doctor()
    checks = {check.name: check for check in report.checks}
    assert not report.ok
    assert "too old" in checks["torch"].note
    assert report.to_install[0] == 'pip install --upgrade "torch>=2.11"'  # the needed ones first
    assert 'pip install "torchao"' in report.to_install
    assert checks["transformers"].ok


@pytest.mark.parametrize(("version", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("5.0rc1", (5, 0)), ("x", ())])
def test_versions(version, numbers):
    assert doctor_module._numbers(version) == numbers


def test_what_fits_a_device():
    card = Device("cuda:0", int(24e9), int(24e9), "some card")
    assert [card.fits(p) for p in ("bfloat16", "int8", "int4")] == [False, True, True]
    assert card.largest("bfloat16") < 15.1 < card.largest("int8") < card.largest("int4")
    assert Device("cuda:0", int(34e9), int(40e9)).fits("bfloat16")
    assert not Device("cuda:0", int(33e9), int(40e9)).fits("bfloat16")  # CUDA itself takes some
    assert Device("cpu", 10**6, 10**6).largest("int4") == 0


def test_the_rich_form_escapes():
    check = Check("<b>name", "1", True, True, "purpose", note="<script>")
    shown = Report((check,), (Device("<i>cpu", 1, 2),))._repr_html_()
    assert "<script>" not in shown
    assert "<b>name" not in shown
    assert "<i>cpu" not in shown


def test_a_torchvision_of_another_torch_is_named_wherever_it_hurts(tmp_path):
    (tmp_path / "torchvision").mkdir()
    broken = 'raise RuntimeError("operator torchvision::nms does not exist")\n'
    (tmp_path / "torchvision" / "__init__.py").write_text(broken)
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    code = """
import workbench
try:
    workbench.load("nano")
except workbench.errors.LoadError as error:
    print(error)
print(workbench.doctor())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    error, _, report = done.stdout.partition("\n")
    assert error.startswith("torchvision, which fails when it is imported: operator torchvision::nms does")
    assert "pip install torchvision --no-deps --index-url" in error
    assert "can NOT run" in report
    (line,) = (line for line in report.splitlines() if line.strip().startswith("UNFIT"))
    assert "torchvision" in line
    assert "torchvision::nms does not exist" in line
    assert 'pip install "torchvision"' not in report, "a plain install may bring another PyTorch"
