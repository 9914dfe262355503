"""Networks with the weights of synthetic.py, in the files of those that they must equal.

The fixtures hold, for each, the names and shapes of its parameters and the logits that it gives: networks of timm 1.0.31 and
torchvision 0.28 (whole in timm/ and torchvision/, and in narrow/ as make_fixtures.py makes them), and the authors' Caffe
definitions.
"""

import collections
import dataclasses
import functools
import io
import json
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable

import keras
import numpy as np
import synthetic
from make_fixtures import AUTHORS_MOBILENETS, CLASSES, DEPTHS, FIXTURES, MOBILENETS, REGNETS, RULE, WIDTHS
from safetensors.numpy import save_file

import keras_senet
from keras_senet.models import regnet
from keras_senet.models.build import constructor
from keras_senet.models.resnet import features
from keras_senet.pretrained import read_weights

# The constructor for each network of timm in fixtures/timm.
NETWORKS = {
    "legacy_senet154": "SENet154",
    "legacy_seresnet18": "SEResNet18",
    "legacy_seresnet34": "SEResNet34",
    "legacy_seresnet50": "SEResNet50",
    "legacy_seresnet101": "SEResNet101",
    "legacy_seresnet152": "SEResNet152",
    "legacy_seresnext26_32x4d": "SEResNeXt26",
    "legacy_seresnext50_32x4d": "SEResNeXt50",
    "legacy_seresnext101_32x4d": "SEResNeXt101",
    "senet154": "SENet154",
    "seresnet50": "SEResNet50",
    "seresnet101": "SEResNet101",
    "seresnet152": "SEResNet152",
    "seresnet152d": "SEResNet152D",
    "seresnext26d_32x4d": "SEResNeXt26D",
    "seresnext26t_32x4d": "SEResNeXt26T",
    "seresnext50_32x4d": "SEResNeXt50",
    "seresnext101_32x4d": "SEResNeXt101",
    "seresnext101_64x4d": "SEResNeXt101_64x4d",
    "seresnext101_32x8d": "SEResNeXt101_32x8d",
    "seresnext101d_32x8d": "SEResNeXt101D_32x8d",
    "seresnextaa101d_32x8d": "SEResNeXtAA101D_32x8d",
    "seresnextaa101d_32x8d_12k": "SEResNeXtAA101D_32x8d",
    "seresnextaa201d_32x8d": "SEResNeXtAA201D_32x8d",
    "seresnet33ts": "SEResNet33TS",
    "seresnext26ts": "SEResNeXt26TS",
    **{f"resnetrs{depth}": f"ResNetRS{depth}" for depth in (50, 101, 152, 200, 270, 350, 420)},
    **{f"ecaresnet{kind}": f"ECAResNet{kind.upper()}" for kind in ("26t", "50d", "50t", "101d", "269d")},
    "ecaresnetlight": "ECAResNetLight",
    **{f"regnety_{name}": f"RegNetY{name.upper().replace('_', '')}" for name in REGNETS},
    **{name: f"MobileNetV3{'Large' if 'large' in name else 'Small'}" for name in (*MOBILENETS, *AUTHORS_MOBILENETS)},
}
# The same for those of torchvision in fixtures/torchvision.
OF_TORCHVISION = {
    "regnet_y_400mf": "RegNetY004",
    "regnet_y_800mf": "RegNetY008TV",
    "regnet_y_1_6gf": "RegNetY016",
    "regnet_y_3_2gf": "RegNetY032",
    "regnet_y_8gf": "RegNetY080TV",
    "regnet_y_16gf": "RegNetY160",
    "regnet_y_32gf": "RegNetY320",
    "mobilenet_v3_large": "MobileNetV3Large",
    "mobilenet_v3_small": "MobileNetV3Small",
}
# The options of the constructor, by what the name of a network of timm says.
OPTIONS = {"_075": {"width_multiplier": 0.75}, "_050": {"width_multiplier": 0.5}, "_minimal_": {"minimalistic": True}}
NARROW = sorted(file.stem for file in (FIXTURES / "narrow").iterdir())


def narrow(reference: str, name: str = "Narrow") -> Callable[..., keras.Model]:
    """Registers the constructor `name` of the network that is called `reference` in fixtures/narrow."""
    if reference.startswith("regnet"):
        rounded = dataclasses.replace(regnet.regnet_y(**RULE), classes=CLASSES)
        # torchvision rounds 32 to the next multiple of 24, and timm to the nearest.
        widths = rounded.widths if reference in NETWORKS else (16, 48, 72, 144)
        return constructor(name, dataclasses.replace(rounded, widths=widths), regnet.features, f"{name}.")
    whole = getattr(keras_senet, NETWORKS[reference]).architecture
    groups = {} if whole.groups == 1 else {"groups": whole.groups // 2, "width_per_group": 2 * whole.width_per_group}
    if whole.group_size is not None:
        groups = {"group_size": whole.group_size // 4}
    architecture = dataclasses.replace(whole, depths=DEPTHS, widths=WIDTHS, classes=CLASSES, **groups)
    return constructor(name, architecture, features, f"{name}.")


def constructor_of(reference: str) -> Callable[..., keras.Model]:
    """The constructor of our network that must equal the one in fixtures/`reference`.npz."""
    folder, _, name = reference.partition("/")
    if folder == "narrow":
        return narrow(name)
    construct = getattr(keras_senet, (NETWORKS | OF_TORCHVISION)[name])
    options = {}
    for sign, values in OPTIONS.items():
        options |= values if sign in name else {}
    if name not in AUTHORS_MOBILENETS:
        return functools.partial(construct, **options) if options else construct

    def build(weights, **arguments):
        if weights is not None:
            weights = read_weights(weights)
            weights.architecture["publisher"] = "tensorflow"  # as the catalogue says of a checkpoint, since the file does not
        return construct(weights=weights, **options, **arguments)

    return build


def logits(reference: str, size: int) -> np.ndarray:
    return np.load(FIXTURES / f"{reference}.npz")[f"logits_{size}"]


def sizes(reference: str) -> list[int]:
    """The sizes of the images that there are logits for."""
    return [int(name.removeprefix("logits_")) for name in np.load(FIXTURES / f"{reference}.npz") if name.startswith("logits_")]


def shapes(reference: str) -> dict[str, tuple[int, ...]]:
    """The shapes of its parameters, by their names."""
    return {name: tuple(shape) for name, shape in json.loads(str(np.load(FIXTURES / f"{reference}.npz")["parameters"])).items()}


def parameters(reference: str) -> dict[str, np.ndarray]:
    return {name: synthetic.weight(name, shape) for name, shape in shapes(reference).items()}


def write_safetensors(path: pathlib.Path, reference: str) -> pathlib.Path:
    save_file(parameters(reference), path)
    return path


def write_zeros(path: pathlib.Path, reference: str) -> pathlib.Path:
    """A .safetensors file in which all numbers are zero, and which takes no space for them."""
    header, end = {}, 0
    for name, shape in shapes(reference).items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + end)
    return path


class Name:
    """A function or class of PyTorch, which is not installed."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name

    def __call__(self):
        raise AssertionError


class TorchPickler(pickle._Pickler):
    """Pickles arrays as PyTorch pickles tensors."""

    dispatch = pickle._Pickler.dispatch.copy()

    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.storages = {}

    def persistent_id(self, obj):
        if not isinstance(obj, memoryview):
            return None
        key = str(len(self.storages))
        self.storages[key] = bytes(obj)
        return "storage", Name("torch", "FloatStorage"), key, "cpu", len(obj)

    def _save_name(self, obj):
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())

    def _save_array(self, array):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        arguments = (array.ravel().data, 0, array.shape, strides, False, collections.OrderedDict())
        self.save_reduce(Name("torch._utils", "_rebuild_tensor_v2"), arguments, obj=array)

    dispatch[Name] = _save_name
    dispatch[np.ndarray] = _save_array


def write_pth(path: pathlib.Path, reference: str, prefix: str = "", key: str | None = None) -> pathlib.Path:
    """With `prefix` before each name, as wrappers of a network put it; with `key`, beside the epoch of a training run."""
    pickled = io.BytesIO()
    pickler = TorchPickler(pickled)
    state = {prefix + name: value.astype(np.float32) for name, value in parameters(reference).items()}
    pickler.dump(state if key is None else {"epoch": 7, key: state})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled.getvalue())
        for key, numbers in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", numbers)
    return path


def write_caffemodel(path: pathlib.Path, reference: str | dict[str, np.ndarray]) -> pathlib.Path:
    """Written by hand, field by field, after https://protobuf.dev/programming-guides/encoding."""

    def varint(number: int) -> bytes:
        digits = [number >> shift & 127 for shift in range(0, max(number.bit_length(), 1), 7)]
        return bytes([digit | 128 for digit in digits[:-1]] + digits[-1:])

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    def blob(array: np.ndarray) -> bytes:
        dims = field(1, b"".join(map(varint, array.shape)))
        return field(7, field(7, dims) + field(5, array.astype("<f4").tobytes()))

    by_layer = collections.defaultdict(dict)
    described = parameters(reference) if isinstance(reference, str) else reference
    for name, value in described.items():
        layer, _, kind = name.rpartition("/")
        by_layer[layer][kind] = value
    with open(path, "wb") as file:
        for layer, values in by_layer.items():
            if "running_mean" in values:  # Caffe keeps sums, and by what to divide them
                kind, arrays = "BatchNorm", [8 * values["running_mean"], 8 * values["running_var"], np.array([8.0])]
            else:
                kind = "InnerProduct" if layer == "classifier" else "Scale" if layer.endswith("/scale") else "Convolution"
                arrays = [values[name] for name in ("weight", "bias") if name in values]
            content = field(1, layer.encode()) + field(2, kind.encode()) + b"".join(map(blob, arrays))
            file.write(field(100, content))
    return path
