"""A training step of ours against that of timm's in PyTorch, on the CPU; see training_step.py.

PyTorch is no dependency of ours: TORCH_PYTHON in the environment names an interpreter that has `torch` and `timm`.
"""

import os
import sys

from comparison import Comparison, show
from training_step import steps_in_turn

# timm's `legacy_` networks are those of the SE authors, as ours are: the same layers, strides and numbers of multiply-adds.
RIVALS = {"SEResNet50": "legacy_seresnet50", "SEResNeXt50": "legacy_seresnext50_32x4d"}


def measure() -> list[Comparison]:
    python = os.environ.get("TORCH_PYTHON", sys.executable)
    return [
        comparison
        for ours, theirs in RIVALS.items()
        for comparison in steps_in_turn(f"keras_senet {ours}", f"timm {theirs}", target=1, python=python)
    ]


if __name__ == "__main__":
    show(measure())
