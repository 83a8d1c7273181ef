"""Our own families keep the contract that a plug-in's author tests theirs with."""

from __future__ import annotations

from workbench.contracts.test_drawings import *  # noqa: F403
