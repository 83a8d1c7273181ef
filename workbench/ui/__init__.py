"""Widgets over the records; each also has a static form.

>>> from workbench.ui import AttentionExplorer
>>> AttentionExplorer(vlm.ask("screen.png", "Where is OK?", capture=True))  # where each word looked
"""

from __future__ import annotations

from .explorer import AttentionExplorer
from .live import LiveAnswer

__all__ = ["AttentionExplorer", "LiveAnswer"]
