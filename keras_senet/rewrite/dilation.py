"""Dilation in the place of strides: finer maps from the same weights, as segmentation networks want them."""

from typing import NamedTuple

import keras
from keras import layers

from keras_senet.errors import InputError
from keras_senet.keras_internals import layer_calls
from keras_senet.layers import DilatedPooling2D, GatherExcite
from keras_senet.rewrite.clone import copied, rewritten
from keras_senet.rewrite.graph import Graph, data_format_of, inputs_of
from keras_senet.rewrite.strides import map_sizes

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)

_Borders = tuple[tuple[int, int], ...]  # pixels above and below, left and right


class _Change(NamedTuple):
    """What takes the place of a layer.

    Attributes:
        layer: the other layer, not built yet.
        borders: zeros to put around its input.
    """

    layer: keras.layers.Layer
    borders: _Borders = ()


def dilated(model: keras.Model, output_stride: int) -> keras.Model:
    """A network whose strides beyond `output_stride` are 1, and whose later windows are dilated instead.

    At every position that both have, a map is equal to that of `model`, up to rounding, if the sides of the image are multiples
    of its stride there and no layer summarizes the whole map: the gates of SE see means over more positions. Windows within
    attention layers stay as they are.

    Args:
        model: a functional model of one batch of images without models in it; it stays as it is.
        output_stride: the largest stride of a map, pixels.

    Returns:
        A functional model of the same name, inputs and outputs. Pooling that changes is a `DilatedPooling2D`, and where a layer
        needs other padding, a layer `<layer>_border` comes before it.

    Raises:
        ValueError: if the network has no greater stride, or a layer in the way of dilation.

    Source: Chen et al., arXiv 1606.00915, section 3.1.
    """
    changes = _changes(model, output_stride)
    if not changes:
        raise InputError(f"No map of {model.name!r} has a stride above {output_stride}: leave out `output_stride`.")

    def copy(layer):
        return changes[layer.name].layer if layer.name in changes else copied(layer)

    def call(layer, *args, **kwargs):
        if layer.name not in changes or not changes[layer.name].borders:
            return layer(*args, **kwargs)
        x = inputs_of(*args, **kwargs)
        common = {"data_format": layer.data_format, "dtype": layer.dtype_policy, "name": f"{layer.name}_border"}
        return layer(layers.ZeroPadding2D(changes[layer.name].borders, **common)(x))

    return rewritten(model, copy=copy, call=call)


def _changes(model: keras.Model, output_stride: int) -> dict[str, _Change]:
    """What takes the place of some layers, by their names."""
    sizes, graph = map_sizes(model), Graph(model)
    spatial = (1, 2) if data_format_of(model) == "channels_last" else (2, 3)
    strides: dict[int, int] = {}  # of maps in `model`, by the ids of their tensors
    changes: dict[str, _Change] = {}
    for call in layer_calls(model):
        layer, made = call.layer, sizes[id(call.outputs[0])]
        maps = [tensor for tensor in call.inputs if sizes[id(tensor)]]
        if not maps or not made:
            continue
        largest = max(maps, key=lambda tensor: sizes[id(tensor)])  # gates of one position stand beside the map that they multiply
        read, stride = sizes[id(largest)], strides.get(id(largest), 1)
        rate = max(1, stride // output_stride)  # the distance, in the finer map, of what are neighbors in that of `model`
        has_window = isinstance(layer, (*_CONVOLUTIONS, *_POOLINGS))
        # How much coarser the map gets. Sizes do not tell that of a window, which also takes pixels from the borders.
        step = max(layer.strides) if has_window else 1 if made == (1, 1) else max(1, round(read[0] / made[0]))
        strides[id(call.outputs[0])] = stride * step
        if stride * step <= output_stride:
            continue
        change = None
        if has_window:
            # Strides that differ, or that lead past the output stride, leave no rate for what follows.
            if layer.strides != (step, step) or stride * step > output_stride > stride:
                raise _in_the_way(layer, output_stride)
            change = _dilated(layer, read, made, rate)
        elif isinstance(layer, (layers.ZeroPadding2D, layers.Cropping2D)):
            change = _Change(_scaled(layer, rate, spatial))
        elif made not in (read, (1, 1)) or (isinstance(layer, GatherExcite) and layer.extent is None):
            raise _in_the_way(layer, output_stride)  # it resizes the map, or has a kernel as large as the map
        if change is not None:
            if not graph.is_called_once(layer):
                raise _in_the_way(layer, output_stride)
            changes[layer.name] = change
    return changes


def _in_the_way(layer: keras.layers.Layer, output_stride: int) -> InputError:
    return InputError(
        f"{layer.name!r}, a {type(layer).__name__}, cannot be dilated: only convolution, pooling, padding and cropping can, with "
        f"equal strides in both directions and in one place of the network. Leave out output_stride={output_stride}, or levels."
    )


def _dilated(layer: keras.layers.Layer, read: tuple[int, ...], made: tuple[int, ...], rate: int) -> _Change | None:
    """A convolution or pooling without strides for a map that is `rate` times finer; None if it is the same."""
    is_pooling = isinstance(layer, _POOLINGS)
    gaps = (1, 1) if is_pooling else layer.dilation_rate
    windows = [gap * (size - 1) + 1 for size, gap in zip(layer.pool_size if is_pooling else layer.kernel_size, gaps, strict=True)]
    if windows == [1, 1] and layer.strides == (1, 1):
        return None
    borders = []
    for before, after, window, step in zip(read, made, windows, layer.strides, strict=True):
        # So many pixels give one position to each pixel of the map that the strides left out. Of these, the first windows begin
        # where they did.
        missing = step * after - before + window - 1
        first = max(missing - step + 1, 0) // 2 if layer.padding == "same" else 0
        borders.append((rate * first, rate * (missing - first)))
    if is_pooling:
        mode = "max" if isinstance(layer, layers.MaxPooling2D) else "avg"
        common = {"data_format": layer.data_format, "dtype": layer.dtype_policy, "name": layer.name}
        return _Change(DilatedPooling2D(layer.pool_size, rate, tuple(borders), mode, **common))
    config = {"strides": (1, 1), "dilation_rate": tuple(rate * gap for gap in gaps)}
    if layer.padding == "same" and all(first == last for first, last in borders):
        return _Change(copied(layer, **config))
    return _Change(copied(layer, padding="valid", **config), tuple(borders) if any(map(any, borders)) else ())


def _scaled(layer: keras.layers.Layer, rate: int, spatial: tuple[int, int]) -> keras.layers.Layer:
    """Padding or cropping of so many times as many pixels. Along other axes it stays, where it is of channels."""
    name = "padding" if isinstance(layer, layers.ZeroPadding2D) else "cropping"
    axes = (1, 2) if layer.data_format == "channels_last" else (2, 3)
    factors = [rate if axis in spatial else 1 for axis in axes]
    borders = [(factor * first, factor * last) for factor, (first, last) in zip(factors, getattr(layer, name), strict=True)]
    return copied(layer, **{name: tuple(borders)})
