"""The named recipes hold the published numbers, and each of their parts does in training what its name says."""

import json

import keras
import numpy as np
import pytest
from common import history

import keras_senet
from keras_senet import training
from keras_senet.layers.attention import AttentionConfig
from keras_senet.training import RECIPES, Recipe
from keras_senet.training.callbacks.plateau import Plateau
from keras_senet.training.losses import loss
from keras_senet.training.network import last_normalizations, normalizations, training_model
from keras_senet.training.optimizers import learning_rate, optimizer

NETWORK = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])  # for optimizers of all layers alike


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


# The numbers of each source, which the comment beside the recipe names. Images of ImageNet are normalized by the mean alone.
PAPER = {"mean_only": True, "momentum": 0.9, "weight_decay": 1e-4, "area_min": 0.08, "flip": True, "use_bias": True}
CIFAR = {"mean_only": False, "crop": "shift", "flip": True, "momentum": 0.9, "batch_size": 128, "weight_decay": 1e-4}
PUBLISHED = {
    "paper": PAPER | {"batch_size": 1024, "learning_rate": 0.6, "epochs": 100, "label_smoothing": 0.0},
    "senet154": PAPER
    | {"batch_size": 2048, "learning_rate": 1.0, "label_smoothing": 0.1, "rotation": 10.0, "pixel_jitter": 20.0},
    "mobile": PAPER
    | {"batch_size": 256, "learning_rate": 0.1, "epochs": 400, "schedule": "plateau", "weight_decay": 4e-5, "area_min": 0.25},
    "ablation": PAPER | {"learning_rate": 0.1, "epochs": 300, "schedule": "plateau", "label_smoothing": 0.1, "use_bias": False},
    "places365": PAPER | {"batch_size": 1024, "learning_rate": 0.6},
    "cifar-resnet": CIFAR | {"learning_rate": 0.1, "decay_factor": 0.1},
    "cifar-wrn": CIFAR | {"learning_rate": 0.1, "decay_factor": 0.2, "weight_decay": 5e-4, "nesterov": True, "epochs": 200},
    "cifar-shake": CIFAR | {"learning_rate": 0.2, "epochs": 1800, "schedule": "cosine", "cutout": 16},
    "cifar100-shake": CIFAR
    | {
        "learning_rate": 0.025,
        "epochs": 1800,
        "schedule": "cosine",
        "cutout": 8,
        "batch_size": 32,
        "weight_decay": 5e-4,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_numbers_of_its_source(name):
    fields = RECIPES[name]("SEResNet50", "imagenet2012").flat()
    assert {field: fields[field] for field in PUBLISHED[name]} == PUBLISHED[name]


def test_the_learning_rates_are_those_of_their_sources():
    def rates(name: str, images: int, *steps: int, **fields) -> list[float]:
        recipe = RECIPES[name]("SEResNet110", "cifar10", **fields)
        schedule = learning_rate(recipe, images // recipe.batch_size)
        return [pytest.approx(float(schedule(step)), rel=1e-5) for step in steps]

    # He et al.: 0.01 for 400 steps, a tenth of 0.1 after 32,000 and 48,000 of 64,000 steps.
    assert rates("cifar-resnet", 50_000, 0, 399, 400, 31_900, 32_100, 47_900, 48_100) == [0.01, 0.01, 0.1, 0.1, 0.01, 0.01, 0.001]
    # Zagoruyko and Komodakis: a fifth after 60, 120 and 160 of 200 epochs.
    epochs = (0, 59, 61, 119, 121, 159, 161, 199)
    expected = [0.1, 0.1, 0.02, 0.02, 0.004, 0.004, 0.0008, 0.0008]
    assert rates("cifar-wrn", 50_000, *(390 * epoch for epoch in epochs)) == expected
    # Gastaldi: a cosine from 0.2 to 0 over 1,800 epochs.
    assert rates("cifar-shake", 50_000, *(390 * epoch for epoch in (0, 600, 900, 1200))) == [0.2, 0.15, 0.1, 0.05]
    # The paper's section 7, for comparison: drops after 125, 200 and 250 of 270 epochs.
    fixed = {"schedule": "step", "epochs": 270, "decay_boundaries": (125, 200, 250)}
    assert rates("ablation", 2560, *(10 * epoch for epoch in (0, 124, 126, 201, 251)), **fixed) == [0.1, 0.1, 0.01, 1e-3, 1e-4]


def test_the_recipe_of_coco_is_the_schedule_2x_of_detectron():
    """Its configuration: 180,000 steps of 16 images, the first 500 at a third of 0.02, drops after 120,000 and 160,000."""
    recipe = RECIPES["coco"]("SEResNet50", "coco/2017")
    assert (recipe.task, recipe.head, recipe.freeze_norm, recipe.batch_size) == ("detect", "faster_rcnn", True, 16)
    assert (recipe.optimizer, recipe.momentum, recipe.weight_decay) == ("sgd", 0.9, 1e-4)
    steps_per_epoch = 118_287 // 16
    assert recipe.epochs * steps_per_epoch == pytest.approx(180_000, rel=0.02)
    schedule = learning_rate(recipe, steps_per_epoch)
    steps = (0, 499, 500, 118_000, 122_000, 158_000, 163_000)
    expected = [0.02 / 3, 0.02 / 3, 0.02, 0.02, 0.002, 0.002, 0.0002]
    np.testing.assert_allclose([float(schedule(step)) for step in steps], expected, rtol=1e-5)


def test_nesterov_is_that_of_pytorch():
    """Sutskever's form, as torch.optim.SGD documents it: v = m v + g; w = w - lr (g + m v)."""
    made = optimizer(
        Recipe.of("SEResNet20", "digits", nesterov=True, weight_decay=0.0, learning_rate=0.1, warmup_steps=0), 10, NETWORK
    )
    variable, weight, velocity = keras.Variable([1.0, -2.0]), np.array([1.0, -2.0]), 0
    for gradient in ([0.5, 1.0], [-1.0, 0.25], [0.1, 0.1]):
        made.apply([np.array(gradient, "float32")], [variable])
        velocity = 0.9 * velocity + np.array(gradient)
        weight = weight - 0.1 * (gradient + 0.9 * velocity)
    np.testing.assert_allclose(variable.numpy(), weight, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("ablation", "cifar-wrn") else pytest.mark.exhaustive)
        for name in PUBLISHED
    ],
)
def test_a_published_recipe_trains_and_its_run_holds_each_value(name, tiny_recipe, tmp_path):
    common = {field: tiny_recipe.flat()[field] for field in ("data_dir", "train_split", "validation_split", "image_size")}
    short = {"epochs": 2, "batch_size": 32, "cutout": min(4, PUBLISHED[name].get("cutout", 0)), "freeze_bn_epochs": 0}
    if RECIPES[name]("SETiny", "digits").decay_boundaries:
        short |= {"decay_boundaries": (1,), "warmup_steps": min(2, RECIPES[name]("SETiny", "digits").warmup_steps)}
    recipe = RECIPES[name]("SETiny", "digits", **common, **short)
    training.train(recipe, tmp_path / "run")
    held = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    for field, value in PUBLISHED[name].items():
        assert held[field] == short.get(field, value)
    assert Recipe.of(**held) == recipe
    network = keras.saving.load_model(tmp_path / "run" / "last.keras")
    assert network.get_layer("stage2_block1_se").use_bias == PUBLISHED[name].get("use_bias", True)
    divides = float(np.ravel(network.get_layer("preprocessing").variance)[0]) != pytest.approx(1.0)
    assert divides != PUBLISHED[name]["mean_only"]


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
        ({"schedule": "plateau", "warmup_steps": 1}, "`warmup_steps` must be 0 .* warmup_steps=1"),
        ({"warmup_epochs": 1, "warmup_steps": 1}, "exclude each other"),
        ({"nesterov": True, "optimizer": "lamb"}, "for optimizer='sgd'. Received: optimizer='lamb'"),
        ({"decay_boundaries": (50, 20)}, r"must rise, and lie between 0 and `epochs`, 100; .*\(50, 20\)"),
        ({"decay_boundaries": (50, 100)}, "lie between 0 and `epochs`, 100"),
        ({"decay_boundaries": (0, 10)}, "lie between 0 and"),
        ({"decay_boundaries": (10, "twenty")}, "must be numbers of epochs"),
        ({"decay_boundaries": (10,), "schedule": "cosine"}, "for schedule='step'. Received: schedule='cosine'"),
        ({"cutout": 9, "image_size": 8}, "`cutout` must be at most 8"),
        ({"freeze_bn_epochs": 101}, "`freeze_bn_epochs` must be from 0 to 100"),
    ],
)
def test_fields_that_exclude_each_other_are_named(mistake, said):
    with pytest.raises(ValueError, match=said):
        Recipe.of("SEResNet20", "digits", **mistake)


@pytest.mark.parametrize(
    ("model", "images", "given", "expected"),
    [
        # Published weights are there, and the images are few.
        ("SEResNet50", 500, {}, {"weights": "imagenet", "epochs": 20, "batch_size": 16, "learning_rate": 0.01, "area_min": 0.25}),
        ("SEResNet50", 48, {}, {"weights": "imagenet", "epochs": 40, "batch_size": 8}),
        ("SEResNet50", 1_281_167, {}, {"weights": None, "epochs": 20, "batch_size": 256, "learning_rate": 0.2, "area_min": 0.08}),
        ("SEResNet50", 500, {"weights": None}, {"weights": None, "epochs": 60}),
        ("SEResNet50", 500, {"attention": "eca"}, {"weights": None}),
        ("SEResNet50", 500, {"mean_only": True}, {"weights": None}),
        ("SEResNet20", 1437, {}, {"weights": None, "epochs": 21, "batch_size": 64, "learning_rate": 0.1, "crop": "shift"}),
        ("SEResNet20", 5, {}, {"batch_size": 5, "epochs": 100, "warmup_epochs": 1.0}),
        # What is given stays, and the rest follows it.
        ("SEResNet20", 1437, {"epochs": 2}, {"epochs": 2, "warmup_epochs": 0.4}),
        ("SEResNet20", 1437, {"batch_size": 256}, {"batch_size": 256, "learning_rate": 0.2}),
        ("SEResNet20", 1437, {"optimizer": "adamw"}, {"learning_rate": 0.001, "weight_decay": 0.05}),
        ("SEResNet20", 1437, {"schedule": "plateau"}, {"warmup_epochs": 0.0}),
        ("SEResNet20", 1437, {"decay_boundaries": (5, 10)}, {"schedule": "step"}),
        ("SEResNet20", 1437, {"weights": "own.keras"}, {"epochs": 7, "learning_rate": 0.01}),
        # Published weights keep their normalization in batches of few images; small images get narrow heads.
        (
            "SEResNet50",
            500,
            {"task": "detect"},
            {"weights": "imagenet", "epochs": 48, "batch_size": 16, "learning_rate": 2e-4, "optimizer": "adamw", "area_min": 0.25}
            | {"head": "retinanet", "head_kwargs": None, "freeze_norm": True, "label_smoothing": 0.0},
        ),
        (
            "SEResNet18",
            4800,
            {"task": "segment", "image_size": 96, "weights": None},
            {"epochs": 5, "learning_rate": 1e-3, "crop": "shift", "head": "unet", "head_kwargs": {"width": 8}}
            | {"freeze_norm": False},
        ),
        ("SEResNet18", 4800, {"task": "detect", "head": "faster_rcnn", "image_size": 96}, {"learning_rate": 2e-4}),
    ],
)
def test_without_a_recipe_it_follows_from_the_images(model, images, given, expected):
    recipe, why = training.automatic_recipe(model, "photographs", images, **given)
    assert {name: recipe.flat()[name] for name in expected} == expected
    assert f"{images:,} training images" in why
    assert f"{recipe.epochs} epochs in batches of {recipe.batch_size}" in why
    assert recipe.schedule == given.get("schedule", "step" if "decay_boundaries" in given else "cosine")


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        (None, "imagenet"),
        ({"width_multiplier": 1.0}, "imagenet"),
        ({"width_multiplier": 0.75}, "imagenet"),
        ({"minimalistic": True}, "imagenet"),
        ({"width_multiplier": 0.6}, None),
        ({"width_multiplier": 0.75, "minimalistic": True}, None),
    ],
)
def test_published_weights_are_taken_for_the_options_that_have_some(options, weights):
    recipe, why = training.automatic_recipe("MobileNetV3Small", "photographs", 1000, model_kwargs=options)
    assert recipe.weights == weights
    assert ("published have another `model_kwargs`" in why) == (weights is None)


@pytest.mark.parametrize("name", ["MobileNetV3Small", "RegNetY002", "SEResNet33TS", "ECAResNet26T", "SEResNet20"])
def test_a_recipe_has_the_attention_of_its_network_however_it_is_made(name):
    own = keras_senet.models.registry.find_model(name).architecture.attention
    assert Recipe(name, "digits").attention == Recipe.of(name, "digits").attention == own
    other = AttentionConfig("gc", reduction=2)
    assert Recipe(name, "digits", attention=other).attention == other


def test_characters_are_not_mirrored():
    for dataset, flip in (("digits", False), ("emnist/letters", False), ("cifar10", True), ("./digits_of_mine", True)):
        assert training.automatic_recipe("SEResNet20", dataset, 100)[0].augmentation.flip == flip


@pytest.mark.exhaustive
def test_digits_are_learned_without_another_flag(run, tmp_path, data_dir):
    run("train", "--model", "SEResNet20", "--dataset", "digits", "--data-dir", data_dir, "--output", tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["last"]["top1"] > 0.97


@pytest.mark.slow
def test_a_folder_of_a_few_small_photographs_trains_without_another_flag(run, tmp_path, tiny_recipe):
    from PIL import Image

    random = np.random.default_rng(0)
    for index in range(60):
        color = np.eye(3)[index % 3] * 120 + random.uniform(0, 100, (40 + index, 50, 3))
        folder = tmp_path / "photographs" / ("red", "green", "blue")[index % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(color.astype("uint8")).save(folder / f"{index}.jpg")
    flags = ("--epochs", 8, "--image-size", 8, "--output", tmp_path / "run")
    status, output, _ = run("train", "--model", "SETiny", "--dataset", tmp_path / "photographs", *flags)
    assert status == 0
    assert (
        "No recipe was named, so it follows from the network and 48 training images: random weights, since it has none" in output
    )
    held = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert (held["epochs"], held["batch_size"], held["learning_rate"]) == (8, 8, 0.0354)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["last"]["top1"] > 0.8


def test_several_workers_need_a_recipe(fails, tmp_path):
    flags = ("--model", "SEResNet20", "--dataset", "digits", "--output", tmp_path / "run", "--strategy", "multi_worker")
    assert "name what they do with --recipe or --config" in fails("train", *flags)


def test_a_warm_up_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="at most the 1000 steps of the run. Received: warmup_steps=1001"):
        optimizer(Recipe.of("SEResNet20", "digits", warmup_steps=1001), 10, NETWORK)


def test_options_of_a_network_are_part_of_its_recipe():
    recipe = Recipe.of("SEWideResNet", "digits", model_kwargs={"depth": 10, "width": 1}, image_size=8)
    assert len([layer for layer in training.build(recipe, 10).layers if layer.name.endswith("_add")]) == 3
    assert Recipe.of(**json.loads(json.dumps(recipe.flat()))) == recipe
    with pytest.raises(ValueError, match="SEWideResNet has no option 'breadth' in `model_kwargs`. Its own options: depth, width"):
        training.build(recipe.replace(model_kwargs={"breadth": 1}), 10)
    with pytest.raises(ValueError, match="Its own options: none"):
        training.build(recipe.replace(model="SEResNet20"), 10)


def test_the_binary_loss_counts_each_class_of_a_mixed_image_in_full():
    probabilities = np.array([[0.8, 0.3, 0.1, 0.2]], "float32")
    measured = loss(Recipe.of("SEResNet20", "digits", loss="binary"))(np.array([[0.7, 0.3, 0, 0]]), probabilities)
    assert float(measured) == pytest.approx(-np.log([0.8, 0.3, 0.9, 0.8]).mean(), rel=1e-5)


def test_lamb_and_adamw_shrink_kernels_only():
    for name in ("lamb", "adamw"):
        made = optimizer(Recipe.of("SEResNet20", "digits", optimizer=name, weight_decay=0.1), 10, NETWORK)
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

    assert rates([1.0] + [2.0] * 10, Plateau(0.5), 0.5) == pytest.approx(0.05)
    assert rates([1.0] + [2.0] * 30, Plateau(0.5, 0.2), 0.5) == pytest.approx(0.004)
    assert rates([1.0] + [2.0] * 99, Plateau(0.5, 0.2), 0.5) == pytest.approx(0.004)  # three times, as in section 7
    before, after = Plateau(0.5), Plateau(0.5)
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
