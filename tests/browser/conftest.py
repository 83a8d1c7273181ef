"""One Chromium for all browser tests: required in CI, skipped with a word elsewhere."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
