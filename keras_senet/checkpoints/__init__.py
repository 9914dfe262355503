"""How published weights call their parameters."""

from keras_senet.checkpoints import caffe

__all__ = ["caffe"]
