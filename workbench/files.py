"""Where the data that ships with the workbench lies: one function, for a checkout and for a wheel."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError

__all__ = ["data_path"]


_PACKAGE = Path(__file__).resolve().parent


def data_path(*parts: str) -> Path:
    """Path of a file or folder that ships with the workbench.

    A wheel carries the data inside the package; a checkout keeps it in ``data/`` beside the package.

    Args:
        parts: names below the data folder (``data_path("nano", "config.json")``); none for the folder itself.

    Raises:
        InputError: if nothing of that name ships, or the name leads out of the data folder.

    Example:
        >>> data_path("samples").name
        'samples'
    """
    packaged = _PACKAGE / "_data"
    root = packaged if packaged.is_dir() else _PACKAGE.parent / "data"
    path = root.joinpath(*parts)
    if not path.resolve().is_relative_to(root.resolve()):
        raise InputError(f"data_path{parts!r}", "names below the data folder")
    if not path.exists():
        folder = next(p for p in path.parents if p.is_dir())
        names = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise InputError(
            f"data_path{parts!r}: nothing of that name ships in {folder}",
            f"one of: {names}",
            "if the installation is damaged, run: pip install --force-reinstall --no-deps vlm-workbench",
        )
    return path
