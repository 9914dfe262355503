"""The named recipes hold the published numbers, and each of their parts does in training what its name says."""

import json

import keras
import numpy as np
import pytest
from common import history

from keras_senet import training
from keras_senet.training import RECIPES, Recipe
from keras_senet.training.callbacks.plateau import Plateau
from keras_senet.training.losses import loss
from keras_senet.training.network import last_normalizations, normalizations, training_model
from keras_senet.training.optimizers import learning_rate, optimizer


def test_the_recipes_of_resnet_strikes_back_are_their_table_2():
    fields = (
        "epochs",
        "image_size",
        "learning_rate",
        "weight_decay",
        "rand_augment_magnitude",
        "mixup_alpha",
        "aug_repeats",
        "label_smoothing",
    )
    published = {
        "a1": (600, None, 5e-3, 0.01, 7, 0.2, 3, 0.1),
        "a2": (300, None, 5e-3, 0.02, 7, 0.1, 3, 0.0),
        "a3": (100, 160, 8e-3, 0.02, 6, 0.1, 1, 0.0),
    }
    for name, values in published.items():
        recipe = RECIPES[name]("SEResNet50", "imagenet2012")
        assert tuple(recipe.flat()[field] for field in fields) == values
        common = (
            recipe.batch_size,
            recipe.optimizer,
            recipe.loss,
            recipe.augmentation.cutmix_alpha,
            recipe.schedule,
            recipe.warmup_epochs,
        )
        assert common == (2048, "lamb", "binary", 1.0, "cosine", 5)


def test_the_learning_rate_follows_the_batch_size():
    # Section 6.1 of the paper: 0.6 for 1024 images.
    for batch_size, rate in ((1024, 0.6), (256, 0.15)):
        recipe = RECIPES["paper"]("SEResNet50", "imagenet2012", batch_size=batch_size)
        assert float(learning_rate(recipe, steps_per_epoch=10)(0)) == pytest.approx(rate)
    assert float(learning_rate(Recipe.of("SEResNet50", "imagenet2012", batch_size=256), 10)(0)) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ({"ema_decay": 0.9, "freeze_bn_epochs": 1}, "exclude each other"),
        ({"schedule": "plateau", "warmup_epochs": 1}, "`warmup_epochs` must be 0 .* warmup_epochs=1"),
        ({"freeze_bn_epochs": 101}, "`freeze_bn_epochs` must be from 0 to 100"),
    ],
)
def test_fields_that_exclude_each_other_are_named(mistake, said):
    with pytest.raises(ValueError, match=said):
        Recipe.of("SEResNet20", "digits", **mistake)


def test_the_binary_loss_counts_each_class_of_a_mixed_image_in_full():
    probabilities = np.array([[0.8, 0.3, 0.1, 0.2]], "float32")
    measured = loss(Recipe.of("SEResNet20", "digits", loss="binary"))(np.array([[0.7, 0.3, 0, 0]]), probabilities)
    assert float(measured) == pytest.approx(-np.log([0.8, 0.3, 0.9, 0.8]).mean(), rel=1e-5)


def test_lamb_and_adamw_shrink_kernels_only():
    for name in ("lamb", "adamw"):
        made = optimizer(Recipe.of("SEResNet20", "digits", optimizer=name, weight_decay=0.1), 10)
        variables = [keras.Variable(np.ones(2, "float32"), name=part) for part in ("kernel", "bias", "gamma", "beta")]
        made.apply([np.zeros(2, "float32")] * 4, variables)
        assert [bool((variable.numpy() < 1).all()) for variable in variables] == [True, False, False, False]


def test_a_plateau_divides_the_learning_rate_and_remembers_in_a_resumed_run():
    def rates(losses, plateau, rate):
        network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        network.compile(keras.optimizers.SGD(rate), "mse")
        plateau.set_model(network)
        plateau.on_train_begin()
        for epoch, value in enumerate(losses):
            plateau.on_epoch_end(epoch, {"val_loss": value})
        return float(network.optimizer.learning_rate)

    assert rates([1.0] + [2.0] * 10, Plateau(), 0.5) == pytest.approx(0.05)
    before, after = Plateau(), Plateau()
    assert rates([1.0] + [2.0] * 6, before, 0.5) == 0.5
    after.state = json.loads(json.dumps(before.state))
    assert rates([2.0] * 4, after, 0.5) == pytest.approx(0.05)


def test_what_learns_computes_the_network_and_has_what_only_training_needs(model):
    network = model("SEResNet20")
    recipe = Recipe.of("SEResNet20", "digits", drop_path=0.4, dtype_policy="mixed_bfloat16", loss="binary", sync_bn=True)
    copied = training_model(network, recipe)
    dropped = [layer for layer in copied.layers if layer.name.endswith("_drop_path")]
    assert [layer.rate for layer in dropped] == pytest.approx([0.4 * index / 8 for index in range(1, 9)])
    assert copied.get_layer("stage2_block1_conv1").compute_dtype == "bfloat16"
    exact = (copied.get_layer("preprocessing"), copied.layers[-1])
    assert {layer.compute_dtype for layer in exact} == {"float32"}
    assert copied.get_layer("stage2_block1_bn1").synchronized
    plain = training_model(network, Recipe.of("SEResNet20", "digits", drop_path=0.4))
    pixels = 255 * np.random.default_rng(0).random((2, 32, 32, 3), "float32")
    np.testing.assert_array_equal(plain(pixels, training=False), network(pixels, training=False))
    assert copied(pixels, training=False).numpy().sum(axis=1).max() > 1.5  # sigmoids
    with pytest.raises(ValueError, match="residual branches; sevgg16 has none"), keras.StatelessScope(initialize_variables=False):
        training_model(keras.Sequential([keras.Input((2,))], name="sevgg16"), recipe)


def test_normalization_within_the_attention_is_normalization():
    recipe = Recipe.of("SEResNet20", "digits", attention="cbam", sync_bn=True)
    copied = training_model(training.build(recipe, classes=10), recipe)
    found = normalizations(copied)
    assert len(found) == 1 + 9 * (2 + 1)  # of the stem, and of each block two and that of its attention
    assert copied.get_layer("stage2_block1_se").norm in found
    assert all(layer.synchronized for layer in found)


def test_an_image_of_two_loses_its_branch_as_a_whole(model):
    network = model("SEResNet20")
    copied = training_model(network, Recipe.of("SEResNet20", "digits", drop_path=0.5))
    layer = copied.get_layer("stage4_block3_drop_path")
    kept = np.asarray(layer(np.ones((1000, 2, 2, 3), "float32"), training=True)).reshape(1000, -1)
    assert set(np.unique(kept)) == {0, 2}
    assert (kept == kept[:, :1]).all()
    assert kept.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", ["SEResNet20", "SEShakeShake26_2x96d", "SEResNeXt26"])
def test_zero_init_makes_each_branch_start_as_nothing(name, without_weights):
    import keras_senet

    network = getattr(keras_senet, name)(weights=None)
    normalizations = last_normalizations(network)
    branches = sum(layer.name.endswith("_add") for layer in network.layers) * (2 if "Shake" in name else 1)
    assert len(normalizations) == branches
    consumers = {type(node.operation).__name__ for layer in normalizations for node in layer._outbound_nodes}
    assert consumers <= {"SqueezeExcite", "ShakeShake"}
    with pytest.raises(ValueError, match="branches that end in a normalization; stage2_block1 does not"):
        last_normalizations(keras_senet.SEResNet164(weights=None))


def test_zero_init_sets_the_scales_to_zero():
    network = training.build(Recipe.of("SEResNet20", "digits", image_size=8, zero_init_last=True), 10)
    zero = {layer.name for layer in network.layers if hasattr(layer, "gamma") and not np.asarray(layer.gamma).any()}
    assert zero == {f"stage{stage}_block{block}_bn2" for stage in (2, 3, 4) for block in (1, 2, 3)}


@pytest.mark.slow
def test_a_modern_recipe_trains_in_mixed_precision_and_leaves_a_plain_network(tiny_recipe, tmp_path):
    same = {name: tiny_recipe.flat()[name] for name in ("data_dir", "train_split", "validation_split", "image_size", "flip")}
    modern = RECIPES["a2"]("SETiny", "digits", **same, epochs=1, warmup_epochs=0.5, batch_size=32, dtype_policy="mixed_bfloat16")
    training.train(modern, tmp_path / "run")
    assert np.isfinite(float(history(tmp_path / "run")[0]["val_loss"]))
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    assert {layer.compute_dtype for layer in network.layers} == {"float32"}
    assert network.layers[-1].activation is keras.activations.softmax
    assert not [layer for layer in network.layers if "drop_path" in layer.name]


@pytest.mark.slow
def test_frozen_normalization_stays_as_it_was(tiny_recipe, tmp_path):
    frozen = tiny_recipe.replace(epochs=1, freeze_bn_epochs=1)
    training.train(frozen, tmp_path / "frozen")
    network = keras.saving.load_model(tmp_path / "frozen" / "last.keras")
    start = training.build(frozen, 10)
    layer = network.get_layer("stage3_block1_bn1")
    assert [float(np.ptp(value)) for value in layer.get_weights()] == [0, 0, 0, 0]  # 1, 0, 0 and 1
    assert (network.get_layer("stage3_block1_conv1").kernel != start.get_layer("stage3_block1_conv1").kernel).numpy().any()
