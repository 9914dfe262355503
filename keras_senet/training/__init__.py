"""Training and evaluation around `model.fit`."""

from keras_senet.errors import DivergedError, Terminated
from keras_senet.training.automatic import automatic_recipe
from keras_senet.training.averaging import average
from keras_senet.training.callbacks.gate_histograms import GateHistograms
from keras_senet.training.devices import STRATEGIES, open_devices, strategy_of
from keras_senet.training.evaluation import Evaluation, evaluate
from keras_senet.training.losses import AsymmetricLoss
from keras_senet.training.multi_label import MeanAveragePrecision, MultiLabelEvaluation
from keras_senet.training.network import build
from keras_senet.training.places import DetectionEvaluation, SegmentationEvaluation
from keras_senet.training.recipe import Recipe
from keras_senet.training.recipes import RECIPES
from keras_senet.training.reporting import report
from keras_senet.training.run import train
from keras_senet.training.run_folder import RunFolder, read_recipe
from keras_senet.training.statistics import renew_statistics

__all__ = [
    "DetectionEvaluation",
    "SegmentationEvaluation",
    "RECIPES",
    "STRATEGIES",
    "AsymmetricLoss",
    "DivergedError",
    "Evaluation",
    "GateHistograms",
    "MeanAveragePrecision",
    "MultiLabelEvaluation",
    "Recipe",
    "RunFolder",
    "Terminated",
    "automatic_recipe",
    "average",
    "build",
    "evaluate",
    "open_devices",
    "read_recipe",
    "renew_statistics",
    "report",
    "strategy_of",
    "train",
]
