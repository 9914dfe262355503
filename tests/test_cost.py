"""What `profile` counts, against TensorFlow's own profiler, Keras' and the paper's numbers."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_senet
from keras_senet.analysis import profile
from keras_senet.analysis.paper_comparison import network_cost


def counted_by_tensorflow(model: keras.Model) -> int:
    """The multiply-adds that TensorFlow's profiler finds in the traced graph, which counts each as two operations."""
    import tensorflow as tf

    trace = tf.function(lambda images: model(images, training=False))
    graph = trace.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]))).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    options["account_type_regexes"] = ["Conv2D", "MatMul", "DepthwiseConv2dNative", "Conv2DBackpropInput"]
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops // 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MobileNetV2", "Xception", "EfficientNetB0"])
def test_multiply_adds_and_parameters_of_other_networks(name):
    model = getattr(keras.applications, name)(weights=None, input_shape=(96, 96, 3))
    cost = profile(model)
    assert cost.total.multiply_adds == counted_by_tensorflow(model)
    assert cost.total.parameters == sum(weight.size for weight in map(np.array, model.trainable_weights))
    assert all(layer.counted for layer in cost.layers)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(6, 3, dilation_rate=2), (4 * 5 * 6) * (3 * 3 * 4)),
        (layers.Conv2D(6, 3, groups=2, padding="same", strides=2), (4 * 5 * 6) * (3 * 3 * 2)),
        (layers.Conv2DTranspose(5, 3, strides=2), (8 * 9 * 4) * (3 * 3 * 5)),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), (6 * 7 * 8) * (3 * 3)),
        (layers.SeparableConv2D(6, 3, depth_multiplier=2), (6 * 7 * 8) * (3 * 3) + (6 * 7 * 6) * 8),
        (layers.EinsumDense("abcd,de->abce", output_shape=(8, 9, 7)), (8 * 9 * 7) * 4),
        (keras_senet.layers.SqueezeExcite(2), 4 * 2 + 2 * 4),
        (keras_senet.layers.SqueezeExcite(2, squeeze=None), (8 * 9) * (4 * 2 + 2 * 4)),
        (keras_senet.layers.EfficientChannelAttention(), 4 * 1),
        (keras_senet.layers.EffectiveSqueezeExcite(), 4 * 4),
        (keras_senet.layers.SpatialSqueezeExcite(), (8 * 9) * 4),
        (keras_senet.layers.ConcurrentSqueezeExcite(2), (4 * 2 + 2 * 4) + (8 * 9) * 4),
        (keras_senet.layers.ConvolutionalBlockAttention(2), 2 * (4 * 2 + 2 * 4) + (8 * 9) * (7 * 7 * 2)),
        (keras_senet.layers.GatherExcite(), (8 * 9) * 4),
        (keras_senet.layers.GatherExcite(4), (4 * 5 * 4) * (3 * 3) + (2 * 3 * 4) * (3 * 3)),
        (keras_senet.layers.GlobalContext(2), (8 * 9) * 4 + (4 * 2 + 2 * 4)),
        (keras_senet.layers.CoordinateAttention(), (8 + 9) * (4 * 8 + 8 * 4)),
    ],
)
def test_multiply_adds_of_one_layer(layer, expected):
    model = keras.Sequential([layers.Input((8, 9, 4)), layer])
    (cost,) = profile(model).layers
    assert (cost.multiply_adds, cost.counted) == (expected, True)


@pytest.mark.usefixtures("without_weights")
def test_the_total_is_the_sum_of_the_layers_and_the_se_blocks_have_their_share():
    (cost, _), (plain, _) = network_cost("SEResNet50"), network_cost("SEResNet50", attention=None)
    assert cost.total.parameters == sum(layer.parameters for layer in cost.layers) == 28_088_024
    assert cost.attention.parameters == cost.total.parameters - plain.total.parameters
    assert cost.attention.multiply_adds == cost.total.multiply_adds - plain.total.multiply_adds
    (conv,) = (layer for layer in cost.layers if layer.name == "stage2_block1_conv2")
    assert (conv.kind, conv.output_shape, conv.activations) == ("Conv2D", (None, 56, 56, 64), 56 * 56 * 64)
    assert conv.memory == 4 * (56 * 56 * 64 + 3 * 3 * 64 * 64)


def test_a_nested_model_a_shared_layer_and_an_operation_are_counted_where_they_run():
    shared = layers.Conv2D(4, 3, padding="same", name="shared")
    inner = keras.Sequential([layers.Input((8, 8, 4)), layers.Conv2D(2, 1, name="conv")], name="inner")
    images = keras.Input((8, 8, 4))
    outputs = inner(shared(shared(images))) * 2.0
    cost = profile(keras.Model(images, outputs))
    by_name = {layer.name: layer for layer in cost.layers}
    assert by_name["shared"].multiply_adds == 2 * 64 * 3 * 3 * 4 * 4
    assert by_name["shared"].parameters == 3 * 3 * 4 * 4 + 4
    assert by_name["inner/conv"].multiply_adds == 64 * 4 * 2
    assert cost.layers[-1].kind == "Multiply"
    assert len(shared._inbound_nodes) == 2  # nothing was added to the graph


def test_a_layer_that_runs_inside_and_outside_of_a_nested_model_has_its_parameters_counted_once():
    shared = layers.Conv2D(4, 1, name="shared")
    inner = keras.Sequential([layers.Input((8, 8, 4)), shared], name="inner")
    images = keras.Input((8, 8, 4))
    (cost,) = profile(keras.Model(images, shared(inner(images)))).layers
    assert (cost.parameters, cost.multiply_adds) == (20, 2 * 64 * 16)


def test_half_precision_takes_half_the_memory_of_activations():
    policy = keras.DTypePolicy("mixed_bfloat16")
    model = keras.Sequential([layers.Input((8, 8, 4)), layers.Conv2D(2, 1, use_bias=False, dtype=policy)])
    assert profile(model).total.memory == 2 * 8 * 8 * 2 + 4 * 8


def test_a_layer_whose_multiply_adds_are_not_known_is_marked():
    model = keras.Sequential([layers.Input((8, 4)), layers.LSTM(3), layers.Dense(2)])
    lstm, dense = profile(model).layers
    assert (lstm.counted, lstm.multiply_adds, lstm.parameters) == (False, 0, 96)
    assert (dense.counted, dense.multiply_adds) == (True, 6)


@pytest.mark.usefixtures("without_weights")
def test_a_network_for_images_of_any_size_needs_one():
    network = keras_senet.SEResNet50(weights=None, include_top=False)
    with pytest.raises(ValueError, match="give `input_shape`"):
        profile(network)
    fixed = profile(keras_senet.SEResNet50(weights=None, include_top=False, input_shape=(64, 96, 3)))
    assert profile(network, (64, 96, 3)).total == fixed.total
    with pytest.raises(ValueError, match=r"takes images of shape \(64, 96, 3\)"):
        profile(keras_senet.SEResNet20(input_shape=(64, 96, 3)), (32, 32, 3))


def test_a_model_without_a_graph_is_refused():
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="Received: Subclassed"):
        profile(Subclassed())
