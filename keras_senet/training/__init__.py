"""Training and evaluation around `model.fit`."""

from keras_senet.training.evaluate import evaluate
from keras_senet.training.recipe import EXCITATION, Recipe
from keras_senet.training.train import DivergedError, build, train

__all__ = ["EXCITATION", "DivergedError", "Recipe", "build", "evaluate", "train"]
