"""The feature pyramid of a network: its maps by level, as detectors and segmentation networks take them.

A level is a stride, and is read off the graph, so that any functional model has a pyramid. It is not the stage that freezing and
learning rates go by (`models/stages.py`): the stem and the first stage of a ResNet have the same stride, and the stages of
Inception-v3 have none. The file stands beside what else rewrites models, since a backbone is a copy of the layers before its
maps. Detectors are saved with their backbone, so importing the package imports this file, which registers the class.
"""

import collections
from collections.abc import Iterable

import keras

from keras_senet.errors import InputError
from keras_senet.keras_internals import all_layers, layer_behind, layer_calls
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.clone import copied, rewritten
from keras_senet.rewrite.dilation import dilated
from keras_senet.rewrite.graph import as_functional, data_format_of, has_graph, layers_by_name, run_through
from keras_senet.rewrite.strides import IMAGE, map_sizes, stride


@keras.saving.register_keras_serializable("keras_senet")
class Backbone(keras.Model):
    """A functional model from images to feature maps by level, `{"P2": ..., "P5": ...}`, as `keras_senet.backbone` makes it.

    Level n is named after the stride of 2 ** n pixels that its map has, or would have without dilation. The detectors and
    segmentation networks of keras-hub take it as `image_encoder`, and those of keras-cv as `backbone`.

    Example:

    >>> backbone = keras_senet.backbone(keras_senet.SEResNet20(weights=None), levels=(1, 2))
    >>> backbone.strides, backbone.channels
    ({'P1': 2, 'P2': 4}, {'P1': 32, 'P2': 64})
    """

    # It has no `__init__`: then Keras saves it as the functional model that it is.

    @property
    def strides(self) -> dict[str, int]:
        """By level, pixels of the image for each position of the map."""
        sizes = map_sizes(self)
        return {level: stride(sizes[id(tensor)]) for level, tensor in self.output.items()}

    @property
    def channels(self) -> dict[str, int]:
        """By level, the channels of the map."""
        return {level: tensor.shape[channel_axis(data_format_of(self))] for level, tensor in self.output.items()}

    @property
    def pyramid_outputs(self) -> dict[str, keras.KerasTensor]:
        """The symbolic maps by level, as keras-hub reads them."""
        return dict(self.output)

    @property
    def pyramid_level_inputs(self) -> dict[str, str]:
        """The name of the layer behind each map by level, as keras-cv reads them.

        Raises:
            ValueError: if such a layer is called more than once, so that its name means more than one map.
        """
        behind = {level: layer_behind(tensor) for level, tensor in self.output.items()}
        calls = collections.Counter(call.layer.name for call in layer_calls(self))
        for level, layer in behind.items():
            if calls[layer.name] > 1:
                raise InputError(
                    f"keras-cv finds maps by the names of layers, and {layer.name!r}, the layer of {level}, is called more than "
                    "once. Build the network with a layer of its own in each place."
                )
        return {level: layer.name for level, layer in behind.items()}


def backbone(
    model: keras.Model,
    levels: Iterable[int] = (2, 3, 4, 5),
    *,
    output_stride: int | None = None,
    freeze_norm: bool = False,
) -> Backbone:
    """The feature pyramid of a network: a model from images to some of its maps, for a detector or a segmentation network.

    The map of level n has a stride of 2 ** n pixels: of all maps with that stride it is the last one through which everything
    that follows goes. In a ResNet that is the output of a stage, as in the papers on feature pyramids. In MobileNetV2 it is the
    expansion of the next block, as in SSDLite.

    The input is that of `model`. Without their classifiers, by `include_top=False`, our networks and those of
    keras.applications take images of any size. Ours take RGB pixels in [0, 255], unless they were built with
    `include_preprocessing=False`: do not normalize images for them again.

    Args:
        model: a functional or sequential Keras model of one image `(N, H, W, C)`, or `(N, C, H, W)` with `"channels_first"`, with
            a classifier or without; it stays as it is. Layers of models within it become layers of the backbone.
        levels: the levels, such as (3, 4, 5).
        output_stride: 8 or 16, the largest stride of a map, as for segmentation. Strides beyond it are 1, and windows behind them
            are dilated instead. The levels keep their names: with 8, "P5" has a stride of 8, which the networks of keras-cv and
            keras-hub do not expect. At every position that both have, a map is equal to that of `model`, if the sides of the
            image are multiples of its stride there; except that gates, as those of SE, see means over more positions.
        freeze_norm: whether to freeze batch normalization. It then keeps its statistics, scales and offsets also in training, as
            it should where a batch has few images. That is saved with the backbone. (If you set `trainable` of the backbone,
            Keras sets it in all of its layers, these included.)

    Returns:
        A `Backbone`, a functional model with weights of its own that outputs `{"P2": ..., "P5": ...}`. It has the layers before
        these maps, under their names. Its attributes `strides` and `channels` tell those of each map, `pyramid_outputs` is what
        keras-hub reads, and `pyramid_level_inputs` what keras-cv does.

    Raises:
        ValueError: if `model` is a subclassed one, does not take one batch of images, or has no map of one of the levels; or if
            `levels` are no distinct levels; or if `output_stride` is another number, no stride is beyond it, or a layer beyond it
            cannot be dilated.

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", arXiv 1612.03144, section 3, for the levels; Chen et al.,
        "DeepLab", arXiv 1606.00915, section 3.1, for dilation in the place of strides.

    Example:

    >>> network = keras_senet.SEResNet18(weights=None, include_top=False)
    >>> backbone = keras_senet.backbone(network, levels=(3, 4, 5), freeze_norm=True)
    >>> maps = backbone(np.zeros((1, 96, 160, 3)))
    >>> {level: feature_map.shape for level, feature_map in maps.items()}
    {'P3': TensorShape([1, 12, 20, 128]), 'P4': TensorShape([1, 6, 10, 256]), 'P5': TensorShape([1, 3, 5, 512])}
    """
    wanted = _check_levels(levels)
    if output_stride not in (None, 8, 16):
        raise InputError(f"`output_stride` must be 8, 16 or None. Received: output_stride={output_stride!r}")
    flat = _flattened(as_functional(model))
    if len(flat.inputs) != 1 or len(flat.inputs[0].shape) != 4:
        raise InputError(
            f"A pyramid is of a network of one batch of images, (N, H, W, C). Received: {model.name!r}, which takes "
            f"{model.input_shape}"
        )
    maps = _maps(flat, wanted)
    # Cut first, so that no weights of a classifier are copied.
    cut = keras.Model(flat.inputs[0], list(maps.values()), name=f"{model.name}_backbone")
    copy = rewritten(cut) if output_stride is None else dilated(cut, output_stride)
    if freeze_norm:
        for layer in all_layers(copy):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    # One tensor, not a list: keras-cv asks the input of its backbone for a shape.
    return Backbone(copy.inputs[0], dict(zip(maps, copy.outputs, strict=True)), name=copy.name)


def _check_levels(levels: Iterable[int]) -> list[int]:
    found = list(levels) if isinstance(levels, Iterable) and not isinstance(levels, str) else []
    if not found or not all(type(level) is int and level >= 0 for level in found) or len({*found}) < len(found):
        raise InputError(
            f"`levels` must be distinct numbers, such as (3, 4, 5) for strides of 8, 16, 32. Received: levels={levels!r}"
        )
    return sorted(found)


def _flattened(model: keras.Model) -> keras.Model:
    """The same layers in one graph: those of models within a functional model stand among the others."""
    if not any(has_graph(layer) for layer in model.layers):
        return model
    by_name = collections.defaultdict(set)
    for path, layer in layers_by_name(model).items():
        if not has_graph(layer):
            by_name[path.rpartition("/")[2]].add(id(layer))
    if twice := [name for name, found in by_name.items() if len(found) > 1]:
        raise InputError(f"Two layers of the models within {model.name!r} are named {twice[0]!r}: give each a name of its own.")
    inputs = keras.tree.map_structure(lambda x: copied(layer_behind(x)).output, model.input)
    outputs = run_through(model, inputs, lambda name, layer, *args, **kwargs: layer(*args, **kwargs))
    return keras.Model(inputs, outputs, name=model.name)


def levels_of(model: keras.Model) -> dict[int, keras.KerasTensor]:
    """The map of each level that a functional model has, from the largest map to the smallest."""
    sizes = map_sizes(model)
    levels = {}
    for tensor in _necks(model):
        pixels = stride(sizes[id(tensor)])
        if pixels is not None and pixels.bit_count() == 1:
            levels[pixels.bit_length() - 1] = tensor  # of several maps with one stride, the last
    return levels


def _maps(model: keras.Model, levels: list[int]) -> dict[str, keras.KerasTensor]:
    """The maps of some levels of a functional model, by the names of the levels.

    Raises:
        ValueError: if it has no map of a level.
    """
    found = levels_of(model)
    if not found.keys() >= {*levels}:
        sizes = map_sizes(model)
        missing = ", ".join(str(2**level) for level in levels if level not in found)
        has = f"It has the levels {', '.join(map(str, sorted(found)))}. " if found else ""
        shown = dict.fromkeys(" x ".join(map(str, sizes[id(tensor)])) for tensor in _necks(model) if sizes[id(tensor)])
        raise InputError(
            f"{model.name!r} has no map of a stride of {missing} through which all that follows goes. {has}For an image of "
            f"{IMAGE[0]} x {IMAGE[1]} pixels its maps have {', '.join(shown)}. Received: levels={tuple(levels)}"
        )
    return {f"P{level}": found[level] for level in levels}


def _necks(model: keras.Model) -> list[keras.KerasTensor]:
    """The tensors through which all that follows goes, from the input to the output."""
    calls = layer_calls(model)
    last_read = {id(tensor): number for number, call in enumerate(calls) for tensor in call.inputs}
    necks, waiting = [], {id(tensor) for tensor in model.inputs}
    for number, call in enumerate(calls):
        waiting = {key for key in waiting | {id(tensor) for tensor in call.outputs} if last_read.get(key, -1) > number}
        if waiting <= {id(call.outputs[0])}:
            necks.append(call.outputs[0])
    return necks
