"""Settings for all tests: no network, no windows, the fast ones first."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

# Before anything imports these libraries; notebooks and servers that tests start inherit them.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small models: more threads only wait for one another
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest.register_assert_rewrite("workbench.contracts")  # tests of ours run contract tests too

# A shell starts background jobs with Ctrl-C ignored, and children inherit that; the tests of Ctrl-C need it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then slow ones, notebooks, and the browser last."""

    def rank(item: pytest.Item) -> int:
        if item.get_closest_marker("browser"):
            return 3
        if item.path.suffix == ".ipynb":
            return 2
        return 1 if item.get_closest_marker("slow") else 0

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def entries_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget what a test registers: tests that walk a table must not meet the entries of another."""
    from workbench import plugins  # after the settings above

    made: list[tuple[plugins.Table[Any], str]] = []
    register = plugins.Table.register

    def noted(table: plugins.Table[Any], name: str, entry: object) -> object:
        if not plugins._loading and name not in table._entries:
            made.append((table, name))
        return register(table, name, entry)

    monkeypatch.setattr(plugins.Table, "register", noted)
    yield
    for table, name in made:
        table._entries.pop(name, None)
        table._owners.pop(name, None)
