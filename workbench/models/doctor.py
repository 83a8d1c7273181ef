"""`doctor`: what this machine can run, and what to install.  Works where PyTorch does not."""

from __future__ import annotations

import html
import importlib
import importlib.util
import os
import platform
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import matching_torchvision
from ..html import framed
from .ladder import ladder
from .memory import free_ram, total_ram

if TYPE_CHECKING:
    import pandas

__all__ = ["Check", "Device", "Report", "doctor"]

# Phi-4-reasoning-vision-15B, from its config: parameters, those in the decoder's linear layers, and
# bytes for cache and activations with one picture, a prompt of 1000 tokens and a reply of 4096.
PARAMETERS, LINEAR, WORKING = 15.12e9, 13.63e9, 2.6e9
BYTES = {"bfloat16": 2.0, "int8": 1.0, "int4": 0.5625}  # per parameter of a linear layer
CUDA_RESERVE = 1e9

OWN_PICTURES = "For pictures of your own, which the built-in model does not know:"


@dataclass(frozen=True)
class Check:
    """One thing that was looked for.

    Args:
        name: package or program.
        found: its version, or "" where it is missing.
        ok: whether it is there and new enough.
        needed: whether the workbench does not run without it.
        purpose: what it is for.
        install: the command that puts it right; "" where nothing is wrong.
        note: what else was found.
    """

    name: str
    found: str
    ok: bool
    needed: bool
    purpose: str
    install: str = ""
    note: str = ""


@dataclass(frozen=True)
class Device:
    """A place where a model can run, with free and total memory in bytes."""

    name: str
    free: int
    total: int
    note: str = ""

    def fits(self, precision: str) -> bool:
        """Whether Phi-4-reasoning-vision-15B fits in "bfloat16", "int8" or "int4"."""
        weights = 2 * (PARAMETERS - LINEAR) + BYTES[precision] * LINEAR
        return weights + WORKING + (CUDA_RESERVE if self.name.startswith("cuda") else 0) <= self.free

    def largest(self, precision: str) -> float:
        """Parameters (in billions) of the largest model of the same build that fits."""
        reserve = WORKING + (CUDA_RESERVE if self.name.startswith("cuda") else 0)
        share = LINEAR / PARAMETERS
        per_parameter = 2 * (1 - share) + BYTES[precision] * share
        return max(0.0, (self.free - reserve) / per_parameter / 1e9)


@dataclass(frozen=True)
class Report:
    """What `doctor` found."""

    checks: tuple[Check, ...]
    devices: tuple[Device, ...]

    @property
    def ok(self) -> bool:
        """Whether the workbench can run here."""
        return all(check.ok for check in self.checks if check.needed)

    @property
    def to_install(self) -> tuple[str, ...]:
        """Commands that put right what is missing, the needed ones first."""
        wrong = sorted((c for c in self.checks if not c.ok and c.install), key=lambda c: not c.needed)
        return tuple(dict.fromkeys(check.install for check in wrong))

    def frame(self) -> pandas.DataFrame:
        """The checks as a table."""
        import pandas

        return pandas.DataFrame([vars(check) for check in self.checks])

    def _device_lines(self) -> list[str]:
        lines = []
        for device in self.devices:
            fits = ", ".join(f"{p} {'yes' if device.fits(p) else 'no'}" for p in BYTES)
            most = ", ".join(f"{device.largest(p):.1f}B in {p}" for p in BYTES)
            note = f" ({device.note})" if device.note else ""
            lines.append(
                f"{device.name}{note}: {device.free / 1e9:.1f} GB free of {device.total / 1e9:.1f} GB; "
                f"Phi-4-reasoning-vision-15B fits in: {fits}; at most about {most}"
            )
        return lines

    def __str__(self) -> str:
        lines = [f"The workbench {'can' if self.ok else 'can NOT'} run here."]
        for check in self.checks:
            mark = "ok" if check.ok else "-" if not check.needed else "UNFIT" if check.found else "MISSING"
            found = " ".join(filter(None, (check.found or "not found", check.note)))
            lines.append(f"  {mark:<8} {check.name:<16} {found}  [{check.purpose}]")
        lines += [f"  {line}" for line in self._device_lines()]
        if self.to_install:
            lines.append("  To install:")
            lines += [f"    {command}" for command in self.to_install]
        lines.append(f"  {OWN_PICTURES}")
        lines += [f"    {line}" for line in str(ladder()).splitlines()]
        return "\n".join(lines)

    @framed
    def _repr_html_(self) -> str:
        def e(text: object) -> str:
            return html.escape(str(text))

        rows = "".join(
            f"<tr><td>{'✓' if c.ok else '✗' if c.needed else '–'}</td><td>{e(c.name)}</td>"
            f"<td>{e(c.found or 'not found')} {e(c.note)}</td><td>{e(c.purpose)}</td>"
            f"<td><code>{e(c.install)}</code></td></tr>"
            for c in self.checks
        )
        devices = "".join(f"<li>{e(line)}</li>" for line in self._device_lines())
        verdict = "can" if self.ok else "can <b>not</b>"
        head = "".join(f"<th>{h}</th>" for h in ("", "what", "found", "for", "to install"))
        return (
            f"<div>The workbench {verdict} run here.<table><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table><ul>{devices}</ul>"
            f"{OWN_PICTURES} {ladder()._repr_html_()}</div>"
        )


def doctor() -> Report:
    """Look at this machine: packages, devices, and what size of model they have room for.

    Installs nothing and loads no model.

    Example:
        >>> doctor().ok  # doctest: +SKIP
        True
    """
    torch, trouble = _import("torch")
    cuda = bool(torch and torch.cuda.is_available())
    checks = [
        _python(),
        _package("torch", "runs the models", needed=True, least=(2, 11), trouble=trouble, note=_build(torch)),
        _package("transformers", "the models", needed=True, least=(5, 17)),
        _package("accelerate", "placing models on devices", needed=True),
        _torchvision(),
        _package("torchao", "quantize='int8'"),
        _package("bitsandbytes", "quantize='int4'"),
        _package("jupyterlab", "notebooks"),
        _package("ipywidgets", "widgets and progress bars in notebooks"),
        _chromium(),
    ]
    if cuda:
        checks.insert(7, _package("flash-attn", "attention='flash_attention_2'"))
    return Report(tuple(checks), tuple(_devices(torch)))


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    install = "" if ok else "install Python 3.11 or newer"
    return Check("Python", platform.python_version(), ok, True, "everything", install, platform.platform())


def _package(
    name: str,
    purpose: str,
    *,
    needed: bool = False,
    least: tuple[int, ...] = (),
    trouble: str = "",
    note: str = "",
) -> Check:
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        found = ""
    new_enough = bool(found) and _numbers(found) >= least
    wanted = f"{name}>={'.'.join(map(str, least))}" if least else name
    if found and not new_enough:
        note = f"too old: {'.'.join(map(str, least))} or newer is needed"
    elif found and trouble:
        note = f"cannot be imported: {trouble}"
    ok = new_enough and not trouble
    force = "--force-reinstall " if found and trouble else "--upgrade " if found else ""
    return Check(name, found, ok, needed, purpose, "" if ok else f'pip install {force}"{wanted}"', note)


def _torchvision() -> Check:
    """Not needed; but where it is broken, Transformers cannot be imported either."""
    there = importlib.util.find_spec("torchvision") is not None
    trouble = _import("torchvision")[1] if there else ""
    found = _package("torchvision", "processors of some families", needed=bool(trouble), trouble=trouble)
    ok = there and not trouble
    install = "" if ok else matching_torchvision() + ("; or uninstall it" if trouble else "")
    note = f"cannot be imported: {trouble}" if trouble else ""
    return replace(found, ok=ok, found=found.found or ("there" if there else ""), install=install, note=note)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" gives (2, 13, 0), "5.0rc1" gives (5, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def _import(name: str) -> tuple[Any, str]:
    """A module, or None and why it cannot be imported (a broken library raises all kinds of errors)."""
    try:
        return importlib.import_module(name), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _build(torch: Any) -> str:
    """What PyTorch was built for, and whether this machine has more to offer."""
    if torch is None:
        return ""
    if torch.cuda.is_available():
        return f"with CUDA {torch.version.cuda}"
    if torch.backends.mps.is_available():
        return "with Metal (MPS)"
    if shutil.which("nvidia-smi"):
        return "without CUDA, though this machine has an NVIDIA driver: install a CUDA build of torch"
    return "for the CPU"


def _chromium() -> Check:
    """A Chromium for the browser tests: the system's, or the one that playwright downloaded."""
    programs = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    found = next((path for name in programs if (path := shutil.which(name))), "")
    if not found:
        set_to = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
        folders = [Path(set_to)] if set_to else [Path.home() / p for p in _PLAYWRIGHT_FOLDERS]
        found = next((str(p) for folder in folders for p in sorted(folder.glob("chromium*"))), "")
    install = "" if found else "pip install playwright && playwright install chromium"
    return Check("Chromium", found, bool(found), False, "browser tests", install)


_PLAYWRIGHT_FOLDERS = (".cache/ms-playwright", "Library/Caches/ms-playwright", "AppData/Local/ms-playwright")


def _devices(torch: Any) -> list[Device]:
    """The devices of PyTorch, or main memory alone where it cannot be imported."""
    found = []
    if torch is not None:
        from .device import available_memory, total_memory  # needs PyTorch, which may be broken here

        names = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
        names += ["mps"] if torch.backends.mps.is_available() else []
        for name in names:
            device = torch.device(name)
            note = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
            found.append(Device(name, available_memory(device), total_memory(device), note))
    with suppress(ImportError):  # psutil comes with accelerate, which may be missing here
        found.append(Device("cpu", free_ram(), total_ram(), f"{os.cpu_count()} cores"))
    return found
