"""Pictures of items: read when they are needed, told apart by their contents, kept beside a run"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...errors import InputError
from ...images import open_image

__all__ = ["keep_picture", "picture_digest", "read_picture"]

# How a stored picture begins, and the ending that its file gets.
_SIGNATURES = ((b"\x89PNG", ".png"), (b"\xff\xd8", ".jpg"), (b"GIF8", ".gif"), (b"RIFF", ".webp"))


def read_picture(picture: Any) -> Any:
    """What `open_image` takes: one that is fetched when it is needed is fetched, others are themselves."""
    fetch = getattr(picture, "read", None)
    return fetch() if fetch is not None and not isinstance(picture, (io.IOBase, Image.Image)) else picture


def picture_digest(picture: Any) -> str:
    """Digest of a picture's contents: of a file's bytes, or of the pixels where there is no file.

    Raises:
        InputError: for a file that cannot be read.
    """
    data = read_picture(picture)
    if isinstance(data, (str, os.PathLike)):
        try:
            data = Path(data).expanduser().read_bytes()
        except OSError as error:
            raise InputError(
                f"picture {os.fspath(picture)!r} cannot be read: {error.strerror}", "a picture's file"
            ) from None
    if isinstance(data, (bytes, bytearray, memoryview)):
        return hashlib.sha256(data).hexdigest()[:32]
    if isinstance(data, np.ndarray):
        head, data = f"{data.dtype}{data.shape}", np.ascontiguousarray(data).tobytes()
    else:
        image = data if isinstance(data, Image.Image) and data.mode == "RGB" else open_image(data)
        head, data = f"RGB{image.size}", image.tobytes()
    return hashlib.sha256(head.encode() + data).hexdigest()[:32]


def keep_picture(picture: Any, digest: str, folder: Path) -> str:
    """A path under which a picture can be found again.

    A picture that is a file stays where it is; others are written into ``folder``, once, by their digest.

    Returns:
        The path: absolute for a file elsewhere, else the name in ``folder``.
    """
    data = read_picture(picture)
    if isinstance(data, (str, os.PathLike)):
        return str(Path(data).expanduser().resolve())
    if not isinstance(data, (bytes, bytearray, memoryview)):
        name = f"{digest}.png"
        if (folder / name).exists():
            return name
        buffer = io.BytesIO()
        open_image(data).save(buffer, "PNG", compress_level=1)
        data = buffer.getvalue()
    else:
        name = digest + next((end for head, end in _SIGNATURES if bytes(data[:4]).startswith(head)), ".img")
    if not (folder / name).exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{name}.{os.getpid()}.tmp"
        beside.write_bytes(data)
        os.replace(beside, folder / name)
    return name
