"""The file keras_senet/__init__.pyi, from which editors know the constructors: their signatures are made at run time.

python tests/stubs.py    # writes it
"""

import inspect
from collections.abc import Callable

from common import ROOT

import keras_senet

PATH = ROOT / "keras_senet" / "__init__.pyi"

_HEAD = '''"""Public names for editors and type checkers, which do not run the code that makes them. By tests/stubs.py."""

import os
from collections.abc import Callable

import keras

from keras_senet import {modules}
from keras_senet.analysis import gates, grad_cam
from keras_senet.inference.preprocessing import Preprocessing, decode_predictions, preprocessing_for
from keras_senet.models.registry import list_checkpoints, list_families, list_models
from keras_senet.rewrite.adding import add_se
from keras_senet.rewrite.pyramid import backbone
from keras_senet.rewrite.removing import remove_se

__version__: str
__all__ = [
{names}]

'''

# As Python prints them, and as users write them.
_PUBLIC_NAMES = {
    "collections.abc.Callable": "Callable",
    "keras.src.layers.layer.Layer": "keras.layers.Layer",
    "keras.src.models.model.Model": "keras.Model",
    "'": '"',
}


def stub(construct: Callable) -> str:
    """One constructor: its signature, and the first line of its docstring."""
    signature = inspect.signature(construct)
    parameters = str(signature.replace(return_annotation=signature.empty)).removeprefix("(").removesuffix(")")
    lines = parameters.replace(", *, ", ",\n    *,\n    ")
    for name in signature.parameters:
        lines = lines.replace(f", {name}:", f",\n    {name}:").replace(f", {name}=", f",\n    {name}=")
    returned = inspect.formatannotation(signature.return_annotation)
    text = f"def {construct.__name__}(\n    {lines},\n) -> {returned}:\n"
    for printed, public in _PUBLIC_NAMES.items():
        text = text.replace(printed, public)
    return f'{text}    """{inspect.getdoc(construct).splitlines()[0]}"""\n'


def text() -> str:
    """The content of the file."""
    modules = sorted(name for name in keras_senet.__all__ if inspect.ismodule(getattr(keras_senet, name)))
    names = "".join(f'    "{name}",\n' for name in sorted(keras_senet.__all__))
    constructors = [stub(getattr(keras_senet, name)) for name in keras_senet.list_models()]
    return _HEAD.format(modules=", ".join(modules), names=names) + "\n".join(constructors)


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
