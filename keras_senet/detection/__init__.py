"""Detectors on the backbones of any network: functional models with plain losses, which Keras trains, saves and distributes."""

from keras_senet.detection.anchors import Anchors
from keras_senet.detection.detecting import detector, encoder
from keras_senet.detection.losses import BoxLoss, FocalLoss, ProposalLoss, RegionBoxLoss, RegionClassLoss
from keras_senet.detection.measure import AveragePrecision, average_precision, each_image
from keras_senet.detection.one_stage import retinanet
from keras_senet.detection.suppression import NonMaxSuppression
from keras_senet.detection.two_stage import faster_rcnn

__all__ = [
    "Anchors",
    "AveragePrecision",
    "BoxLoss",
    "FocalLoss",
    "NonMaxSuppression",
    "ProposalLoss",
    "RegionBoxLoss",
    "RegionClassLoss",
    "average_precision",
    "detector",
    "each_image",
    "encoder",
    "faster_rcnn",
    "retinanet",
]
