"""Train small models on drawn data: the data stream, one loop, the built-in model's recipe and card."""

from .. import models as _models  # noqa: F401  # quiets the libraries below Transformers before they come
from ..names import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
