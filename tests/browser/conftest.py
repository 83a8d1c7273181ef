"""One Chromium for all browser tests: required in CI, skipped with a word elsewhere; and pages that tell."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab_server import LabServer
    from playwright.sync_api import Browser, Page

for room in ("ui", "bench"):  # explorer_records and bench_fakes, shared with their tests
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / room))

NEEDED = {
    "playwright": "pip install playwright (its own browsers are not needed)",
    "jupyterlab": "pip install jupyterlab",
}


def missing() -> str | None:
    """What the browser tests lack on this machine, and how to get it."""
    for name, fix in NEEDED.items():
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: {fix}"
    from lab_server import find_chromium

    return None if find_chromium() else "no Chromium or Chrome on the path: apt-get install chromium"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    if reason := missing():
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(f"CI runs the browser tests, but {reason}")
        pytest.skip(reason)
    from lab_server import chromium

    with chromium() as started:
        yield started


@pytest.fixture
def troubles() -> list[str]:
    """What went wrong in the page, as the browser's console tells it."""
    return []


@pytest.fixture
def page(browser: Browser, lab: LabServer, tmp_path: Path, troubles: list[str]) -> Iterator[Page]:
    """A page that is closed before the ``lab`` of the test ends; a picture of it is kept to look at."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.on("pageerror", lambda error: troubles.append(f"page error: {error}"))
    opened.on("console", lambda m: troubles.append(f"{m.text} ({m.location})") if m.type == "error" else None)
    yield opened
    opened.screenshot(path=tmp_path / "page.png")
    context.close()
