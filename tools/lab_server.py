"""A private JupyterLab and a Chromium to look at it with, for the browser test and the sample screenshots.

Nothing of the user's own Jupyter set-up is read or written: every folder that Jupyter uses is temporary.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

__all__ = ["LabServer", "chromium", "find_chromium", "jupyter_lab", "open_notebook", "run_all_cells"]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NOTIFICATIONS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


@dataclass(frozen=True)
class LabServer:
    """Where a JupyterLab listens. ``log`` holds what it printed."""

    url: str
    token: str
    log: Path


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def jupyter_lab(root: Path, *, timeout: float = 180.0) -> Iterator[LabServer]:
    """A JupyterLab on the notebooks of folder ``root``, ended with all its kernels afterwards.

    Raises:
        RuntimeError: if it does not answer within ``timeout`` seconds; holds what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="lab-", ignore_cleanup_errors=True) as folder:
        own = Path(folder)
        server = LabServer(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16), own / "log.txt")
        with server.log.open("wb") as log:
            process = subprocess.Popen(
                _command(server, root),
                env=_environment(own, server.token),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(server, process, timeout)
            yield server
        finally:
            _end(process)


def open_notebook(page: Page, server: LabServer, path: str, *, timeout: float = 180.0) -> None:
    """Open a notebook and wait until its kernel is ready. ``timeout`` is in seconds, for each wait."""
    milliseconds = timeout * 1000
    page.goto(f"{server.url}/lab/tree/{path}?reset&token={server.token}", timeout=milliseconds)
    page.wait_for_function("window.jupyterapp !== undefined", timeout=milliseconds)
    page.evaluate("window.jupyterapp.restored")
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'",
        timeout=milliseconds,
    )


def run_all_cells(page: Page, *, timeout: float = 300.0) -> None:
    """Run every cell of the open notebook and wait for the last one, at most ``timeout`` seconds."""
    page.evaluate(
        """() => {
            window.allCellsRan = false;
            const done = () => window.allCellsRan = true;
            window.jupyterapp.commands.execute('notebook:run-all-cells').finally(done);
        }"""
    )
    page.wait_for_function("window.allCellsRan", timeout=timeout * 1000)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command(server: LabServer, root: Path) -> list[str]:
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", *as_root),
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={server.url.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]


def _environment(own: Path, token: str) -> dict[str, str]:
    names = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    notification = (
        own / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    )
    notification.parent.mkdir(parents=True)
    notification.write_text(json.dumps(NOTIFICATIONS), encoding="utf-8")
    return {**os.environ, **{key: str(own / name) for key, name in names.items()}, "JUPYTER_TOKEN": token}


def _wait(server: LabServer, process: subprocess.Popen[bytes], timeout: float) -> None:
    request = urllib.request.Request(
        f"{server.url}/api/status", headers={"Authorization": f"token {server.token}"}
    )
    end = time.monotonic() + timeout
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"JupyterLab did not start:\n{server.log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and its kernels, which stand in its process group (or in groups of their own)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            continue
