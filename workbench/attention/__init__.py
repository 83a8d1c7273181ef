"""Attention of one reply as a record: exact rows on demand, maps, sinks, rollout; numpy only"""

from .handmade import make_attention
from .record import GENERIC, Attention, LayerStore

__all__ = ["GENERIC", "Attention", "LayerStore", "make_attention"]
