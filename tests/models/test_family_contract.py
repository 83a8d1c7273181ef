"""The contract that every family keeps (`workbench.contracts`), on tiny random models of the real classes."""

from __future__ import annotations

import pytest
import tiny_families

from workbench.contracts.test_families import *  # noqa: F403
from workbench.contracts.test_families import Case


@pytest.fixture
def case(case: tiny_families.Case) -> Case:
    return Case(case.spec, case.model, case.processor)
