"""COCO's average precision on the validation images, after each epoch."""

import keras

from keras_senet.data import LabelledImages
from keras_senet.inference.detector import Detector, detecting_network, few_at_a_time
from keras_senet.inference.preprocessing import Letterbox, preprocessing_for
from keras_senet.inference.runtimes import run_keras
from keras_senet.training.callbacks.moving_averages import MovingAverages
from keras_senet.training.places import DetectionEvaluation

_BATCH_SIZE = 64


class ValidationPrecision(keras.callbacks.Callback):
    """Adds COCO's average precision to the logs of each epoch, as `val_ap`. It must come before all that reads them.

    Args:
        network: the network as it is saved, which gets the weights of the model that `fit` trains.
        averages: what evaluates the model; the network gets the same weights.
        images: the validation images.
    """

    def __init__(self, network: keras.Model, averages: MovingAverages, images: LabelledImages):
        super().__init__()
        self.network = network
        self.averages = averages
        self.images = images
        preprocessing = preprocessing_for(network)
        size = preprocessing.image_size
        self.detector = Detector(
            few_at_a_time(run_keras(detecting_network(network))),
            Letterbox(size, size, preprocessing.interpolation),
            len(images.class_names),
            images.class_names,
        )

    def on_epoch_end(self, epoch, logs):
        with self.averages.applied():
            self.network.set_weights(self.model.get_weights())
        logs["val_ap"] = DetectionEvaluation.of(self.detector, self.images, _BATCH_SIZE).ap
