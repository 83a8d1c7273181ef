"""Keeping the libraries below from burying our own lines under theirs."""

from __future__ import annotations

import logging

__all__ = ["quiet_libraries"]


def quiet_libraries() -> None:
    """Silence warnings about builds that this machine cannot use.

    torchao lists, at every import, the kernels that were built for another GPU or Python; nothing is
    wrong and nothing can be done about it.  Errors still come through.
    """
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
