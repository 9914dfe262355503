"""The gates of a network for given images."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_senet.errors import InputError
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.graph import check_graph, has_graph, inputs_of, run_through
from keras_senet.rewrite.recognition import se_blocks


def gates(model: keras.Model, images, batch_size: int = 32) -> dict[str, np.ndarray]:
    """The gates of each layer that gates its input, `SqueezeExcite` and its relatives, from one pass over the images.

    SE that other libraries write as separate layers, as EfficientNet and MobileNetV3 in `keras.applications` do, is found and
    read, too.

    Args:
        model: functional or sequential Keras model, which may contain others.
        images: pixels as the model takes them: an array of shape `(N, H, W, C)`, or an iterable of such batches.
        batch_size: number of images at a time, if `images` is an array.

    Returns:
        Float32 gates by layer name, in the order in which the layers run. Their shape is `(N, C)`, or `(N, H, W, C)` in every
        data format if each position has its own gates, with 1 for C if all channels share them. A layer of a nested model is
        named `<model>/<layer>`; the second run of a layer is named `<layer>:2`, and so on. A block of separate layers is named
        `<block>_se`, such as "block1a_se" in EfficientNet and "expanded_conv_se" in MobileNetV3.

    Raises:
        ValueError: if the model has no graph, no such layer or several inputs, or there are no images.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507, section 7.2.

    Example:

    >>> model = keras_senet.SEResNet20(weights=None)
    >>> keras_senet.gates(model, np.zeros((5, 32, 32, 3)))["stage4_block3_se"].shape
    (5, 64)
    """
    reader = GateReader(model)
    if hasattr(images, "shape"):
        images = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    batches = [reader.predict_on_batch(np.asarray(batch)) for batch in images]
    if not batches:
        raise InputError("There are no images to read the gates for: `images` is empty.")
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def gate_names(model: keras.Model) -> list[str]:
    """The names of the layers that `gates` reads, sorted, found without an image.

    Raises:
        ValueError: as for `gates`.
    """
    return sorted(GateReader(model).compute_output_spec(model.inputs[0]))


class GateReader(keras.Model):
    """A model that outputs the gates of another model, in the form that `gates` returns.

    Args:
        network: model to read, which shares its weights.
        average: whether to average gates of single positions over the positions, so that all gates have the shape `(N, C)`.
    """

    def __init__(self, network: keras.Model, average: bool = False):
        super().__init__(dtype="float32")  # a lower precision would round the pixels
        check_graph(network)
        if not has_gates(network):
            raise InputError(
                f"{network.name!r} has no layer with gates to read, such as SqueezeExcite. Build it with attention='se'."
            )
        if len(network.inputs) != 1:
            raise InputError(f"Gates are read for images alone. Received: {network.name!r} with {len(network.inputs)} inputs.")
        self.network = network
        self.average = average
        self._products = {id(block.product): block for block in se_blocks(network).values()}
        # XLA would take longer to compile than to run, and on JAX the dictionary would lose its order.
        self.compile(jit_compile=False)

    def call(self, images):
        gates_by_name = {}

        def read(name, layer, *args, **kwargs):
            block = self._products.get(id(layer))
            if isinstance(layer, FeatureGate):
                inputs = ops.cast(inputs_of(*args, **kwargs), layer.compute_dtype)  # as calling the layer does
                gates = ops.cast(layer.gates(inputs), "float32")
                if len(gates.shape) == 4:
                    gates = ops.moveaxis(gates, layer.channel_axis, -1)
                    gates = ops.mean(gates, axis=(1, 2)) if self.average else gates
            elif block:
                name = name.removesuffix(layer.name) + block.name
                gates = ops.cast(block.gates(*args, **kwargs), "float32")
            else:
                return layer(*args, **kwargs)
            runs = 1 + sum(key.partition(":")[0] == name for key in gates_by_name)
            gates_by_name[name if runs == 1 else f"{name}:{runs}"] = gates
            return layer(*args, **kwargs)

        run_through(self.network, ops.cast(images, self.network.inputs[0].dtype), read)
        return gates_by_name


def has_gates(model: keras.Model) -> bool:
    """Whether a model that has a graph has a layer that `gates` reads."""
    has_layer = any(isinstance(layer, FeatureGate) or (has_graph(layer) and has_gates(layer)) for layer in model.layers)
    return has_layer or bool(se_blocks(model))


def last_of_stages(gates: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The gates of the last layer of each stage: of neighbors with as many channels, the last.

    The later the layer, the more its gates depend on the image. Layers with one gate for all channels choose none, and are left
    out.
    """
    layers = [item for item in gates.items() if item[1].shape[-1] > 1]
    return dict(list(stage)[-1] for _, stage in itertools.groupby(layers, key=lambda item: item[1].shape[-1]))
