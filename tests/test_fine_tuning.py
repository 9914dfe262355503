"""Fine-tuning: what is frozen stays as it was to the last bit, and rates, clipping and weights are what their sources say."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import DEMO, history
from sklearn.utils.class_weight import compute_class_weight
from test_resume import assert_equal_runs

import keras_senet
from keras_senet import training
from keras_senet.inference.labels import keep_class_names
from keras_senet.models.stages import layer_stages
from keras_senet.training.losses import loss
from keras_senet.training.network import build, start_classifier_anew, training_model
from keras_senet.training.optimizers import optimizer


def recipe(**fields):
    return training.Recipe.of("SEResNet20", "digits", **{"schedule": "plateau", "learning_rate": 0.5} | fields)


@pytest.mark.parametrize(
    ("name", "stages"),
    [("SEResNet110", {1, 2, 3, 4, 5}), ("SEMobileNet", {1, 2, 3, 4, 5, 6}), ("MobileNetV3Large", {0, 1, 2, 3, 4, 5, 6, 7})],
)
def test_every_layer_is_in_a_stage_and_stages_follow_each_other(name, stages):
    network = getattr(keras_senet, name)(weights=None)
    numbers = [layer_stages(network, name)[layer.name] for layer in network.layers]
    assert numbers == sorted(numbers)
    assert set(numbers) == stages
    # What follows the last map, and nothing before it, is the classifier's.
    assert [len(layer.output.shape) for layer in network.layers].count(4) == numbers.index(max(stages))


@pytest.fixture
def network():
    """A copy of the layers of SEResNet20 that tell the stages: one each, and all of them linear."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((4, 4, 3))
    for name in ("stem_conv", "stage2_block1_conv", "stage3_block1_conv", "stage4_block1_conv"):
        x = keras.layers.Conv2D(3, 1, name=name, bias_initializer="ones")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="predictions", bias_initializer="ones")(x))


def step(network, gradients, **fields):
    """How an update with these gradients changes the variables."""
    made = optimizer(recipe(**{"weight_decay": 0.0, "momentum": 0.0} | fields), 10, network)
    before = network.get_weights()
    made.build(network.trainable_variables)
    made.apply([tf.constant(gradient) for gradient in gradients])
    return [after - value for after, value in zip(network.get_weights(), before, strict=True)]


@pytest.fixture
def gradients(network):
    random = np.random.default_rng(0)
    return [random.normal(size=variable.shape).astype("float32") for variable in network.trainable_variables]


def test_the_rate_falls_from_stage_to_stage_and_weight_decay_with_it(network, gradients):
    kernels = [float(variable.path.endswith("kernel")) for variable in network.trainable_variables]
    scales = np.repeat([0.7**4, 0.7**3, 0.7**2, 0.7, 5.0], 2)
    expected = [
        -0.5 * scale * (gradient + 0.01 * kernel * weight)
        for scale, gradient, kernel, weight in zip(scales, gradients, kernels, network.get_weights(), strict=True)
    ]
    changes = step(network, gradients, layer_decay=0.7, head_lr_scale=5.0, weight_decay=0.01)
    for change, value in zip(changes, expected, strict=True):
        np.testing.assert_allclose(change, value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("share", [0.3, 3.0])
def test_the_norm_of_all_gradients_together_is_clipped_as_by_tensorflow(network, gradients, share):
    norm = float(tf.linalg.global_norm(gradients))
    expected, _ = tf.clip_by_global_norm(gradients, share * norm)
    for change, gradient in zip(step(network, gradients, clip_norm=share * norm), expected, strict=True):
        np.testing.assert_allclose(change, -0.5 * gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_adaptive_clipping_limits_the_gradient_of_each_unit_but_those_of_the_classifier(network, gradients):
    changes = step(network, gradients, adaptive_clip=0.01)
    *clipped, kernel, bias = (change / -0.5 for change in changes)
    before = [weight - change for weight, change in zip(network.get_weights(), changes, strict=True)]
    for gradient, given, weight in zip(clipped, gradients, before, strict=False):
        units = (gradient, given, weight) if gradient.ndim == 4 else [array[..., None] for array in (gradient, given, weight)]
        for unit in range(units[0].shape[-1]):
            one, whole, kept = (np.ravel(array[..., unit]) for array in units)
            share = min(1, 0.01 * max(np.linalg.norm(kept), 1e-3) / np.linalg.norm(whole))
            assert share < 1
            np.testing.assert_allclose(one, share * whole, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(kernel, gradients[-2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bias, gradients[-1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_four_batches_of_sixteen_make_the_step_of_one_of_sixty_four(network, name):
    """Without batch normalization, whose statistics are those of each batch by itself."""
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(128, 4, 4, 3)), random.normal(size=(128, 2))
    start = network.get_weights()
    ends = []
    for steps, fields in ((1, {}), (4, {"gradient_accumulation": 4, "clip_norm": 0.4})):
        network.set_weights(start)
        fields = {"optimizer": name, "clip_norm": 0.4, "learning_rate": 0.05, "layer_decay": 0.9} | fields
        network.compile(optimizer(recipe(**fields), 10, network), "mse")
        network.fit(images, labels, batch_size=64 // steps, shuffle=False, verbose=0)
        ends.append(network.get_weights())
    for one, other, value in zip(*ends, start, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
        assert np.abs(one - value).max() > 1e-4


def test_a_rate_is_for_the_images_of_an_update():
    fields = {"batch_size": 16, "base_batch_size": 64, "gradient_accumulation": 4}
    assert training.optimizers.learning_rate(recipe(**fields), 10) == 0.5


def test_class_weights_are_those_of_scikit_learn():
    counts = [5, 20, 75]
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=np.repeat(np.arange(3), counts))
    labels = np.eye(3, dtype="float32")
    probabilities = np.array([[0.2, 0.5, 0.3], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]], "float32")
    weighted = loss(recipe(class_weights=True), counts)(labels, probabilities)
    assert float(weighted) == pytest.approx(np.mean(balanced * -np.log(np.diagonal(probabilities))), rel=1e-5)


@pytest.mark.parametrize(("model", "before"), [("SEResNet20", 0), ("SEVGG16", 2)])
def test_dropout_precedes_the_classifier_alone_or_takes_the_rate(model, before):
    fields = {"image_size": 32}
    network = build(training.Recipe.of(model, "digits", **fields), 10)
    trained = training_model(network, training.Recipe.of(model, "digits", dropout=0.3, **fields))
    rates = [layer.rate for layer in trained.layers if isinstance(layer, keras.layers.Dropout)]
    assert rates == [0.3] * max(1, before)
    assert isinstance(trained.layers[-2], keras.layers.Dropout)


def by_stage(network, model):
    stages = layer_stages(network, model)
    return {
        (stages[layer.name], variable.path): keras.ops.convert_to_numpy(variable)
        for layer in network.layers
        for variable in layer.variables
        if "seed_generator" not in variable.path
    }


def test_a_classifier_of_other_classes_starts_anew(tmp_path):
    source = str(tmp_path / "known.keras")
    known = keras_senet.SEResNet20(weights=None, classes=3)
    keep_class_names(known, ["a", "b", "c"])
    known.layers[-1].bias.assign(keras.ops.ones(3))
    known.save(source)
    fields = recipe(weights=source)
    network = build(fields, 3)
    start_classifier_anew(network, fields, ["a", "b", "c"])
    assert all((one == other).all() for one, other in zip(network.get_weights(), known.get_weights(), strict=True))
    with pytest.warns(UserWarning, match=r"known\.keras tells 'a', 'b', 'c' apart, but digits has 'a', 'c', 'b': the classifier"):
        start_classifier_anew(network, fields, ["a", "c", "b"])
    *body, kernel, bias = zip(network.get_weights(), known.get_weights(), strict=True)
    assert all((one == other).all() for one, other in body)
    assert (kernel[0] != kernel[1]).all()
    assert (bias[0] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("freeze", "last"), [("backbone", 3), ("2", 2)])
def test_what_is_frozen_stays_as_it_was_to_the_last_bit_and_the_rest_learns(tiny_recipe, tmp_path, freeze, last):
    recipe = tiny_recipe.replace(freeze=freeze, epochs=2)
    keras.utils.set_random_seed(recipe.seed)
    expected = by_stage(build(recipe, 10), "SETiny")
    folder = training.train(recipe, tmp_path / "run")
    trained = by_stage(keras.saving.load_model(folder.last), "SETiny")
    assert trained.keys() == expected.keys()
    for (stage, path), value in trained.items():
        assert (value == expected[stage, path]).all() == (stage <= last), path


@pytest.mark.slow
def test_a_run_that_unfreezes_goes_on_as_if_it_had_never_stopped(tiny_recipe, tmp_path):
    fields = {"freeze": "backbone", "unfreeze_epoch": 1, "layer_decay": 0.8, "head_lr_scale": 3.0, "adaptive_clip": 0.1}
    fields |= {"gradient_accumulation": 2, "dropout": 0.2, "schedule": "plateau", "teacher": str(DEMO / "model.keras")}
    recipe = tiny_recipe.replace(epochs=3, warmup_epochs=0.0, warmup_steps=0, **fields)
    training.train(recipe, tmp_path / "whole")

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == self.at:
                raise KeyboardInterrupt

    for at in (1, 2):
        stop = Stop()
        stop.at = at
        with pytest.raises(KeyboardInterrupt):
            training.train(recipe, tmp_path / "stopped", resume=True, callbacks=[stop])
    training.train(recipe, tmp_path / "stopped", resume=True)
    assert_equal_runs(tmp_path / "stopped", tmp_path / "whole")


@pytest.mark.slow
def test_patience_ends_a_run_that_gets_no_better_for_good(tiny_recipe, tmp_path, capsys):
    recipe = tiny_recipe.replace(epochs=9, patience=2, learning_rate=0.0, freeze="backbone")
    folder = training.train(recipe, tmp_path / "run")
    assert len(history(folder.path)) == 3  # a rate of 0 and a frozen backbone make all epochs equal
    assert "No epoch of the last 2 was better than epoch 1, so the run ends." in capsys.readouterr().out
    training.train(recipe, tmp_path / "run", resume=True)
    assert len(history(folder.path)) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": "stem"}, '"none", "backbone" or the number of a stage'),
        ({"unfreeze_epoch": 2}, "`unfreeze_epoch` needs `freeze`"),
        ({"freeze": "2", "unfreeze_epoch": 100}, "from 1 to 99"),
        ({"freeze": "2", "unfreeze_epoch": 1, "ema_decay": 0.9}, "exclude each other"),
        ({"clip_norm": 1.0, "adaptive_clip": 0.1}, "exclude each other"),
        ({"teacher": "best.keras", "loss": "binary"}, "one label an image"),
        ({"balanced": True, "class_weights": True}, "each make up for rare classes"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        recipe(**fields)


def test_a_stage_that_the_network_lacks_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ValueError, match="SEResNet20 has the stages 2 to 4, and 1 for its stem. Received: freeze=5"):
        training.train(training.Recipe.of("SEResNet20", str(tmp_path / "nowhere"), freeze="5"), tmp_path / "run")


@pytest.mark.slow
def test_weights_of_classes_that_nobody_counted_are_refused(tiny_recipe, tmp_path):
    with pytest.raises(ValueError, match="needs folders or a CSV file of labels"):
        training.train(tiny_recipe.replace(class_weights=True), tmp_path / "run")
    with pytest.raises(ValueError, match="32 in each of 9 steps needs more images than the"):
        training.train(tiny_recipe.replace(batch_size=32, gradient_accumulation=9), tmp_path / "run")
