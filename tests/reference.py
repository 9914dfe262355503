"""Networks with the weights of synthetic.py, under the names and in the layout of the networks that they must equal.

The fixtures hold, for each, the names and shapes of its parameters and the logits that it gives: timm 1.0.31's legacy networks,
and the authors' Caffe definitions.
"""

import json
import pathlib
import re

import keras
import numpy as np
import synthetic

FIXTURES = pathlib.Path(__file__).parent / "fixtures"

# Rules from the paths of our weights to the names in timm's legacy networks, applied in turn.
TIMM_RULES = (
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


def timm_names(model: keras.Model) -> dict[str, str]:
    """From timm's names to the paths of our weights."""

    def name(path: str) -> str:
        for pattern, replacement in TIMM_RULES:
            path = re.sub(pattern, replacement, path)
        return path

    return {name(weight.path): weight.path for weight in model.weights}


def logits(reference: str, size: int) -> np.ndarray:
    return np.load(FIXTURES / f"{reference}.npz")[f"logits_{size}"]


def set_synthetic_weights(model: keras.Model, reference: str, names: dict[str, str]) -> None:
    """Gives each weight of `model` its value, and fails unless `names` are the reference's, one for one and shape for shape."""
    shapes = json.loads(str(np.load(FIXTURES / f"{reference}.npz")["parameters"]))
    assert names.keys() == {name for name in shapes if not name.endswith("num_batches_tracked")}
    weights = {weight.path: weight for weight in model.weights}
    assert sorted(names.values()) == sorted(weights)
    for name, path in names.items():
        value = synthetic.weight(name, tuple(shapes[name]))
        if len(weights[path].shape) == 4:
            value = value.transpose(2, 3, 1, 0)
        elif len(weights[path].shape) == 2:
            value = value.reshape(value.shape[:2]).T
        weights[path].assign(value)  # which checks the shape
