"""Load models and ask them questions.

`load` makes a handle from a source, `memory_plan` says what fits before a byte of weights is read, and
`doctor` what this machine can run.  The handle is a `VLM` or, for a model on a server, a `ServerVLM`;
both are a `Model`, with the same verbs.  `register_family` adds support for another make of models.
"""

import logging

from ..names import face

__getattr__, __dir__, __all__ = face(__name__, __file__)

# Transformers imports torchao where it is installed, which lists the kernels built for another GPU or another
# Python at every import: nothing is wrong, and nothing can be done about it.  Errors still come through.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
