"""Networks that train in seconds, for tests in which the network does not matter. Child processes need them, too."""

import contextlib
from collections.abc import Callable, Iterator
from unittest import mock

import keras

from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.models.resnet import ResNet, features


@contextlib.contextmanager
def registered() -> Iterator[Callable]:
    """Within it SETiny is a network like others: for 8 x 8 images of ten classes, two stages of one basic block each.

    Yields:
        Its constructor.
    """
    architecture = ResNet(
        depths=(1, 1),
        stages=(2, 3),
        widths=(16, 16),
        bottleneck=False,
        projection="padded",
        stem_kernel_size=3,
        stem_widths=(16,),
        stem_pooling=None,
        classes=10,
        input_size=8,
        min_size=8,
    )
    with mock.patch.dict(MODELS):  # which removes it again
        yield constructor("SETiny", architecture, features, "A network for tests.")


@contextlib.contextmanager
def narrow_registered() -> Iterator[Callable]:
    """Within it SENarrow is a network like others: a narrow SE-ResNet-10 with the strides of the networks for ImageNet.

    Yields:
        Its constructor.
    """
    architecture = ResNet(depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), bottleneck=False)
    with mock.patch.dict(MODELS):
        yield constructor("SENarrow", architecture, features, "A network for tests.")


def of_four_stages(**options) -> keras.Model:
    """SENarrow without a classifier."""
    with narrow_registered() as build:
        return build(include_top=False, **options)
