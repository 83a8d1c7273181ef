from .explorer import AttentionExplorer as AttentionExplorer
from .live import LiveAnswer as LiveAnswer
