"""What we rely on in Keras' private API holds in the Keras that is installed.

Each test compares with what public API shows. Where one fails, keras_senet/keras_internals.py has to change, and nothing else.
"""

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from keras_senet import keras_internals


@pytest.fixture(scope="module")
def model():
    """A branch, a layer that is called twice, a nested model, and a layer that holds another one."""
    inputs = keras.Input((8, 8, 3), name="images")
    inner = keras.Sequential([keras.Input((8, 8, 4)), layers.Conv2D(4, 3, padding="same", name="inner_conv")], name="inner")
    x = layers.Conv2D(4, 1, name="conv")(inputs)
    twice = layers.ReLU(name="twice")
    x = layers.Add(name="add")([twice(x), twice(inner(x))])
    x = layers.TimeDistributed(layers.Dense(4, name="wrapped"), name="wrapper")(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D(name="mean")(x))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype("float32")


def test_layer_calls_are_those_of_this_model_alone(model):
    another = keras.Model(model.inputs, layers.ReLU()(model.get_layer("add").output))  # calls that do not belong to `model`
    assert another.layers
    calls = keras_internals.layer_calls(model)
    assert sorted(call.layer.name for call in calls) == ["add", "conv", "inner", "mean", "twice", "twice", "wrapper"]
    (add,) = (call for call in calls if call.layer.name == "add")
    assert add.outputs == [model.get_layer("add").output]
    assert [id(x) for x in add.inputs] == [id(x) for x in model.get_layer("add").input]


def test_arguments_of_a_call_are_filled_in():
    images = keras.Input((2, 2, 1))
    model = keras.Model(images, keras.ops.clip(images + 3.0, 0.0, x_max=6.0))
    value = np.array([-5.0, 1.0, 9.0])
    for call in keras_internals.layer_calls(model):
        args, kwargs = call.arguments({id(call.inputs[0]): value})
        value = call.layer(*args, **kwargs)
    np.testing.assert_array_equal(value, [0, 4, 6])


def test_run_graph_computes_what_the_model_computes(model, images):
    ran = []

    def call(layer, *args, **kwargs):
        ran.append(layer.name)
        return layer(*args, **kwargs)

    outputs = keras_internals.run_graph(model, images, call)
    np.testing.assert_array_equal(outputs, model(images))
    assert ran == [call.layer.name for call in keras_internals.layer_calls(model)]
    assert ran[-4:] == ["twice", "add", "wrapper", "mean"]
    assert ran.count("twice") == 2


def test_run_graph_with_other_layers_makes_what_clone_model_makes(model):
    def replace(layer):
        return twice if layer.name == "twice" else layer.from_config(layer.get_config())

    twice = layers.ReLU(name="twice")
    inputs = keras.Input((8, 8, 3), name="images")
    outputs = keras_internals.run_graph(model, inputs, lambda layer, *args, **kwargs: layer(*args, **kwargs), replace)
    clone = keras.models.clone_model(model)
    assert [layer.name for layer in keras.Model(inputs, outputs).layers] == [layer.name for layer in clone.layers]


def test_the_layer_behind_an_output_is_that_layer(model):
    for layer in model.layers:
        if layer.name != "twice":  # which has two outputs
            assert keras_internals.layer_behind(layer.output) is layer


def test_a_model_computes_its_graph_unless_call_is_replaced(model):
    class Doubled(keras.Model):
        def call(self, inputs):
            return 2 * super().call(inputs)

    class Named(keras.Model):
        pass

    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    x = keras.Input((3,))
    y = layers.Dense(2)(x)
    assert keras_internals.computes_its_graph(model)
    assert keras_internals.computes_its_graph(Named(x, y))
    assert not keras_internals.computes_its_graph(Doubled(x, y))
    assert not keras_internals.computes_its_graph(Subclassed())


def test_all_layers_are_those_at_any_depth(model):
    names = [layer.name for layer in keras_internals.all_layers(model)]
    assert names[0] == model.name
    assert {"conv", "inner_conv", "wrapped"} < {*names}
    assert {layer.name for layer in model.layers} < {*names}
    assert len(names) == len({*names})


def test_random_generators_have_one_name_in_every_process():
    def drawing():
        return keras.Sequential([keras.Input((4,)), layers.Dropout(0.5, name="first"), layers.Dropout(0.5, name="second")])

    first, again = drawing(), drawing()
    states = keras_internals.random_states(first)
    assert list(states.values()) == list(keras_internals.random_states(again).values())
    assert {*states} == {id(variable) for variable in first.variables}
    assert [variable.path for variable in first.variables] != [variable.path for variable in again.variables]  # why it is needed


def test_the_first_metric_is_the_loss_and_each_output_has_its_own():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, use_bias=False)])
    model.compile("sgd", "mse", metrics=["mae"], weighted_metrics=["mse"])
    inputs, targets = np.ones((2, 4), "float32"), np.zeros((2, 1), "float32")
    results = model.evaluate(inputs, targets, return_dict=True, verbose=0)
    (metric,) = keras_internals.loss_metrics(model, keras.KerasTensor((None, 1)))
    assert metric.name == "loss"
    assert float(metric.result()) == results["loss"]
    x = keras.Input((4,))
    model = keras.Model(x, {name: layers.Dense(1, name=name)(x) for name in ("one", "two")})
    model.compile("sgd", {"one": "mse", "two": "mae"})
    metrics = keras_internals.loss_metrics(model, {name: keras.KerasTensor((None, 1)) for name in ("one", "two")})
    results = model.evaluate(inputs, {"one": targets, "two": targets}, return_dict=True, verbose=0)
    assert {metric.name: float(metric.result()) for metric in metrics} == results
    assert [metric.name for metric in metrics] == ["loss", "one_loss", "two_loss"]


def test_averages_of_weights_are_what_the_optimizer_gives_the_weights_at_the_end():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="average"), layers.Dense(1, name="moving_average")])
    optimizer = keras.optimizers.AdamW(0.1, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 4), "float32"), np.ones((4, 1), "float32"), batch_size=2, verbose=0)
    averages = keras_internals.averages_of_weights(optimizer)
    expected = [keras.ops.convert_to_numpy(average) for average in averages]
    optimizer.finalize_variable_values(model.trainable_variables)
    for value, variable in zip(expected, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(value, variable)
    assert not keras_internals.averages_of_weights(keras.optimizers.Adam())


def test_within_fit_the_variables_have_their_present_values():
    class Recorded(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            keras_internals.sync_variables(self.model)
            values.append(keras.ops.convert_to_numpy(self.model.weights[0]).copy())

    values = []
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(np.ones((4, 4), "float32"), np.ones((4, 1), "float32"), batch_size=2, verbose=0, callbacks=[Recorded()])
    assert not np.array_equal(*values)
    np.testing.assert_array_equal(values[-1], model.weights[0])


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_resized_is_what_keras_computes_for_sizes_that_are_known(data_format, dtype):
    maps = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(dtype)
    expected = keras.ops.image.resize(maps, (7, 9), "bilinear", data_format=data_format)
    found = keras_internals.resized(keras.ops.convert_to_tensor(maps), (7, 9), data_format)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about Keras' trainer for TensorFlow")
def test_the_trainer_looks_up_the_functions_that_we_replace():
    called = []

    def reduce(original, values, strategy, reduction):
        called.append("reduce")
        return original(values, strategy, reduction)

    def build(original, model, iterator, data_batch):
        called.append("build")
        original(model, iterator=iterator, data_batch=data_batch)

    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    examples = np.ones((2, 4), "float32"), np.ones((2, 1), "float32")
    with keras_internals.tensorflow_trainer_with(reduce, build):
        model.fit(*examples, verbose=0)
    assert {*called} == {"reduce", "build"}
    called.clear()
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(*examples, verbose=0)
    assert not called


def test_a_model_may_be_deeper_than_python_recurses_by_default(tmp_path):
    """As the path through a ResNet-RS of 270 layers and more."""
    inputs = x = keras.Input((1,))
    for _ in range(1200):
        x = keras.layers.Identity()(x)
    keras.Model(inputs, x).save(tmp_path / "deep.keras")
    assert len(keras.saving.load_model(tmp_path / "deep.keras").layers) == 1201


@keras.saving.register_keras_serializable("test_keras_internals")
class Parts(layers.Layer):
    """A layer that holds others alone and in lists."""

    def build(self, input_shape):
        self.alone = layers.Dense(3, name="alone")
        self.listed = [layers.Dense(3, name="a"), layers.LayerNormalization(name="b"), layers.Dense(3, name="c")]
        for part in (self.alone, *self.listed):
            part.build(input_shape)

    def call(self, x):
        return self.listed[2](self.listed[1](self.listed[0](self.alone(x))))


def test_the_names_of_parts_are_those_in_a_file(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Parts(name="parts")(inputs))
    for number, weight in enumerate(model.weights):
        weight.assign(np.full(weight.shape, number))
    model.save_weights(tmp_path / "parts.weights.h5")
    with h5py.File(tmp_path / "parts.weights.h5") as file:
        saved = file["layers/parts"]
        for name, part in keras_internals.saved_parts(model.get_layer("parts")):
            np.testing.assert_array_equal(saved[f"{name}/vars/0"], part.weights[0])
        assert sum(isinstance(saved[name].get("vars/0"), h5py.Dataset) for name in _groups(saved)) == 4


def _groups(group: h5py.Group) -> list[str]:
    found: list[str] = []
    group.visit(found.append)
    return [name for name in found if isinstance(group[name], h5py.Group)]
