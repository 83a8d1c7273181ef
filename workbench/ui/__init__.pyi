from .ask import AskPanel as AskPanel
from .explorer import AttentionExplorer as AttentionExplorer
from .failures import FailureBrowser as FailureBrowser
from .failures import failures as failures
from .live import LiveAnswer as LiveAnswer
from .live import live as live
from .microscope import ResolutionMicroscope as ResolutionMicroscope
from .model import ModelPanel as ModelPanel
