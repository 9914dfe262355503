"""Writes the notebooks of examples/notebooks/ anew, from the examples of examples/gallery/.

    python docs/notebooks.py

They have no outputs: whoever opens them runs them.
"""

import json
import pathlib
import sys

import sphinx_gallery.gen_gallery
from sphinx_gallery import notebook, py_source_parser

import keras_senet

ROOT = pathlib.Path(__file__).parent.parent
# Above the first cell of each notebook.
FIRST_CELL = f"""# Where keras_senet is not installed yet, as in Colab: upload the wheel that `make dist` makes,
# and run the next line without its #.
# %pip install './keras_senet-{keras_senet.__version__}-py3-none-any.whl[train,mobile]'"""


def main(folder: pathlib.Path) -> None:
    folder.mkdir(exist_ok=True)
    settings = sphinx_gallery.gen_gallery.DEFAULT_GALLERY_CONF | {"first_notebook_cell": FIRST_CELL}
    for example in sorted((ROOT / "examples" / "gallery").glob("*.py")):
        _, blocks = py_source_parser.split_code_and_text_blocks(example)
        content = notebook.jupyter_notebook(blocks, settings, str(folder))
        # The versions of the machine that wrote it are of no use to others.
        content["metadata"]["language_info"] = {"name": "python"}
        content["metadata"]["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
        (folder / f"{example.stem}.ipynb").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if sys.argv[1:] else ROOT / "examples" / "notebooks")
