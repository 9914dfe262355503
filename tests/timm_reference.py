"""Networks with the weights of synthetic.py, under the names and in the layout of timm's legacy networks.

The fixtures hold, for each, the names and shapes of timm 1.0.31's parameters and the logits that its implementation gives.
"""

import json
import pathlib
import re

import keras
import numpy as np
import synthetic

FIXTURES = pathlib.Path(__file__).parent / "fixtures" / "timm"

# Rules from the paths of our weights to timm's names, applied in turn.
RULES = (
    (r"^.*/(\w+_se)_(reduce|expand)/", lambda m: f"{m[1]}/{'fc1' if m[2] == 'reduce' else 'fc2'}/"),
    (r"^predictions/", "last_linear/"),
    (r"^stem_(\w+)/", r"layer0/\1/"),
    (r"^layer0/(conv|bn)/", r"layer0/\g<1>1/"),
    (r"^stage(\d)_block(\d+)_", lambda m: f"layer{int(m[1]) - 1}/{int(m[2]) - 1}/"),
    (r"/se/", "/se_module/"),
    (r"/proj_conv/", "/downsample/0/"),
    (r"/proj_bn/", "/downsample/1/"),
    (r"/(kernel|gamma)$", "/weight"),
    (r"/beta$", "/bias"),
    (r"/moving_mean$", "/running_mean"),
    (r"/moving_variance$", "/running_var"),
    (r"/", "."),
)


def timm_name(path: str) -> str:
    for pattern, replacement in RULES:
        path = re.sub(pattern, replacement, path)
    return path


def parameters(network: str) -> dict[str, list[int]]:
    """Names and shapes of timm's parameters, counters left out."""
    shapes = json.loads(str(np.load(FIXTURES / f"{network}.npz")["parameters"]))
    return {name: shape for name, shape in shapes.items() if not name.endswith("num_batches_tracked")}


def logits(network: str, size: int) -> np.ndarray:
    return np.load(FIXTURES / f"{network}.npz")[f"logits_{size}"]


def set_synthetic_weights(model: keras.Model, network: str) -> None:
    """Gives each weight of `model` its value, and fails unless they are timm's, one for one and shape for shape."""
    shapes = parameters(network)
    ours = {timm_name(weight.path): weight for weight in model.weights}
    assert ours.keys() == shapes.keys()
    for name, weight in ours.items():
        value = synthetic.weight(name, tuple(shapes[name]))
        if len(weight.shape) == 4:
            value = value.transpose(2, 3, 1, 0)
        elif len(weight.shape) == 2:
            value = value.reshape(value.shape[:2]).T
        weight.assign(value)  # which checks the shape
