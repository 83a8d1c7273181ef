"""Screenshots for data/samples: real pages in Chromium, with the boxes of what can be clicked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from lab_server import LabServer, chromium, jupyter_lab, open_notebook, run_all_cells
from playwright.sync_api import Browser, Page
from sklearn.datasets import load_iris

__all__ = ["shoot_pages"]

SIZE = {"width": 1024, "height": 640}  # pixels; a small laptop window keeps captions readable
BOX = "Output its bbox [x1, y1, x2, y2] from 0.0000 to 1.0000."

# What a person could click, named as a screen reader would name it, with its box in the picture's pixels.
CLICKABLE = """() => {
    const found = [], seen = new Set();
    const what = 'button, jp-button, a[href], input:not([type=hidden]), select, textarea, ' +
        '[role=button], [role=tab], [role=menuitem], [role=checkbox], .jp-LauncherCard, .lm-MenuBar-item';
    for (const node of document.querySelectorAll(what)) {
        const r = node.getBoundingClientRect();
        const middle = document.elementFromPoint(r.x + r.width / 2, r.y + r.height / 2);
        const host = node.getRootNode().host;
        if (r.width < 4 || r.height < 4 || !middle) continue;
        if (!node.contains(middle) && !middle.contains(node) && host !== middle) continue;
        const label = node.labels && node.labels[0] ? node.labels[0].innerText : '';
        const [aria, title, hint, field] = ['aria-label', 'title', 'placeholder', 'name'].map(
            key => node.getAttribute(key));
        const text = aria || label || title || node.innerText || hint || field || node.value || '';
        const name = text.trim().split('\\n')[0].trim();
        const box = [r.left, r.top, r.right, r.bottom].map(v => Math.round(v));
        if (!name || name.length > 80 || seen.has(box.join())) continue;
        seen.add(box.join());
        found.push({name, role: node.getAttribute('role') || node.tagName.toLowerCase(), box});
    }
    return found;
}"""

FORM = """<!doctype html><html lang="en"><head><title>Order</title></head><body>
<h1>Order a bicycle</h1>
<form>
<p><label>Full name <input name="name" value="Ada Lovelace"></label></p>
<p><label>E-mail <input type="email" name="mail" placeholder="you@example.org"></label></p>
<p><label>Frame size <select name="frame"><option>Small</option><option selected>Medium</option>
<option>Large</option></select></label></p>
<fieldset><legend>Colour</legend>
<label><input type="radio" name="colour"> Red</label>
<label><input type="radio" name="colour" checked> Green</label>
<label><input type="radio" name="colour"> Blue</label></fieldset>
<p><label><input type="checkbox" name="lights" checked> With lights</label>
<label><input type="checkbox" name="basket"> With basket</label></p>
<p><label>Remarks<br><textarea name="remarks" rows="4" cols="50"></textarea></label></p>
<p><button type="reset">Clear</button> <button type="submit">Place order</button></p>
</form></body></html>"""

# pydoc's page names the operating system and the file's path.
HIDE_MACHINE = """() => {
    const about = 'a[href^="file:"], div[style*="float:left"]';
    for (const node of document.querySelectorAll(about)) node.style.visibility = 'hidden';
}"""

CELLS = (
    ("markdown", "# Rainfall\nMonthly rainfall in millimetres."),
    ("code", "rain = {'Jan': 78, 'Feb': 51, 'Mar': 61, 'Apr': 54}\nsum(rain.values())"),
    ("code", "max(rain, key=rain.get)"),
)


def shoot_pages(folder: Path) -> list[dict[str, Any]]:
    """Take all screenshots into a folder; returns one entry of samples.json for each."""
    with tempfile.TemporaryDirectory() as root, jupyter_lab(Path(root)) as server, chromium() as browser:
        notebook = nbformat.v4.new_notebook(
            cells=[getattr(nbformat.v4, f"new_{kind}_cell")(text) for kind, text in CELLS],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, Path(root) / "rainfall.ipynb")
        return [
            _notebook(folder, browser, server),
            _launcher(folder, browser, server),
            _login(folder, browser, server),
            _form(folder, browser),
            _table(folder, browser),
            _documentation(folder, browser),
        ]


def _shoot(
    folder: Path, page: Page, name: str, origin: str, licence: str, questions: list[dict[str, Any]]
) -> dict[str, Any]:
    page.mouse.move(1, 1)
    page.wait_for_timeout(500)
    elements = page.evaluate(CLICKABLE)
    page.screenshot(path=folder / f"{name}.png")
    rows = ",\n".join(f" {json.dumps(element)}" for element in elements)
    (folder / f"{name}.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    for question in questions:
        if element := question.pop("element", None):
            question.update(_locate(element, elements))
    return {
        "file": f"{name}.png",
        "kind": "screen",
        "origin": origin,
        "licence": licence,
        "elements": f"{name}.json",
        "questions": questions,
    }


def _locate(pattern: str, elements: list[dict[str, Any]]) -> dict[str, Any]:
    """The gold answer to "where is it?": exactly one element may have this name."""
    boxes = [e["box"] for e in elements if re.search(pattern, e["name"])]
    if len(boxes) != 1:
        raise ValueError(f"{pattern!r} names {len(boxes)} of: {[e['name'] for e in elements]}")
    scale = (SIZE["width"], SIZE["height"]) * 2
    relative = ", ".join(f"{value / length:.4f}" for value, length in zip(boxes[0], scale, strict=True))
    return {"answer": f"[{relative}]", "rule": "point", "box": boxes[0]}


def _point(text: str, element: str) -> dict[str, Any]:
    return {"question": f"{text} {BOX}", "element": element}


def _words(question: str, answer: str, rule: str = "words") -> dict[str, Any]:
    return {"question": question, "answer": answer, "rule": rule}


def _notebook(folder: Path, browser: Browser, server: LabServer) -> dict[str, Any]:
    page = browser.new_page(viewport=SIZE)
    open_notebook(page, server, "rainfall.ipynb")
    run_all_cells(page)
    questions = [
        _point("Locate the button that saves the notebook.", "^Save and create checkpoint"),
        _point("Locate the button that interrupts the kernel.", "^Interrupt the kernel"),
        _words("Which number does the first code cell print?", "244", "number"),
        _words("Which month has the most rain?", "Jan"),
    ]
    return _shoot(
        folder,
        page,
        "jupyterlab_notebook",
        "JupyterLab 4.6, a notebook after 'Run All Cells'",
        BSD,
        questions,
    )


def _launcher(folder: Path, browser: Browser, server: LabServer) -> dict[str, Any]:
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{server.url}/lab?reset&token={server.token}")
    page.wait_for_selector(".jp-LauncherCard")
    questions = [
        _point("Locate the card that opens a terminal.", "^(Start a new terminal session|Terminal)"),
        _point("Locate the Settings menu.", "^Settings$"),
        _words("What is the first menu called?", "File"),
    ]
    return _shoot(folder, page, "jupyterlab_launcher", "JupyterLab 4.6, its launcher", BSD, questions)


def _login(folder: Path, browser: Browser, server: LabServer) -> dict[str, Any]:
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{server.url}/login")
    questions = [
        _point("Locate the button that logs in.", "^Log in$"),
        _words("Is a password or token asked for? Answer yes or no.", "yes"),
    ]
    return _shoot(folder, page, "jupyter_login", "Jupyter Server 2.21, its login page", BSD, questions)


def _form(folder: Path, browser: Browser) -> dict[str, Any]:
    page = browser.new_page(viewport=SIZE)
    page.set_content(FORM)
    questions = [
        _point("Locate the button that places the order.", "^Place order$"),
        _words("Which colour is selected?", "Green"),
        _words("Which frame size is selected?", "Medium"),
        _words("Is the box 'With basket' checked? Answer yes or no.", "no"),
    ]
    return _shoot(
        folder, page, "html_form", "an unstyled HTML form (in tools/sample_pages.py)", "MIT", questions
    )


def _table(folder: Path, browser: Browser) -> dict[str, Any]:
    frame = load_iris(as_frame=True).data.iloc[::12].reset_index(drop=True)
    page = browser.new_page(viewport=SIZE)
    page.set_content(frame.to_html())
    longest = int(frame["petal length (cm)"].idxmax())
    questions = [
        _words("What is the sepal length of row 3?", f"{frame['sepal length (cm)'][3]:.1f}", "number"),
        _words("Which row has the longest petals? Answer with its number.", str(longest), "number"),
    ]
    origin = "pandas.DataFrame.to_html on rows of scikit-learn's iris data"
    return _shoot(
        folder, page, "pandas_table", origin, "MIT (the page); CC BY 4.0 (Fisher's iris data, UCI)", questions
    )


def _documentation(folder: Path, browser: Browser) -> dict[str, Any]:
    page = browser.new_page(viewport=SIZE)
    with _pydoc() as url:
        page.goto(f"{url}/textwrap.html")
        page.evaluate(HIDE_MACHINE)
        questions = [
            _words("Which module does this page document?", "textwrap"),
            _words("Which class does the module define?", "TextWrapper"),
            _point("Locate the link to the index of modules.", "^Module Index"),
        ]
        origin = "pydoc's page of Python's textwrap module, without its lines about the machine"
        return _shoot(folder, page, "pydoc_page", origin, "PSF-2.0", questions)


@contextmanager
def _pydoc() -> Iterator[str]:
    """Python's own documentation server. It ends when its standard input does."""
    command = [sys.executable, "-u", "-m", "pydoc", "-n", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = next(m[0] for line in process.stdout if (m := re.search(r"http://127\.0\.0\.1:\d+", line)))
        _answers(url)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> None:
    for _ in range(50):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")


BSD = "BSD-3-Clause (Project Jupyter)"
