"""Training the small models: the data stream, one readable loop, the built-in model's recipe, its card."""

from .. import models as _models  # noqa: F401  # quiets the libraries below Transformers before they come
