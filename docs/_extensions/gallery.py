"""The gallery: the notebooks, copied beside the pages, for Sphinx reads nothing outside its own folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent


def copied(source: str) -> str:
    """A notebook's text with its links to the repository's files turned into those of the pages."""
    notebook = json.loads(source)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = "".join(cell["source"])
            text = text.replace("(../data/nano/README.md)", "(../built_in_model.md)")
            text = re.sub(r"\]\(\.\./data/([\w/]+)/README\.md\)", r"](../data.md#\1)", text)
            cell["source"] = text
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def copy_notebooks(app: Sphinx) -> None:
    """Bring docs/gallery/*.ipynb up to date with notebooks/."""
    folder = Path(app.srcdir) / "gallery"
    folder.mkdir(exist_ok=True)
    notebooks = {path.name: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    for old in folder.glob("*.ipynb"):
        if old.name not in notebooks:
            old.unlink()
    for name, path in notebooks.items():
        made, place = copied(path.read_text(encoding="utf-8")), folder / name
        if not place.is_file() or place.read_text(encoding="utf-8") != made:
            place.write_text(made, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", copy_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
