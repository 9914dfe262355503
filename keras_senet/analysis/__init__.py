"""Analysis of networks: cost, gates, pruning by gates, and where a network looks."""

from keras_senet.analysis.cost import Cost, LayerCost, Profile, profile
from keras_senet.analysis.gate_reader import gates
from keras_senet.analysis.heat_maps import HotRegion, grad_cam
from keras_senet.analysis.pruning import Pruning, prune
from keras_senet.analysis.statistics import GateStatistics, LayerGates, gate_statistics
from keras_senet.plots.gates import (
    draw_gates_by_class,
    draw_gates_within_classes,
    draw_mean_gates,
    draw_separability,
    write_gates,
)

__all__ = [
    "Cost",
    "GateStatistics",
    "HotRegion",
    "LayerCost",
    "LayerGates",
    "Profile",
    "Pruning",
    "draw_gates_by_class",
    "draw_gates_within_classes",
    "draw_mean_gates",
    "draw_separability",
    "gate_statistics",
    "gates",
    "grad_cam",
    "profile",
    "prune",
    "write_gates",
]
