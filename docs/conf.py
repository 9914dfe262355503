"""How Sphinx makes the site: `make docs` writes it to docs/_build, and any warning is an error."""

import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import made_pages
import matplotlib
import notebooks
from sphinx.util import inspect

import keras_senet

matplotlib.use("agg")

project = "keras_senet"
author = "the authors of keras_senet"
copyright = "the authors of keras_senet, Apache License 2.0"  # the name is Sphinx's
version = release = keras_senet.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "_build",
    "_made",
    "gallery/*.ipynb",
    "gallery/*.zip",
    "sg_execution_times.rst",
    "gallery/sg_execution_times.rst",
]
root_doc = "index"

html_theme = "furo"
html_title = f"keras_senet {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False

# Guides are Markdown that GitHub shows, too; headings have GitHub's anchors.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist", "dollarmath"]

# Docstrings are Keras', with Google's sections.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
python_maximum_signature_line_length = 100
autosummary_generate = False

copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",  # every example is run, so that no picture is older than the code
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "show_memory": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "min_reported_time": 1_000_000,
    "first_notebook_cell": notebooks.FIRST_CELL,
}


def literals(app, kind, name, subject, options, lines):
    """Single backticks mean code in Keras' docstrings, which in reStructuredText is what double ones mean."""
    lines[:] = re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", "\n".join(lines)).split("\n")


def signatures(app, kind, name, subject, options, signature, returned):
    """Keras' layers have a `__new__` that takes anything, which autodoc shows in place of their `__init__`."""
    if kind == "class" and signature == "(*args, **kwargs)":
        own = inspect.signature(subject.__init__, bound_method=True)
        return inspect.stringify_signature(own, show_return_annotation=False, unqualified_typehints=True), returned
    return None


def setup(app):
    app.connect("autodoc-process-signature", signatures)
    app.connect("autodoc-process-docstring", literals, priority=100)  # before napoleon
    app.connect("builder-inited", lambda app: made_pages.write(pathlib.Path(app.srcdir)))
