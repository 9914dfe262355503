"""The sizes of a network's feature maps, and with them their strides, read off its graph."""

import keras

from keras_senet.keras_internals import layer_calls, run_graph
from keras_senet.layers.data_format import channel_axis
from keras_senet.rewrite.graph import data_format_of

# Height and width of the image. They differ, so that a map which is not a share of the image, such as that of global pooling or
# of an image resized to a fixed size, has no stride.
IMAGE = (256, 512)


def map_sizes(model: keras.Model) -> dict[int, tuple[int, ...]]:
    """Height and width that the maps of a network have for an image of 256 x 512 pixels.

    Args:
        model: a functional model of one batch of images, also if it takes another size, which only some layers mind.

    Returns:
        By the id of each symbolic tensor in the graph of `model`, the sides if it is a map, `(N, H, W, C)` or `(N, C, H, W)`, of
        known size, else ().
    """
    last = channel_axis(data_format_of(model)) == -1
    (image,) = model.inputs
    shape = (1, *IMAGE, image.shape[-1]) if last else (1, image.shape[1], *IMAGE)
    made = []

    def run(layer, *args, **kwargs):
        try:
            made.append(layer.compute_output_spec(*args, **kwargs))
        except Exception:  # whatever a layer raises that takes maps of one size alone, such as Reshape
            made.append(layer.output)
        return made[-1]

    run_graph(model, keras.KerasTensor(shape, image.dtype), run)

    def sides(tensor) -> tuple[int, ...]:
        found = tuple(tensor.shape[1:3] if last else tensor.shape[2:])
        return found if len(tensor.shape) == 4 and None not in found else ()

    calls = layer_calls(model)
    specs = [keras.tree.flatten(each) for each in made]
    return {id(image): IMAGE} | {
        id(tensor): sides(spec)
        for call, found in zip(calls, specs, strict=True)
        for tensor, spec in zip(call.outputs, found, strict=True)
    }


def stride(sides: tuple[int, ...]) -> int | None:
    """The stride of a map with these sides, pixels; None if it is no whole number, or not the same in both directions."""
    found = {side // own if side % own == 0 else None for side, own in zip(IMAGE, sides, strict=True)} if sides else {None}
    return found.pop() if len(found) == 1 else None
