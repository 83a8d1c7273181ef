"""Widgets over the records; each also has a static form.

>>> from workbench.ui import AttentionExplorer
>>> AttentionExplorer(vlm.ask("screen.png", "Where is OK?", capture=True))  # where each word looked
"""

from ..names import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
