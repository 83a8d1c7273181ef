"""One finished run for all tests of runs; replies of models that learned nothing are cut short."""

from __future__ import annotations

from pathlib import Path

import pytest
from ablate_tiny import TINY

from workbench import ablate
from workbench.ablate import training


@pytest.fixture(scope="session", autouse=True)
def short_replies() -> None:
    """A model that learned nothing rambles to the limit."""
    training.LONGEST_REPLY = training.EASY_REPLY = 4


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, short_replies: None) -> ablate.Run:
    """A finished run; it is not to be changed."""
    return ablate.run(TINY, tmp_path_factory.mktemp("finished"), checkpoint=4, every=2)
