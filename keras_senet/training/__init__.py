"""Training and evaluation around `model.fit`."""

from keras_senet.training.devices import STRATEGIES, open_devices
from keras_senet.training.evaluation import Evaluation, evaluate
from keras_senet.training.network import build
from keras_senet.training.recipe import Recipe
from keras_senet.training.recipes import RECIPES
from keras_senet.training.run import DivergedError, Terminated, read_recipe, train
from keras_senet.training.watch import GateHistograms

__all__ = [
    "RECIPES",
    "STRATEGIES",
    "DivergedError",
    "Evaluation",
    "GateHistograms",
    "Recipe",
    "Terminated",
    "build",
    "evaluate",
    "open_devices",
    "read_recipe",
    "train",
]
