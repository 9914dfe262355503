"""Squeeze-and-Excitation networks for Keras 3.

Importing the package registers its layers, backbones and detectors with Keras, so that files which hold them load. Everything
else is imported when it is first used.
"""

import importlib
import itertools
import sys

__version__ = "0.2.0"

_PACKAGES = ("analysis", "data", "detection", "export", "layers", "models", "pretrained", "segmentation", "training")

# Where each public name is defined. The networks, whose names all begin with SE, are in `models`.
_HOMES = {
    "Preprocessing": "inference.preprocessing",
    "add_se": "rewrite.adding",
    "backbone": "rewrite.pyramid",
    "decode_predictions": "inference.preprocessing",
    "gates": "analysis",
    "grad_cam": "analysis",
    "list_checkpoints": "models",
    "list_families": "models",
    "list_models": "models",
    "preprocessing_for": "inference.preprocessing",
    "remove_se": "rewrite.removing",
}


def __getattr__(name: str):
    if name == "__all__":
        networks = importlib.import_module("keras_senet.models").list_models()
        return sorted([*_PACKAGES, *_HOMES, *networks])
    if name in _PACKAGES:
        return importlib.import_module(f"keras_senet.{name}")
    home = _HOMES.get(name, "models" if name[:1].isupper() else None)  # networks are the only names in capitals
    module = home and importlib.import_module(f"keras_senet.{home}")
    if not hasattr(module, name):
        raise AttributeError(f"module 'keras_senet' has no attribute {name!r}")
    globals()[name] = getattr(module, name)  # next time it is found without this function
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__getattr__("__all__")})


# The command waits: its help, and its errors about arguments, need no Keras, which takes seconds to import. Every command that
# opens a file imports the layers itself. While `python -m keras_senet` runs this file, sys.argv begins with "-m".
_IS_MAIN = sys.argv[:1] == ["-m"] and ("-m", "keras_senet") in itertools.pairwise(sys.orig_argv)
if not (_IS_MAIN or "keras_senet_command" in sys.modules):
    importlib.import_module("keras_senet.layers")
    importlib.import_module("keras_senet.detection")
