"""What a network costs, and what it does inside."""

from keras_senet.analysis.profile import multiply_adds, parameters

__all__ = ["multiply_adds", "parameters"]
