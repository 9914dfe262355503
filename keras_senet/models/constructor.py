"""What every network's constructor promises: its parameters, their checks, the input, the head and the weights.

A family's file describes its architectures as data and builds the layers between input and head; all that its constructors have
in common stands here, once.
"""

import contextlib
import functools
import inspect
import os
import warnings
import zipfile
from collections.abc import Callable

import h5py
import keras
from keras import layers

from keras_senet.blocks import ATTENTION_POSITIONS, Attention, channel_axis
from keras_senet.errors import did_you_mean, existing_path
from keras_senet.layers import SqueezeExcite

ATTENTIONS = ("se",)

MODELS: dict[str, Callable[..., keras.Model]] = {}


def list_models() -> list[str]:
    """The names of all networks, each a constructor `keras_senet.<name>`.

    Example:

    >>> keras_senet.list_models()[:2]
    ['SEResNet18', 'SEResNet34']
    """
    return list(MODELS)


def find_model(name: str) -> Callable[..., keras.Model]:
    """The constructor called `name`, in any case.

    Raises:
        ValueError: if there is none; the message has the nearest names.
    """
    by_folded = {model.casefold(): model for model in MODELS}
    if name.casefold() not in by_folded:
        near = did_you_mean(name, MODELS) or f" Available: {', '.join(MODELS)}."
        raise ValueError(f"There is no model {name!r}.{near}")
    return MODELS[by_folded[name.casefold()]]


def constructor(name: str, architecture, features: Callable, summary: str) -> Callable[..., keras.Model]:
    """Makes, and registers, the public function that builds one network.

    Args:
        name: its public name.
        architecture: the frozen dataclass of its family. This function reads `stages`, `classes`, `input_size`, `min_size`,
            `mean`, `std` and `dropout`; the rest is for `features`.
        features: the family's builder, `features(x, architecture, attention_of_stage, position) -> x`.
        summary: first line of the docstring.

    Returns:
        The constructor.
    """

    def construct(
        include_top: bool = True,
        weights: str | os.PathLike | None = "imagenet" if architecture.classes == 1000 else None,
        input_tensor=None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int = architecture.classes,
        classifier_activation: str | Callable | None = "softmax",
        name: str = name.lower(),
        *,
        include_preprocessing: bool = True,
        attention: str | Attention | None = "se",
        reduction: int = 16,
        attention_position: str = "standard",
        attention_stages: tuple[int, ...] | None = None,
    ) -> keras.Model:
        _check_weights(weights, include_top, classes, classifier_activation)
        if pooling not in (None, "avg", "max"):
            raise ValueError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
        if attention_position not in ATTENTION_POSITIONS:
            raise ValueError(f"`attention_position` must be one of {ATTENTION_POSITIONS}. Received: {attention_position!r}")
        attention_stages = _check_stages(attention_stages, architecture.stages)
        attention_layer = _attention_layer(attention, reduction)

        inputs = _input(input_tensor, input_shape, architecture, include_top)
        x = _normalize(inputs, architecture.mean, architecture.std) if include_preprocessing else inputs
        x = features(x, architecture, lambda stage: attention_layer if stage in attention_stages else None, attention_position)
        if include_top or pooling == "avg":
            x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        elif pooling == "max":
            x = layers.GlobalMaxPooling2D(name="max_pool")(x)
        if include_top:
            if architecture.dropout:
                x = layers.Dropout(architecture.dropout, name="dropout")(x)
            # In float32 under every policy: float16 cannot tell small probabilities from zero.
            x = layers.Dense(classes, classifier_activation, dtype="float32", name="predictions")(x)
        source = inputs if input_tensor is None else keras.utils.get_source_inputs(inputs)
        model = keras.Model(source, x, name=name)
        if weights is not None:
            _load_weights(model, weights)
        return model

    construct.__name__ = construct.__qualname__ = name
    construct.__module__ = "keras_senet"
    construct.__doc__ = f"{summary}\n\n" + inspect.cleandoc(
        _DOCUMENTATION.format(name=name, size=architecture.input_size, min_size=architecture.min_size, stages=architecture.stages)
    )
    MODELS[name] = construct
    return construct


_DOCUMENTATION = """
    Args:
        include_top: whether to end in the classifier: global average pooling and one fully connected layer.
        weights: None for random weights, or the path of a Keras weights file (`.weights.h5` or `.keras`) of this architecture.
            `"imagenet"`, for pretrained weights, is not available yet and raises.
        input_tensor: a Keras tensor to use as input, in place of a new one of `input_shape`.
        input_shape: shape of one image without the batch, `(H, W, C)` or, with the `"channels_first"` image data format,
            `(C, H, W)`; at least {min_size} x {min_size}. By default `({size}, {size}, 3)`, without the top `(None, None, 3)`.
        pooling: without the top, None for the feature map `(N, H', W', C')`, or "avg" or "max" for its global pooling `(N, C')`.
        classes: number of classes of the classifier.
        classifier_activation: activation of the classifier; None gives logits.
        name: name of the model.
        include_preprocessing: if True, the model takes RGB pixels in [0, 255] and normalizes them itself; if False, it takes
            images that are normalized already.
        attention: "se"; None for the plain network; or a function `attention(name=...)` that returns a layer.
        reduction: channels for each hidden unit of an SE block's excitation.
        attention_position: where in each residual unit the attention stands: "standard", before the addition; "pre", before the
            unit; "post", after the addition; "identity", on the shortcut; "3x3", after the first 3x3 convolution (paper,
            section 6.5).
        attention_stages: stages that get attention, from {stages}, counted as in the paper (conv2_x is 2); None for all.

    Returns:
        A functional `keras.Model` whose SE blocks are layers named `<block>_se`. With the top its output has shape
        `(N, classes)` and dtype float32.

    Raises:
        ValueError: for an argument that is not as above; the message says what is accepted.
        FileNotFoundError: if the weights file does not exist.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, and the authors' released network definitions.

    Example:

    >>> model = keras_senet.{name}(weights=None, classes=10)
    >>> model(np.zeros((1, {size}, {size}, 3), "float32")).shape
    TensorShape([1, 10])
"""


def _check_weights(weights, include_top, classes, classifier_activation):
    if weights is None:
        return
    if weights == "imagenet":
        raise ValueError(
            'weights="imagenet" is not available yet: this version ships no pretrained weights. Use weights=None for random '
            "weights, or the path of a Keras weights file."
        )
    activations = (keras.activations.get(None), keras.activations.softmax)
    if include_top and keras.activations.get(classifier_activation) not in activations:
        raise ValueError(
            "With trained `weights` and `include_top=True`, `classifier_activation` must be None or 'softmax'. "
            f"Received: classifier_activation={classifier_activation!r}"
        )


def _check_stages(attention_stages, stages) -> tuple[int, ...]:
    if attention_stages is None:
        return stages
    chosen = tuple(attention_stages)
    if not chosen or not set(chosen) <= set(stages):
        raise ValueError(
            f"`attention_stages` must name one or more of {stages}, or be None for all; for a network without attention use "
            f"attention=None. Received: attention_stages={attention_stages}"
        )
    return chosen


def _attention_layer(attention, reduction) -> Attention | None:
    if attention is None or (callable(attention) and not isinstance(attention, str)):
        return attention
    if attention == "se":
        return functools.partial(SqueezeExcite, reduction=reduction)
    raise ValueError(
        f"`attention` must be None, one of {ATTENTIONS}, or a function `attention(name=...)` that returns a layer. "
        f"Received: attention={attention!r}"
    )


def _input(input_tensor, input_shape, architecture, include_top):
    """The tensor of images, of a shape that the network can take."""
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(f"`input_tensor` must be a Keras tensor, such as keras.Input(...). Received: {type(input_tensor)}")
        shape = input_tensor.shape[1:]
    elif input_shape is not None:
        shape = tuple(input_shape)
    else:
        size = architecture.input_size if include_top else None
        shape = (size, size, 3) if channel_axis() == -1 else (3, size, size)
    accepted = "(H, W, C)" if channel_axis() == -1 else "(C, H, W)"
    smallest = architecture.min_size
    if len(shape) != 3 or shape[2 if channel_axis() == -1 else 0] is None:
        raise ValueError(f"`input_shape` must be {accepted} with a known number of channels. Received: {shape}")
    sides = shape[:2] if channel_axis() == -1 else shape[1:]
    if any(side is not None and side < smallest for side in sides):
        raise ValueError(f"Images must be at least {smallest} x {smallest}. Received: input_shape={shape}")
    if input_tensor is not None:
        return input_tensor
    if include_top and None in sides:
        raise ValueError(
            f"With `include_top=True` the height and width in `input_shape` must be known. Received: input_shape={shape}"
        )
    return layers.Input(shape)


def _normalize(images, mean: tuple[float, ...], std: tuple[float, ...]):
    """RGB pixels in [0, 255] to the statistics of the training images, given on the scale [0, 1]."""
    if images.shape[channel_axis()] != len(mean):
        # Gray or multispectral images have no statistics of their own: use those of gray.
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    # Not `Rescaling`: with channels_first it takes one offset for all channels only.
    mean, variance = [255 * m for m in mean], [(255 * s) ** 2 for s in std]
    return layers.Normalization(axis=channel_axis(), mean=mean, variance=variance, name="preprocessing")(images)


def _load_weights(model: keras.Model, path):
    path = existing_path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of each layer that does not fit, before the error that says so
            model.load_weights(path)
        # Keras passes over what is in the file and not in the model.
        found, needed = _count_weights(path), len(model.weights)
        if found != needed:
            raise ValueError(f"The file has {found} arrays, the model {needed}.")
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split()).partition(" List of objects")[0]
        raise ValueError(
            f"The weights in {path} do not fit {model.name} with output shape {model.output_shape}: they must come from a "
            f".weights.h5 or .keras file of the same architecture with the same classes, attention and reduction. {reason}"
        ) from error


def _count_weights(path: str) -> int:
    """The number of a model's arrays in a file, the states of its optimizer and random generators left out."""
    names = []
    with contextlib.ExitStack() as stack:
        if path.endswith(".keras"):
            path = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open("model.weights.h5"))
        file = stack.enter_context(h5py.File(path))
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sum(not name.startswith("optimizer/") and "/seed_generator/" not in name for name in names)
