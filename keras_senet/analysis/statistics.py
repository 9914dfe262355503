"""Statistics of the gates of a network over a whole dataset, by channel and by class."""

import dataclasses
from collections.abc import Iterable, Sequence

import keras
import numpy as np

from keras_senet.analysis.gate_reader import GateReader
from keras_senet.errors import InputError, did_you_mean, named
from keras_senet.rewrite.places import matching_names

OFF, ON = 0.01, 0.99  # gates below and above are saturated
STILL = 0.01  # a channel never moves if its gates differ by less


@dataclasses.dataclass(frozen=True)
class LayerGates:
    """Statistics of the gates of one layer over many images. Gates of single positions are averaged over the positions first.

    All arrays are float64.

    Attributes:
        name: name of the layer, as in `gates`.
        mean: mean of each channel, `(C,)`.
        std: standard deviation of each channel over the images, `(C,)`.
        min: minimum of each channel, `(C,)`.
        max: maximum of each channel, `(C,)`.
        by_class: mean by class and channel, `(classes, C)`; NaN for a class without images.
        std_by_class: standard deviation over the images of a class, by class and channel, `(classes, C)`; NaN likewise.
        off: share of all gates that are below 0.01, in [0, 1].
        on: share of all gates that are above 0.99, in [0, 1].
        separability: how well the gates separate the classes: the variance of the class means, divided by the variance within
            classes. Classes are weighted by their images, and both variances are summed over the channels first, so that channels
            count in proportion to their variance. 0 if no gate moves. If the gates do not depend on the class, it is about
            classes / images.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> layer = statistics.layers[0]
    >>> layer.mean.shape, layer.by_class.shape, layer.never_moves.shape
    ((16,), (2, 16), (16,))
    """

    name: str
    mean: np.ndarray
    std: np.ndarray
    min: np.ndarray
    max: np.ndarray
    by_class: np.ndarray
    std_by_class: np.ndarray
    off: float
    on: float
    separability: float

    @property
    def never_moves(self) -> np.ndarray:
        """Whether the largest and the smallest gate of each channel differ by less than 0.01, booleans `(C,)`."""
        return self.max - self.min < STILL

    @property
    def always_off(self) -> np.ndarray:
        """Whether all gates of each channel are below 0.01, booleans `(C,)`."""
        return self.max < OFF

    def summary(self) -> dict[str, str | int | float]:
        """The layer in a few numbers. `spread` is the root mean square of the channels' standard deviations."""
        return {
            "layer": self.name,
            "channels": len(self.mean),
            "mean": float(self.mean.mean()),
            "spread": float(np.sqrt(np.mean(self.std**2))),
            "off": self.off,
            "on": self.on,
            "never_move": int(self.never_moves.sum()),
            "always_off": int(self.always_off.sum()),
            "separability": self.separability,
        }


@dataclasses.dataclass(frozen=True)
class GateStatistics:
    """The gates of a network over a dataset.

    Attributes:
        layers: statistics of each layer, in the order in which the layers run.
        class_names: names of the classes.
        images: number of images of each class, int64 `(classes,)`.

    Example:

    >>> model = keras.Sequential([keras.Input((8, 8, 16)), keras_senet.layers.SqueezeExcite(4, name="se")])
    >>> batches = [(np.random.rand(4, 8, 8, 16), np.eye(2)[[0, 1, 0, 1]])]
    >>> statistics = keras_senet.analysis.gate_statistics(model, batches, ["cat", "dog"])
    >>> statistics.class_names, statistics.images, [layer.name for layer in statistics.layers]
    (['cat', 'dog'], array([2, 2]), ['se'])
    """

    layers: tuple[LayerGates, ...]
    class_names: list[str]
    images: np.ndarray

    def of_layers(self, chosen: Sequence[str]) -> "GateStatistics":
        """The same statistics with some layers only.

        Args:
            chosen: names of layers, or regular expressions that match the whole name.

        Raises:
            ValueError: if one is neither; the message suggests the nearest names.
        """
        names = chosen_layers(chosen, [layer.name for layer in self.layers])
        return dataclasses.replace(self, layers=tuple(layer for layer in self.layers if layer.name in names))


def gate_statistics(model: keras.Model, batches: Iterable, class_names: Sequence[str]) -> GateStatistics:
    """Statistics of the gates of each layer over a dataset of any size.

    Only one batch is in memory at a time, and two numbers for each class and channel: for SE-ResNet-50 on ImageNet, with 1000
    classes and 15,104 channels, 2 x 121 MB. The result is as large, and takes their place layer by layer.

    Args:
        model: model, as for `gates`.
        batches: iterable of pairs of pixels as the model takes them, `(N, H, W, C)`, and one-hot labels `(N, classes)`.
        class_names: names of the classes.

    Returns:
        The `GateStatistics`.

    Raises:
        ValueError: as for `gates`; or if an image has no label, or labels have another number of classes.

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
    layers: dict[str, _RunningStatistics] = {}
    for pixels, labels in batches:
        labels = np.asarray(labels)
        if not len(labels):  # every image of the batch is damaged
            continue
        if labels.shape[1:] != (len(class_names),):
            raise InputError(
                f"Labels must be one-hot, of shape (N, {len(class_names)}) for these classes. Received: {labels.shape}"
            )
        if not labels.any(axis=1).all():
            raise InputError("Some images have no label: take another split.")
        for name, gates in reader.predict_on_batch(np.asarray(pixels)).items():
            if name not in layers:
                layers[name] = _RunningStatistics(len(class_names), gates[0])
            layers[name].add(gates, labels)
    if not layers:
        raise InputError("There are no images to read the gates for: `batches` is empty.")
    images = next(iter(layers.values())).images
    # `pop`, because what a layer has summed up is as large as its statistics.
    found = tuple(layers.pop(name).result(name) for name in list(layers))
    return GateStatistics(found, list(class_names), images)


class _RunningStatistics:
    """Statistics of the gates of one layer, updated batch by batch.

    Means and sums of squared deviations are kept by class, and those of a batch are merged into them. Sums of squares would be
    less code, but where gates vary little about their mean, the difference of two large sums has no correct digits.

    Source: Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983, equation 2.1.
    """

    def __init__(self, classes: int, first: np.ndarray):
        self.first = first.astype(np.float64)  # gates minus this, so that a gate that never moves is exactly 0
        self.images = np.zeros(classes, np.int64)
        self.means = np.zeros((classes, len(first)))
        self.squares = np.zeros((classes, len(first)))
        self.min = self.max = self.first
        self.off = self.on = np.int64(0)

    def add(self, gates: np.ndarray, labels: np.ndarray) -> None:
        present = labels.any(axis=0)
        members = labels[:, present].astype(bool).astype(np.float64)
        differences = gates - self.first
        count = members.sum(axis=0)[:, np.newaxis]
        means = members.T @ differences / count
        squares = members.T @ (differences - members @ means) ** 2
        before = self.images[present][:, np.newaxis]
        step = means - self.means[present]
        self.means[present] += step * count / (before + count)
        self.squares[present] += squares + step**2 * before * count / (before + count)
        self.images[present] += count[:, 0].astype(np.int64)
        self.min = np.minimum(self.min, gates.min(axis=0))
        self.max = np.maximum(self.max, gates.max(axis=0))
        self.off += np.count_nonzero(gates < OFF)
        self.on += np.count_nonzero(gates > ON)

    def result(self, name: str) -> LayerGates:
        count, shares = self.images.sum(), self.images / self.images.sum()
        mean = shares @ self.means
        between = shares @ (self.means - mean) ** 2
        within = self.squares.sum(axis=0) / count
        with np.errstate(divide="ignore"):
            separability = between.sum() / within.sum() if between.any() else 0.0
        images = np.where(self.images, self.images, np.nan)[:, np.newaxis]  # NaN makes NaN of classes without images
        return LayerGates(
            name,
            mean=self.first + mean,
            std=np.sqrt(between + within),
            min=self.min,
            max=self.max,
            by_class=self.first + self.means * (images / images),
            std_by_class=np.sqrt(self.squares / images),
            off=float(self.off / (count * len(mean))),
            on=float(self.on / (count * len(mean))),
            separability=float(separability),
        )


def chosen_layers(chosen: Sequence[str], names: Sequence[str]) -> list[str]:
    """The layers that are meant, in the order of `names`.

    Args:
        chosen: names of layers, or regular expressions that match the whole name, with the models around a layer or without.
        names: names of all layers, as in `gates`.

    Raises:
        ValueError: if one of them matches no layer; the message suggests the nearest names.
    """
    matching = {name for text in chosen for name in matching_names(text, names, argument="layers")}
    return [name for name in names if name in matching]


def class_indices(names: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """The indices of the classes called `names`.

    Raises:
        ValueError: if there is no class of a name; the message suggests the nearest names.
    """
    for name in names:
        if name not in class_names:
            near = did_you_mean(name, class_names) or f" They are {named(class_names)}."
            raise InputError(f"There is no class {name!r} among the {len(class_names)}.{near}")
    return [class_names.index(name) for name in names]
