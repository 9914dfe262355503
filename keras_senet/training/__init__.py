"""Training and evaluation around `model.fit`."""

from keras_senet.training.evaluate import evaluate
from keras_senet.training.recipe import Recipe
from keras_senet.training.train import train

__all__ = ["Recipe", "evaluate", "train"]
