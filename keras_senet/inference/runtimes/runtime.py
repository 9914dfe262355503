"""The common form of a network, whichever library runs it."""

import dataclasses
import os
import re
import typing
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from keras_senet.detection.detecting import Decoding
from keras_senet.errors import InputError, one_line
from keras_senet.inference.preprocessing import Preprocessing

# How LiteRT, TensorFlow, ONNX Runtime and OpenVINO say that they lack an operator, or this version of it.
_LACKS_OPERATOR = re.compile(
    r"unresolved custom op|Select TensorFlow op|Didn't find op|Op type not registered|registered function/op|No Op registered"
    r"|NOT_IMPLEMENTED|Unsupported model IR version|is under development|unsupported opset",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A network, loaded into the library that runs it.

    Attributes:
        run: function from a batch of images, float32 RGB pixels in [0, 255] of shape `(N, H, W, 3)`, to its outputs: an array,
            or those of a detector by their names.
        input_shape: shape of its input with the batch; sides that are not fixed are None or names.
        output_shape: shape of its output with the batch, or the shapes by the names of the outputs.
        model: the Keras model, where Keras runs it.
        class_names: names of the classes, where the file itself holds them.
        preprocessing: how to make the images, where the file itself says so.
        thresholds: the threshold of each label, where the file itself holds them.
        classes: the number of classes, where the file itself holds it, since the outputs of a detector do not tell.
        decoding: what makes boxes of the outputs of a detector, where the file leaves that to others.
    """

    run: Callable[[np.ndarray], typing.Any]
    input_shape: Sequence | Mapping[str, Sequence]
    output_shape: Sequence | Mapping[str, Sequence]
    model: keras.Model | None = None
    class_names: Sequence[str] = ()
    preprocessing: Preprocessing | None = None
    thresholds: Sequence[float] = ()
    classes: int | None = None
    decoding: Decoding | None = None


def cannot_open(path: str | os.PathLike, kind: str, library: str, error: Exception) -> InputError:
    """The error to raise where `library` cannot open the file at `path`, which should be `kind`."""
    if _LACKS_OPERATOR.search(str(error)):
        return InputError(
            f"{path} has an operator that the installed {library} lacks, or a newer version of one: "
            f"{one_line(error).rstrip('.')}. Update it with: pip install --upgrade {library}"
        )
    return InputError(f"{path} is damaged, or not {kind}: {one_line(error)}")
