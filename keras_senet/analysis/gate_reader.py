"""What the gates of a network are for given images, and what they are for the classes of a whole dataset."""

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops

from keras_senet.errors import InputError, did_you_mean
from keras_senet.layers import FeatureGate
from keras_senet.rewrite.graph import check_graph, has_graph, inputs_of, run_through

OFF, ON = 0.01, 0.99  # gates below and above are saturated
STILL = 0.01  # a channel never moves if its gates differ by less


def gates(model: keras.Model, images, batch_size: int = 32) -> dict[str, np.ndarray]:
    """The gates of each layer that gates its input: `SqueezeExcite` and its relatives.

    All layers are read in one pass over the images.

    Args:
        model: a functional or sequential Keras model; it may hold other such models.
        images: pixels as the model takes them, an array of shape `(N, H, W, C)`, or an iterable of such batches.
        batch_size: images at a time, where they are an array.

    Returns:
        By the layer's name, in the order in which the layers run, float32 gates of shape `(N, C)`; or `(N, H, W, C)`, whatever
        the data format, where each position has its own, with 1 in place of C where all channels share them. The name of a layer
        in a nested model comes after that model's name and a slash; when a layer runs again, its name ends in ":2", and so on.

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
    read = [reader.predict_on_batch(np.asarray(batch)) for batch in images]
    if not read:
        raise InputError("There are no images to read the gates for: `images` is empty.")
    return {name: np.concatenate([batch[name] for batch in read]) for name in read[0]}


class GateReader(keras.Model):
    """A model whose outputs are the gates of another one, as of `gates`.

    Args:
        network: the model to read; its weights are shared.
        average: whether gates at each position are averaged over the positions, so that all are of shape `(N, C)`.
    """

    def __init__(self, network: keras.Model, average: bool = False):
        super().__init__(dtype="float32")  # another policy would round the pixels
        check_graph(network)
        if not has_gates(network):
            raise InputError(
                f"{network.name!r} has no layer with gates to read, such as SqueezeExcite. Build it with attention='se'."
            )
        if len(network.inputs) != 1:
            raise InputError(f"Gates are read for images alone. Received: {network.name!r} with {len(network.inputs)} inputs.")
        self.network = network
        self.average = average
        # XLA would compile for longer than it runs, and on JAX the layers would lose their order.
        self.compile(jit_compile=False)

    def call(self, images):
        found = {}

        def read(name, layer, *args, **kwargs):
            if isinstance(layer, FeatureGate):
                inputs = ops.cast(inputs_of(*args, **kwargs), layer.compute_dtype)  # as the layer does when it is called
                gates = ops.cast(layer.gates(inputs), "float32")
                if len(gates.shape) == 4:
                    gates = ops.moveaxis(gates, layer.channel_axis, -1)
                    gates = ops.mean(gates, axis=(1, 2)) if self.average else gates
                runs = 1 + sum(key.partition(":")[0] == name for key in found)
                found[name if runs == 1 else f"{name}:{runs}"] = gates
            return layer(*args, **kwargs)

        run_through(self.network, ops.cast(images, self.network.inputs[0].dtype), read)
        return found


def has_gates(model: keras.Model) -> bool:
    """Whether `gates` finds a layer in a model that has a graph."""
    return any(isinstance(layer, FeatureGate) or (has_graph(layer) and has_gates(layer)) for layer in model.layers)


@dataclasses.dataclass(frozen=True)
class LayerGates:
    """The gates of one layer over many images; those at each position were averaged over the positions first.

    Attributes:
        name: the layer's name, as of `gates`.
        mean: of each channel, `(C,)`; like all arrays here float64.
        deviation: standard deviation of each channel over the images, `(C,)`.
        minimum: of each channel, `(C,)`.
        maximum: of each channel, `(C,)`.
        by_class: mean by class and channel, `(classes, C)`; NaN for a class without images.
        off: share of all gates that are below 0.01, in [0, 1].
        on: share of all gates that are above 0.99.
        separability: how far the gates tell the classes apart: the variance of the classes' means over the variance within
            classes, each weighted by its images and summed over the channels before they are divided, so that channels count
            by how much they move. 0 if nothing moves. Gates that know nothing of the classes have about classes / images.
    """

    name: str
    mean: np.ndarray
    deviation: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    by_class: np.ndarray
    off: float
    on: float
    separability: float

    @property
    def never_moves(self) -> np.ndarray:
        """Of each channel, whether its largest and its smallest gate differ by less than 0.01: booleans `(C,)`."""
        return self.maximum - self.minimum < STILL

    @property
    def always_off(self) -> np.ndarray:
        """Of each channel, whether no gate reaches 0.01: booleans `(C,)`."""
        return self.maximum < OFF

    def summary(self) -> dict[str, str | int | float]:
        """The layer in numbers. `spread` is the root mean square of the channels' deviations."""
        return {
            "layer": self.name,
            "channels": len(self.mean),
            "mean": float(self.mean.mean()),
            "spread": float(np.sqrt(np.mean(self.deviation**2))),
            "off": self.off,
            "on": self.on,
            "never_move": int(self.never_moves.sum()),
            "always_off": int(self.always_off.sum()),
            "separability": self.separability,
        }


@dataclasses.dataclass(frozen=True)
class GateStatistics:
    """What `gate_statistics` found.

    Attributes:
        layers: the layers in the order in which they run.
        class_names: names of the classes.
        images: number of images of each class, int64 `(classes,)`.
    """

    layers: tuple[LayerGates, ...]
    class_names: list[str]
    images: np.ndarray


def gate_statistics(model: keras.Model, batches: Iterable, class_names: Sequence[str]) -> GateStatistics:
    """Statistics of the gates of each layer over a dataset of any size.

    One batch is held in memory at a time, beside a few sums for each class and channel: 8 bytes for each of the 1000 classes and
    15,104 channels are 121 MB for SE-ResNet-50 on ImageNet.

    Args:
        model: as for `gates`.
        batches: iterable of pairs of pixels as the model takes them, `(N, H, W, C)`, and one-hot labels, `(N, classes)`.
        class_names: names of the classes.

    Returns:
        The `GateStatistics`.

    Raises:
        ValueError: as `gates`; or if an image has no label, or labels are not for these classes.

    Source: Hu et al., arXiv 1709.01507, section 7.2, for the means by class. Separability is Fisher's ratio ("The use of
        multiple measurements in taxonomic problems", 1936), for several channels as a ratio of traces (Fukunaga, "Introduction
        to Statistical Pattern Recognition", 2nd edition, section 10.2).

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = ((np.random.rand(2, 8, 8, 16), np.eye(2)) for _ in range(3))  # or of `keras_senet.data.evaluation_batches`
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> statistics.images, statistics.layers[0].name, statistics.layers[0].by_class.shape
    (array([3, 3]), 'se', (2, 16))
    """
    reader = GateReader(model, average=True)
    images = np.zeros(len(class_names), np.int64)
    sums: dict[str, _Sums] = {}
    for pixels, labels in batches:
        labels = np.asarray(labels)
        if not len(labels):  # all images of a batch can be damaged
            continue
        if labels.shape[1:] != (len(class_names),):
            raise InputError(
                f"Labels must be one-hot, of shape (N, {len(class_names)}) for these classes. Received: {labels.shape}"
            )
        if not labels.any(axis=1).all():
            raise InputError("Some images have no label: take another split.")
        images += labels.astype(bool).sum(axis=0)
        for name, values in reader.predict_on_batch(np.asarray(pixels)).items():
            if name not in sums:
                sums[name] = _Sums(len(class_names), values[0])
            sums[name].add(values, labels)
    if not sums:
        raise InputError("There are no images to read the gates for: `batches` is empty.")
    return GateStatistics(tuple(one.statistics(name, images) for name, one in sums.items()), list(class_names), images)


class _Sums:
    """What is kept of the gates of one layer."""

    def __init__(self, classes: int, first: np.ndarray):
        self.first = first.astype(np.float64)  # squares of differences from it do not cancel as those of gates would
        self.by_class = np.zeros((classes, len(first)))
        self.squares = np.zeros(len(first))
        self.minimum = self.maximum = self.first
        self.off = self.on = 0

    def add(self, gates: np.ndarray, labels: np.ndarray) -> None:
        differences = gates - self.first
        self.by_class += labels.T @ differences
        self.squares += (differences**2).sum(axis=0)
        self.minimum = np.minimum(self.minimum, gates.min(axis=0))
        self.maximum = np.maximum(self.maximum, gates.max(axis=0))
        self.off += np.count_nonzero(gates < OFF)
        self.on += np.count_nonzero(gates > ON)

    def statistics(self, name: str, images: np.ndarray) -> LayerGates:
        count, shares = images.sum(), images / images.sum()
        mean = self.by_class.sum(axis=0) / count
        of_classes = self.by_class / np.maximum(1, images)[:, np.newaxis]
        variance = np.maximum(0, self.squares / count - mean**2)
        between = shares @ (of_classes - mean) ** 2
        within = max(0.0, (variance - between).sum())
        with np.errstate(divide="ignore"):
            separability = between.sum() / within if between.any() else 0.0
        of_classes[images == 0] = np.nan
        return LayerGates(
            name,
            mean=self.first + mean,
            deviation=np.sqrt(variance),
            minimum=self.minimum,
            maximum=self.maximum,
            by_class=self.first + of_classes,
            off=float(self.off / (count * len(mean))),
            on=float(self.on / (count * len(mean))),
            separability=float(separability),
        )


def class_indices(chosen: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """The places of some classes among all.

    Raises:
        ValueError: if one is not among them; the message has the nearest names.
    """
    for name in chosen:
        if name not in class_names:
            raise InputError(f"There is no class {name!r} among the {len(class_names)}.{did_you_mean(name, class_names)}")
    return [class_names.index(name) for name in chosen]
