"""The common form of a network, whichever library runs it."""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_senet.inference.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A network, loaded into the library that runs it.

    Attributes:
        run: function from a batch of images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to its outputs.
        input_shape: shape of its input with the batch; sides that are not fixed are None or names.
        output_shape: shape of its output with the batch.
        model: the Keras model, where Keras runs it.
        class_names: names of the classes, where the file itself holds them.
        preprocessing: how to make the images, where the file itself says so.
    """

    run: Callable[[np.ndarray], np.ndarray]
    input_shape: Sequence
    output_shape: Sequence
    model: keras.Model | None = None
    class_names: Sequence[str] = ()
    preprocessing: Preprocessing | None = None
