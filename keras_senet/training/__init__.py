"""Training and evaluation around `model.fit`."""

from keras_senet.training.evaluate import evaluate
from keras_senet.training.recipe import EXCITATION, Recipe
from keras_senet.training.train import build, train

__all__ = ["EXCITATION", "Recipe", "build", "evaluate", "train"]
