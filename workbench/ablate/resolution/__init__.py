"""Ways to feed a large picture to the small model, as plans, pixels and encoders

>>> plan = feed(picture.size, 3600, method="multi_crop")   # crops and tokens, without torch
>>> FedModel(model, "multi_crop")                          # the model, fed so; trainable
"""

from ...names import face

__getattr__, __dir__, __all__ = face(__name__, __file__)
