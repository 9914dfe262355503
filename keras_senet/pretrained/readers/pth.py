"""PyTorch's .pth files, read without PyTorch and without running code from them.

Such a file is a pickle, a program that can call any function by name. This unpickler knows only the functions that build tensors
and ordered dicts. It also checks that tensors stay within their storages.
"""

import collections
import dataclasses
import functools
import io
import os
import pickle
import zipfile
from collections.abc import Callable

import ml_dtypes
import numpy as np

from keras_senet.errors import InputError, one_line

# The first number in files of PyTorch before 1.6, which are a stream of pickles and raw bytes instead of a zip archive.
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C

_STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


def read_pth(path: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict that `torch.save` wrote, in either of its formats.

    Args:
        path: file that contains a dict from names to tensors, or such a dict as its item "state_dict" or "model".

    Returns:
        Arrays by name, in the order of the file.

    Raises:
        ValueError: if the file is damaged or contains anything else; no code from it has run.
    """
    try:
        state = _read_zip(path) if zipfile.is_zipfile(path) else _read_stream(path)
    except _RefusedError as error:
        raise InputError(f"{path} is refused: {error}") from None
    except Exception as error:  # a damaged pickle or archive can raise anything
        raise InputError(f"{path} is damaged, or not a .pth file of PyTorch: {one_line(error)}") from error
    if isinstance(state, dict):  # a checkpoint of a training run has its state dict beside the epoch and the optimizer's
        state = next((state[key] for key in ("state_dict", "model") if isinstance(state.get(key), dict)), state)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray) for name, value in dict.items(state)
    ):
        raise InputError(f"{path} is not a state dict: it must hold a dict from names to tensors, as `model.state_dict()` gives.")
    return dict(state)


class _RefusedError(Exception):
    """A file contains more than tensors."""


# The Python implementation: the one in C allocates as many objects as a damaged file claims to have, until memory is full.
class _Unpickler(pickle._Unpickler):
    def __init__(self, file, storage: Callable[[str, np.dtype, int], np.ndarray]):
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch._utils" and name in _REBUILDERS:
            return _REBUILDERS[name]
        if module == "torch" and name in _STORAGES:
            return _StorageType(np.dtype(_STORAGES[name]))
        raise _RefusedError(
            f"it asks to load {module}.{name}, and weights need nothing but tensors. Do not trust it; if it is yours, save "
            "`model.state_dict()` alone."
        )

    def persistent_load(self, saved):
        kind, storage_type, key, _, elements, *view = saved
        known = kind == "storage" and isinstance(storage_type, _StorageType) and isinstance(key, str)
        if not known or any(view) or elements < 0:
            raise pickle.UnpicklingError("a storage is not described as PyTorch does it")
        return self._storage(key, storage_type.dtype, elements)


def _tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_) -> np.ndarray:
    if not isinstance(storage, np.ndarray) or len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise InputError("a tensor is not described as PyTorch does it")
    # NumPy's own check overflows, and skips empty storages.
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    if 0 not in shape and last >= len(storage):
        raise InputError("a tensor reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, tuple(stride * storage.itemsize for stride in strides))


def _parameter(tensor: np.ndarray, *_) -> np.ndarray:
    return tensor


_REBUILDERS = {"_rebuild_tensor": _tensor, "_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}


def _read_zip(path: str):
    """PyTorch 1.6 and later: a zip archive of one pickle, and one file for each storage."""
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InputError(f"a .pth archive holds one data.pkl, and this one {len(pickles)}")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise InputError("its numbers are big-endian")

        # Otherwise a small file could fill the memory.
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise InputError("it is compressed, which PyTorch does not do")
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise InputError("what it holds is larger than itself")

        @functools.cache
        def storage(key: str, dtype: np.dtype, elements: int) -> np.ndarray:
            values = np.frombuffer(archive.read(f"{folder}data/{key}"), dtype)
            if len(values) != elements:
                raise InputError(f"storage {key} has {len(values)} elements in place of {elements}")
            return values

        return _Unpickler(io.BytesIO(archive.read(pickles[0])), storage).load()


def _read_stream(path: str):
    """PyTorch before 1.6: pickles of a magic number, version, machine, object and keys of storages; then the storages."""
    with open(path, "rb") as file:
        length = file.seek(0, io.SEEK_END)
        file.seek(0)
        storages: dict[str, np.ndarray] = {}

        def storage(key: str, dtype: np.dtype, elements: int) -> np.ndarray:
            """An array for the bytes that are read later; tensors are views of it."""
            if key not in storages:
                if elements * dtype.itemsize > length - sum(other.nbytes for other in storages.values()):
                    raise EOFError("its storages are longer than the file")
                storages[key] = np.empty(elements, dtype)
            return storages[key]

        magic, _, machine, state, keys = (_Unpickler(file, storage).load() for _ in range(5))
        if magic != _STREAM_MAGIC or not machine.get("little_endian"):
            raise InputError("it does not begin as such a file does")
        if sorted(keys) != sorted(storages):
            raise InputError("it does not hold the storages that its tensors are made of")
        for key in keys:
            values = storages[key]
            elements = int.from_bytes(file.read(8), "little")
            if elements != len(values) or file.readinto(values.data.cast("B") if elements else bytearray()) != values.nbytes:
                raise EOFError(f"storage {key} is cut off")
        return state
