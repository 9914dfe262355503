"""The network of a run: as it is saved, and the model that `fit` trains."""

import inspect
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_senet.errors import InputError, named
from keras_senet.inference.labels import same_names
from keras_senet.keras_internals import all_layers
from keras_senet.layers import PixelNormalization
from keras_senet.models.build import image_shape
from keras_senet.models.registry import find_model
from keras_senet.pretrained import read_weights
from keras_senet.pretrained.description import class_names_in
from keras_senet.rewrite.clone import rewritten
from keras_senet.training.recipe import Recipe


def build(recipe: Recipe, classes: int, multi_label: bool = False) -> keras.Model:
    """The network of a recipe.

    Args:
        recipe: says which network, for images of which size.
        classes: number of classes.
        multi_label: whether an image can have several labels, so that the outputs are probabilities of each class by itself.

    Returns:
        The network, with the weights that the recipe names or random ones.

    Raises:
        ValueError: if the network cannot be as the recipe has it.

    Example:

    >>> keras_senet.training.build(keras_senet.training.Recipe("SEResNet20", "digits"), classes=10).name
    'seresnet20'
    """
    network = _constructed(recipe, classes=classes)
    if multi_label:
        network.layers[-1].activation = keras.activations.sigmoid  # constructors with trained weights take softmax alone
    return network


def build_without_classifier(recipe: Recipe) -> keras.Model:
    """The network of a recipe up to its last map, for images of the recipe's size or, if it has none, of the network's."""
    size = recipe.image_size or find_model(recipe.model).architecture.input_size
    return _constructed(recipe.replace(image_size=size), include_top=False)


def head_options(recipe: Recipe, head: Callable, others: Sequence[str]) -> dict[str, Any]:
    """The options in `head_kwargs`, each of which must be one that the function `head` takes, or one of `others`.

    Raises:
        ValueError: if there is another one.
    """
    own = [name for name, argument in inspect.signature(head).parameters.items() if argument.kind is argument.KEYWORD_ONLY]
    accepted = sorted({*own, *others} - {"name"})
    for name in (options := dict(recipe.head_kwargs or {})):
        if name not in accepted:
            raise InputError(f"{recipe.head} has no option {name!r} in `head_kwargs`. Its options: {', '.join(accepted)}.")
    return options


def _constructed(recipe: Recipe, **arguments) -> keras.Model:
    construct = find_model(recipe.model)
    for name in (options := recipe.model_kwargs or {}):
        if name not in construct.options:
            accepted = ", ".join(construct.options) or "none"
            raise InputError(f"{recipe.model} has no option {name!r} in `model_kwargs`. Its own options: {accepted}.")
    network = construct(
        weights=recipe.weights,
        input_shape=None if recipe.image_size is None else image_shape(recipe.image_size),
        mean_only=recipe.mean_only,
        **vars(recipe.attention),
        **options,
        **arguments,
    )
    if recipe.zero_init_last:
        for layer in last_normalizations(network):
            layer.gamma.assign(keras.ops.zeros_like(layer.gamma))
    return network


def start_classifier_anew(network: keras.Model, recipe: Recipe, class_names: Sequence[str]) -> None:
    """Gives the classifier random weights if it is that of a `.keras` file with as many classes of other names, and warns."""
    if recipe.weights is None or not recipe.weights.endswith(".keras"):
        return
    config = read_weights(recipe.weights).config
    theirs = [] if config is None else class_names_in(config)
    if len(theirs) != len(class_names) or same_names(theirs, class_names):
        return
    classifier = network.layers[-1]
    classifier.kernel.assign(classifier.kernel_initializer(classifier.kernel.shape, classifier.kernel.dtype))
    classifier.bias.assign(keras.ops.zeros_like(classifier.bias))
    warnings.warn(
        f"{recipe.weights} tells {named(theirs)} apart, but {recipe.dataset} has {named(class_names)}: the classifier starts at "
        "random.",
        stacklevel=2,
    )


def training_model(network: keras.Model, recipe: Recipe, exact: Sequence[str] = ()) -> keras.Model:
    """A copy of `network` with the same weights and with what only training needs.

    Args:
        network: the network.
        recipe: says what is added.
        exact: names of layers that compute in float32, beside the first and the last, whatever the dtype policy is.

    This is the dtype policy, synchronized batch normalization, stochastic depth (Huang et al., arXiv 1603.09382, section 3: the
    last residual branch is dropped for a share `recipe.drop_path` of the images, the first for none), dropout before the
    classifier, and for a loss of each class by itself a sigmoid at the end.

    Raises:
        ValueError: if the network has no residual branches to leave out.
    """
    additions = residual_additions(network) if recipe.drop_path else []
    has_dropout = any(isinstance(layer, keras.layers.Dropout) for layer in network.layers)
    rates = {name: recipe.drop_path * index / max(1, len(additions) - 1) for index, name in enumerate(additions)}

    def copy(layer):
        config = layer.get_config()
        is_exact = isinstance(layer, PixelNormalization) or layer is network.layers[-1] or layer.name in exact
        if recipe.dtype_policy != "float32" and not is_exact:
            config["dtype"] = recipe.dtype_policy
        if recipe.loss != "categorical" and layer is network.layers[-1]:
            config["activation"] = "sigmoid"
        if recipe.dropout is not None and isinstance(layer, keras.layers.Dropout):
            config["rate"] = recipe.dropout
        return type(layer).from_config(config)

    def call(layer, inputs, **kwargs):
        if rates.get(layer.name):
            branch, shortcut = inputs
            # One draw for each image.
            drop = keras.layers.Dropout(rates[layer.name], (None, 1, 1, 1), name=layer.name.replace("_add", "_drop_path"))
            inputs = [drop(branch), shortcut]
        if recipe.dropout and not has_dropout and layer.name == network.layers[-1].name:
            inputs = keras.layers.Dropout(recipe.dropout, name="dropout")(inputs)
        return layer(inputs, **kwargs)

    copied = rewritten(network, copy=copy, call=call)
    for norm in normalizations(copied):
        norm.synchronized = recipe.sync_bn
    return copied


def normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """All batch normalization of a network, also that within its attention."""
    return [layer for layer in all_layers(network) if isinstance(layer, keras.layers.BatchNormalization)]


def residual_additions(network: keras.Model) -> list[str]:
    """The names of the layers that add residual branches, from input to output."""
    names = [layer.name for layer in network.layers if layer.name.endswith("_add")]
    if not names:
        raise InputError(f"`drop_path` and `zero_init_last` are for networks of residual branches; {network.name} has none.")
    return names


def last_normalizations(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The last layer of each residual branch (Goyal et al., arXiv 1706.02677, section 5.1).

    Raises:
        ValueError: if the branches do not end in a normalization: one that is zero before a ReLU would not learn.
    """
    last = []
    for addition in residual_additions(network):
        block = re.escape(addition.removesuffix("_add"))
        numbers: dict[str, dict[str, list[int]]] = {}
        for layer in network.layers:
            if match := re.fullmatch(rf"({block}(?:_branch\d)?)_(bn|relu)(\d+)", layer.name):
                numbers.setdefault(match[1], {}).setdefault(match[2], []).append(int(match[3]))
        for branch, layers in numbers.items():
            if max(layers["bn"]) in layers.get("relu", []):
                raise InputError(f"`zero_init_last` is for residual branches that end in a normalization; {branch} does not.")
            last.append(network.get_layer(f"{branch}_bn{max(layers['bn'])}"))
    return last
