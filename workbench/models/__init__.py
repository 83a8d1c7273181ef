"""Getting a model ready and asking it.

``load.load`` makes a handle from a source, ``memory_plan`` says what fits before a byte of weights is
read, ``doctor.doctor`` what this machine can run.  The handle is ``handle.VLM`` or, for a model on a
server, ``server.ServerVLM``; both have the same verbs.  Nothing is imported here: the functions are
the package's front door (`workbench.load`), and their modules bear the same names.
"""

import logging

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Transformers imports torchao where it is installed, which lists the kernels built for another GPU or another
# Python at every import: nothing is wrong, and nothing can be done about it.  Errors still come through.
for _name in ("torchao", "torch.utils._pytree"):
    logging.getLogger(_name).setLevel(logging.ERROR)
