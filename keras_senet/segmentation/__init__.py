"""Segmentation: networks that classify each pixel of an image, a loss for those of which Keras has none, and their measure."""

from keras_senet.segmentation.losses import DiceCrossentropy
from keras_senet.segmentation.measure import NO_CLASS, Overlap, mean_iou
from keras_senet.segmentation.networks import deeplab, unet

__all__ = ["NO_CLASS", "DiceCrossentropy", "Overlap", "deeplab", "mean_iou", "unet"]
