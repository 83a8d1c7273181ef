"""Tasks: what is asked, and how the replies are scored"""

from __future__ import annotations

from .catalog import task, task_names
from .task import Item, Task

__all__ = ["Item", "Task", "task", "task_names"]
