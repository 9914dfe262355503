"""A model of copied layers computes what the model computes, whatever it is made of."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_senet.rewrite.clone import copied, rewritten

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype("float32")


@keras.saving.register_keras_serializable(package="test")
class Halved(keras.Model):
    """A model without a graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4)

    def call(self, inputs):
        return self.dense(inputs) / 2

    def get_config(self):
        return {"name": self.name}


def build() -> keras.Model:
    """Named inputs, a layer of two places, normalization with its own statistics, and models within models of both kinds."""
    first, second = keras.Input((16, 16, 3), name="first"), keras.Input((16, 16, 3), name="second")
    statistics = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], name="statistics")
    adapted = layers.Normalization(name="adapted")
    adapted.adapt(IMAGES)
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, name="conv")], name="inner")
    middle = keras.Sequential([keras.Input((16, 16, 3)), inner, layers.BatchNormalization(name="norm")], name="middle")
    shared = layers.Conv2D(4, 3, name="shared")
    x = layers.Add()([shared(statistics(first)), shared(adapted(second)), middle(first)])
    x = Halved(name="subclassed")(layers.GlobalAveragePooling2D()(x))
    return keras.Model({"first": first, "second": second}, [x, layers.Dense(2)(x)], name="model")


def test_a_copy_has_the_names_and_weights_and_computes_the_same():
    model = build()
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(1).normal(size=weight.shape))
    inputs = {"first": IMAGES, "second": -IMAGES}
    copy = rewritten(model)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]
    assert {*copy.input} == {*model.input}
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in model.weights}
    for ours, theirs in zip(copy(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_layers_of_nested_models_are_rewritten_too():
    copies, calls = [], []

    def copy(layer):
        copies.append(layer.name)
        return copied(layer, trainable=False)

    def call(layer, *args, **kwargs):
        calls.append(layer.name)
        return layer(*args, **kwargs)

    frozen = rewritten(build(), copy=copy, call=call)
    assert {"conv", "norm", "shared"} <= {*copies}
    assert len(copies) == len({*copies})
    assert {*copies} < {*calls}
    assert calls.count("shared") == 2
    assert not frozen.get_layer("middle").trainable_weights


def test_what_is_done_with_nested_models_can_be_chosen():
    copy = rewritten(build(), nested=lambda model: keras.Sequential([layers.Dense(4)]) if model.name == "subclassed" else model)
    assert type(copy.layers[-2]) is keras.Sequential
    with pytest.raises(ValueError, match="Only a functional or sequential model"):
        rewritten(Halved())
