"""The contract of every constructor: its parameters and their checks, the input, the head and the weights.

A family's file describes architectures as data, and builds the layers between the input and the head. Everything that is the same
in all constructors is here.
"""

import dataclasses
import inspect
import os
import textwrap
from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_senet.errors import InputError
from keras_senet.layers import PixelNormalization
from keras_senet.layers.attention import ATTENTIONS, Attention, AttentionConfig, attention_layer
from keras_senet.layers.data_format import channel_axis
from keras_senet.models.architecture import MEAN_ONLY_STD, Architecture
from keras_senet.models.named_weights import build_for, check_activation, find_weights
from keras_senet.models.registry import register
from keras_senet.pretrained import checkpoints_of


def constructor(
    name: str, architecture: Architecture | Callable[..., Architecture], features: Callable, summary: str, **options: str
) -> Callable[..., keras.Model]:
    """Makes and registers the public function that builds one network.

    Args:
        name: public name of the function.
        architecture: description of the network. If the constructor has options of its own: a function from these options to the
            description, such as a family's dataclass.
        features: builder of the family: `features(x, architecture, attention)` returns the last feature map.
        summary: first line of the docstring.
        **options: documentation of each option that only this constructor has.

    Returns:
        The constructor. Its attributes are `architecture`, the description with the default options, `features` and `options`.
    """
    describe: Callable[..., Architecture] = architecture if callable(architecture) else lambda: architecture
    default = describe()
    own_parameters = [
        inspect.signature(describe).parameters[option].replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options
    ]
    own = default.attention
    published = "imagenet" if checkpoints_of(name) else None

    def construct(
        include_top: bool = True,
        weights: str | os.PathLike | None = published,
        input_tensor=None,
        input_shape: tuple[int | None, ...] | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | Callable | None = "softmax",
        name: str = name.lower(),
        *,
        include_preprocessing: bool = True,
        mean_only: bool = False,
        attention: str | Callable[..., keras.layers.Layer] | None = own.attention,
        reduction: int = own.reduction,
        squeeze: str | None = own.squeeze,
        gate: str | Callable = own.gate,
        use_bias: bool = own.use_bias,
        attention_position: str = own.attention_position,
        attention_stages: tuple[int, ...] | None = own.attention_stages,
        **own_options,
    ) -> keras.Model:
        if unknown := own_options.keys() - options:
            raise TypeError(f"{construct.__name__}() got an unexpected keyword argument {min(unknown)!r}")
        net = describe(**own_options)
        chosen = {parameter.name: own_options.get(parameter.name, parameter.default) for parameter in own_parameters}
        if pooling not in (None, "avg", "max"):
            raise InputError(f'`pooling` must be None, "avg" or "max". Received: pooling={pooling!r}')
        if attention_position not in net.positions:
            raise InputError(
                f"`attention_position` must be one of {net.positions} in {construct.__name__}. Received: {attention_position!r}"
            )
        stages = None if attention_stages is None else _check_stages(attention_stages, net.stages)
        config = AttentionConfig(attention, reduction, squeeze, gate, use_bias, attention_position, stages)
        attention_of(config, net)  # raises before anything is downloaded

        pretrained = None
        if weights is not None:
            check_activation(include_top, classifier_activation)
            head_classes = (classes, default.classes) if include_top else None
            pretrained = find_weights(weights, construct, chosen, config, head_classes)
            known = pretrained.architecture.keys() & {field.name for field in dataclasses.fields(net)}
            net = dataclasses.replace(net, **{field: pretrained.architecture[field] for field in known})
            own_statistics = mean_only and include_preprocessing and net.std != MEAN_ONLY_STD
            if own_statistics and not os.fspath(weights).endswith(".weights.h5"):  # which does not say how it was trained
                raise InputError(
                    f"weights={weights!r} was trained on pixels that are divided by their standard deviation, too: leave out "
                    "`mean_only`."
                )
        if mean_only:
            net = dataclasses.replace(net, std=MEAN_ONLY_STD)

        def build(config: AttentionConfig) -> keras.Model:
            inputs = _input(input_tensor, input_shape, net, include_top)
            x = _normalize(inputs, net) if include_preprocessing else inputs
            x = features(x, net, attention_of(config, net))
            if include_top:
                x = _head(x, net, default.classes if classes is None else classes, classifier_activation)
            elif pooling is not None:
                x = _POOLINGS[pooling](name=f"{pooling}_pool")(x)
            source = inputs if input_tensor is None else keras.utils.get_source_inputs(inputs)
            return keras.Model(source, x, name=name)

        return build(config) if pretrained is None else build_for(pretrained, build, config, net, include_top)

    public: Any = construct  # a function with attributes of its own
    public.__name__ = public.__qualname__ = name
    public.__module__ = "keras_senet"
    public.architecture, public.features, public.options = default, features, tuple(options)
    signature = inspect.signature(construct)
    parameters = dict(signature.parameters)
    parameters.pop("own_options")
    # Inside, the default is None: only a number that the caller gave may differ from the number of classes of the weights.
    parameters["classes"] = parameters["classes"].replace(default=default.classes, annotation=int)
    public.__signature__ = signature.replace(parameters=[*parameters.values(), *own_parameters])
    public.__doc__ = f"{summary}\n\n" + inspect.cleandoc(
        _DOCUMENTATION.format(
            name=name,
            net=default,
            attentions=", ".join(f'"{attention}"' for attention in ATTENTIONS),
            positions=", ".join(f'"{position}"' for position in default.positions) + " only" * (len(default.positions) == 1),
            options="".join(
                textwrap.fill(f"{option}: {text}", 122, initial_indent=" " * 4, subsequent_indent=" " * 12) + "\n    "
                for option, text in options.items()
            ),
        )
    )
    register(construct)
    return construct


def attention_of(config: AttentionConfig, net: Architecture) -> Attention:
    """The attention that `config` means in a network like `net`."""
    layer = attention_layer(config, net.attention)
    reduction = config.reduction if isinstance(config.attention, str) else None
    return Attention(layer, config.attention_position, config.attention_stages or net.stages, reduction, net.hidden_divisor)


_POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}

_DOCUMENTATION = """
    Args:
        include_top: whether to include the classifier.
        weights: None for random weights; "imagenet", or the tag of one of `keras_senet.list_checkpoints("{name}")`,
            for published weights, which are downloaded once; or the path of a file of weights. Published weights bring their own
            preprocessing and details of the architecture. A file is a `.weights.h5` or `.keras` file of this network, a
            `.safetensors` or `.pth` file in a layout of timm or torchvision, or one of the authors' `.caffemodel` files. Only
            `.keras` files say how images are cropped and resized; all but `.weights.h5` files say how they are normalized. For
            one input channel, the kernels of three input channels are summed.
        input_tensor: Keras tensor to use as the input instead of a new one of `input_shape`.
        input_shape: shape of one image without the batch, `(H, W, C)`, or `(C, H, W)` with the image data format
            `"channels_first"`; at least {net.min_size} x {net.min_size}. The default is
            `({net.input_size}, {net.input_size}, 3)`, or `(None, None, 3)` without the top.
        pooling: output without the top: None for the feature map `(N, H', W', C')`, "avg" or "max" for its global pooling
            `(N, C')`.
        classes: number of classes. If you pass one that is not the number of classes of `weights`, the classifier starts at
            random on their backbone, with a warning.
        classifier_activation: activation of the classifier; None for logits.
        name: name of the model.
        include_preprocessing: whether the model normalizes its input itself. If True, it takes RGB pixels in [0, 255]; if False,
            it takes normalized images.
        mean_only: whether that subtracts the mean of the training images alone, as in the paper, instead of dividing by their
            standard deviation, too, as published weights need it.
        attention: {attentions}; None for the plain network; or a function
            `attention(name=...)` that returns a layer, such as a class of `keras_senet.layers`. Layers other than that of "se"
            take those of the next four arguments that they have.
        reduction: number of channels for each hidden unit of the excitation; in a RegNetY, of the channels that its block takes.
        squeeze: summary of a channel: "avg", "max", or None for gates at each position of the feature map.
        gate: activation that makes the gates, such as "sigmoid", "tanh" or "relu".
        use_bias: whether the fully connected layers of the excitation have biases, as in the networks that the authors released;
            those of the paper's ablations have none.
        attention_position: where the attention is in each block (section 6.5 of the paper). In a residual unit, "standard" is
            before the addition, "pre" before the unit, "post" after the addition, "identity" on the shortcut, and "3x3" after
            the first 3x3 convolution. This network takes {positions}.
        attention_stages: the stages that have attention, a tuple of some of {net.stages}; None for all. In a ResNet, stage 2 is
            conv2_x, as in the paper.
    {options}
    Returns:
        A functional `keras.Model` whose attention layers are named `<block>_se`. With the top, its output has shape
        `(N, classes)` and dtype float32.

    Raises:
        ValueError: if an argument is not as described; the message says what is accepted.
        FileNotFoundError: if the weights file does not exist.
        OSError: if published weights cannot be downloaded or stored; the message says how to do it by hand.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507. For the backbone: the paper in the description of its
        family.

    Example:

    >>> model = keras_senet.{name}(weights=None, classes=10)
    >>> model(np.zeros((1, {net.input_size}, {net.input_size}, 3), "float32")).shape
    TensorShape([1, 10])
"""


def _check_stages(attention_stages, stages) -> tuple[int, ...]:
    subset = (attention_stages,) if isinstance(attention_stages, int) else tuple(attention_stages)
    if not subset or not set(subset) <= set(stages):
        raise InputError(
            f"`attention_stages` must name one or more of {stages}, or be None for all; for a network without attention use "
            f"attention=None. Received: attention_stages={attention_stages}"
        )
    return subset


def image_shape(size: int | None) -> tuple[int | None, ...]:
    """The shape of a square RGB image in the current image data format."""
    return (size, size, 3) if channel_axis() == -1 else (3, size, size)


def _input(input_tensor, input_shape, net: Architecture, include_top: bool):
    """The tensor of images, of a shape that the network can take."""
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise InputError(f"`input_tensor` must be a Keras tensor, such as keras.Input(...). Received: {type(input_tensor)}")
        shape = input_tensor.shape[1:]
    elif input_shape is not None:
        shape = tuple(input_shape)
    else:
        shape = image_shape(net.input_size if include_top else None)
    accepted = "(H, W, C)" if channel_axis() == -1 else "(C, H, W)"
    smallest = net.min_size
    if len(shape) != 3 or shape[2 if channel_axis() == -1 else 0] is None:
        raise InputError(f"`input_shape` must be {accepted} with a known number of channels. Received: {shape}")
    sides = shape[:2] if channel_axis() == -1 else shape[1:]
    if any(side is not None and side < smallest for side in sides):
        raise InputError(f"Images must be at least {smallest} x {smallest}. Received: input_shape={shape}")
    if include_top and None in sides and (input_tensor is None or net.flattened):
        raise InputError(
            f"With `include_top=True` the height and width in `input_shape` must be known. Received: input_shape={shape}"
        )
    return layers.Input(shape) if input_tensor is None else input_tensor


def _normalize(images, net: Architecture):
    """Normalizes RGB pixels in [0, 255] by the statistics of the training images."""
    mean, std = net.mean, net.std
    if images.shape[channel_axis()] != len(mean):
        # There are no statistics for gray or multispectral images: use the averages over the colors.
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    sides = images.shape[1:3] if channel_axis() == -1 else images.shape[2:]
    at_test_size = net.test_input_size is not None and set(sides) == {net.test_input_size}
    return PixelNormalization(
        crop_ratio=net.test_crop_ratio if at_test_size else net.crop_ratio,
        interpolation=net.interpolation,
        # Not `Rescaling`: with channels_first it has one offset for all channels.
        axis=channel_axis(),
        mean=[255 * m for m in mean],
        variance=[(255 * s) ** 2 for s in std],
        name="preprocessing",
    )(images)


def _head(x, net: Architecture, classes: int, activation):
    """The layers from the last feature map to the classes."""
    x = layers.Flatten(name="flatten")(x) if net.flattened else layers.GlobalAveragePooling2D(name="avg_pool")(x)
    for index, width in enumerate(net.fully_connected, start=1):
        x = layers.Dense(width, net.fully_connected_activation, kernel_initializer="he_normal", name=f"fc{index}")(x)
        if net.dropout:
            x = layers.Dropout(net.dropout, name=f"fc{index}_dropout")(x)
    if net.dropout and not net.fully_connected:
        x = layers.Dropout(net.dropout, name="dropout")(x)
    # In float32 under every dtype policy: float16 rounds small probabilities to zero.
    return layers.Dense(classes, activation, dtype="float32", name="predictions")(x)
