"""Every test of benchmarks has a cache of its own: nothing comes from, or goes to, the user's."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "own-cache"))
