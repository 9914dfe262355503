"""What a file of weights holds, whatever its format: named arrays, in some publisher's layout."""

import dataclasses
from typing import Any

import numpy as np

from keras_senet.errors import InputError
from keras_senet.pretrained.layouts import LAYOUTS
from keras_senet.pretrained.other_networks import other_network

# What DistributedDataParallel, torch.compile and Lightning put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "model.")
# The layout, by how names begin in it alone.
_MARKS = {
    "layer0.": "timm legacy",
    "last_linear.": "timm legacy",
    "stages.": "timm byobnet",
    "s1.b1.": "timm regnet",
    "trunk_output.": "torchvision regnet",
    "blocks.": "timm mobilenet",
    "features.": "torchvision mobilenet",
}


def _without_wrappers(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters under the names that they have in the network, without the prefixes of PyTorch modules that wrap it."""
    for prefix in _WRAPPERS:
        if parameters and all(name.startswith(prefix) for name in parameters):
            return _without_wrappers({name.removeprefix(prefix): value for name, value in parameters.items()})
    return parameters


@dataclasses.dataclass(frozen=True)
class Weights:
    """The content of a weights file.

    Attributes:
        path: path of the file.
        layout: layout of its parameters, a key of `LAYOUTS`.
        parameters: their values, with the axes in the publisher's order.
        architecture: what the file implies for the network: fields of its architecture that replace the defaults.
        layers: names of the network's layers; empty unless it is a Keras file.
        config: configuration of the model that was saved; None if the file does not hold it.

    Example:

    >>> weights = keras_senet.pretrained.read_weights("saved_models/seresnet20_digits/model.keras")
    >>> weights.layout, len(weights.parameters), weights.classes
    ('keras', 133, 10)
    """

    path: str
    layout: str
    parameters: dict[str, np.ndarray]
    architecture: dict[str, Any]
    layers: frozenset[str] = frozenset()
    config: dict[str, Any] | None = None

    @classmethod
    def in_layout(cls, path: str, layout: str, parameters: dict[str, np.ndarray]) -> "Weights":
        """The weights of a file whose publisher always builds networks in one way."""
        found = LAYOUTS[layout]
        return cls(path, layout, parameters, {**found.architecture, **found.shown(parameters)})

    @classmethod
    def of_timm(cls, path: str, parameters: dict[str, np.ndarray]) -> "Weights":
        """The weights of a file of PyTorch tensors, in whichever layout of timm or torchvision their names follow.

        Raises:
            ValueError: if the names tell that they are of a network that is not here.
        """
        # PyTorch counts batches in each normalization layer; nothing that it computes depends on the counts.
        parameters = {name: value for name, value in parameters.items() if not name.endswith(".num_batches_tracked")}
        parameters = _without_wrappers(parameters)
        if other := other_network(parameters):
            raise InputError(f"{path} holds {other}, which is not here. The families are those of keras_senet.list_families().")
        layout = "timm"
        for prefix, other in _MARKS.items():
            if any(name.startswith(prefix) for name in parameters):
                layout = other
        return cls.in_layout(path, layout, parameters)

    def in_classifier(self, name: str) -> bool:
        """Whether the parameter called `name` belongs to the classifier."""
        return name.startswith(LAYOUTS[self.layout].classifier)

    @property
    def classes(self) -> int | None:
        """Number of classes of the classifier; None if there is no classifier."""
        return next((len(value) for name, value in self.parameters.items() if self.in_classifier(name) and value.ndim == 1), None)
