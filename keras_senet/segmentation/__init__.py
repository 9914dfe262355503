"""Segmentation: networks that classify each pixel of an image, and a loss for those of which Keras has none."""

from keras_senet.segmentation.losses import DiceCrossentropy
from keras_senet.segmentation.networks import deeplab, unet

__all__ = ["DiceCrossentropy", "deeplab", "unet"]
