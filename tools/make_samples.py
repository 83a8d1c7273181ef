"""Make data/samples anew: pictures that workbench.synth did not draw, with questions whose answers are known.

Needs Chromium and two packages that nothing else here uses::

    pip install scikit-learn scikit-image
    python tools/make_samples.py

Charts and photographs come out the same each time; screenshots change with the versions of what they show.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from sample_charts import draw_charts
from sample_pages import shoot_pages
from sample_photos import copy_photos

SAMPLES = Path(__file__).resolve().parent.parent / "data" / "samples"
README = """# Samples: pictures that the workbench did not draw

Made by `tools/make_samples.py`. `samples.json` lists every picture with questions, gold answers and how a
reply is judged: `words` (the same words), `number` (the same number) or `point` (the centre of the box that
the reply names lies in `box`). A screen's `elements` file holds what can be clicked in it: name, role, and
box (x1, y1, x2, y2) in pixels of the picture, read from the page's DOM. A chart's `values` are what it
shows.

| picture | pixels | origin | licence |
|---|---|---|---|
"""


def main() -> None:
    """Make everything in a folder beside data/samples, then put it in its place."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=SAMPLES, help="folder to write (default: data/samples)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".samples-") as made:
        folder = Path(made)
        entries = [*shoot_pages(folder), *draw_charts(folder), *copy_photos(folder)]
        table = README
        for entry in entries:
            with Image.open(folder / entry["file"]) as picture:
                entry["size"] = list(picture.size)
            width, height = entry["size"]
            table += f"| `{entry['file']}` | {width} x {height} | {entry['origin']} | {entry['licence']} |\n"
        (folder / "README.md").write_text(table, encoding="utf-8")
        (folder / "samples.json").write_text(f"{_json(entries)}\n", encoding="utf-8")
        for path in folder.iterdir():
            os.replace(path, out / path.name)


def _json(entries: list[dict[str, Any]]) -> str:
    """Indented JSON with every list of plain values on one line."""
    text = json.dumps(entries, indent=1, ensure_ascii=False)
    return re.sub(r"\[([^\[\]{}]*)\]", lambda m: f"[{' '.join(m[1].split())}]", text)


if __name__ == "__main__":
    main()
