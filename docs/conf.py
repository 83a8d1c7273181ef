"""The documentation's settings: `make docs` builds it with executed notebooks, the tests without.

Nothing is fetched: no other project's index, no font, no script from the network.
DOCS_EXECUTE: "force" runs every notebook (the default), "cache" those that changed, "off" none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_extensions")]

import workbench  # noqa: E402

# Notebooks run in kernels of their own: no network, widgets as their static forms, one thread a small model.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ["WORKBENCH_STATIC"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

project = "vlm-workbench"
author = "the vlm-workbench authors"
version = release = workbench.__version__

extensions = [
    "face",
    "flow",
    "gallery",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_extensions"]
nitpicky = False
default_role = "literal"  # our docstrings write names in single backticks

html_theme = "furo"
html_title = "vlm-workbench"
html_static_path = ["_static"]
html_css_files = ["workbench.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

nb_execution_mode = os.environ.get("DOCS_EXECUTE", "force")
nb_execution_timeout = 600  # seconds a cell
nb_execution_raise_on_error = False  # each failure is a warning, and warnings fail the build
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # the widgets' scripts would come from the network
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autosummary_generate = False
autodoc_class_signature = "mixed"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
copybutton_exclude = ".linenos, .gp, .go"
