"""One tokenizer for all tests of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from ablate_tiny import TINY, make_base, new_store

from workbench import ablate


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizer and image settings."""
    return make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def store(tmp_path: Path, base: Path) -> Path:
    """An empty store."""
    return new_store(tmp_path, base)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, base: Path) -> ablate.Run:
    """A finished run; it is not to be changed."""
    folder = new_store(tmp_path_factory.mktemp("finished"), base)
    return ablate.run(TINY, folder, checkpoint=4, every=2)
