"""Files of the package safetensors: PyTorch's tensors without a program around them."""

import numpy as np

from keras_senet.errors import InputError, one_line, require


def read_safetensors(path: str) -> dict[str, np.ndarray]:
    """The tensors of a `.safetensors` file by name.

    Raises:
        ValueError: if the file is damaged, or holds a number type that NumPy does not have.
        ImportError: if safetensors is not installed.
    """
    safetensors = require("safetensors", "checkpoints")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, AttributeError, TypeError) as error:  # the last two: types that NumPy does not have
        raise InputError(f"{path} is damaged, or not a .safetensors file: {one_line(error)}") from error
