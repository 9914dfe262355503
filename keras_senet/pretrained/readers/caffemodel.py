"""The authors' .caffemodel files, read with the few fields of Caffe's schema that hold names and parameters of layers."""

import functools
import importlib.resources

import numpy as np

from keras_senet.errors import InputError, one_line

# message: {field: (number, type)}; github.com/BVLC/caffe, src/caffe/proto/caffe.proto
_SCHEMA = {
    "NetParameter": {"layer": (100, "LayerParameter")},
    "LayerParameter": {"name": (1, "string"), "type": (2, "string"), "blobs": (7, "BlobProto")},
    "BlobProto": {
        "num": (1, "int32"),
        "channels": (2, "int32"),
        "height": (3, "int32"),
        "width": (4, "int32"),
        "data": (5, "float"),
        "shape": (7, "BlobShape"),
    },
    "BlobShape": {"dim": (1, "int64")},
}
# The WordNet ids of ImageNet's classes as the authors count them (github.com/hujie-frank/SENet, issues 25 and 63).
_CLASS_ORDER = importlib.resources.files(__package__).joinpath("caffe_class_order.txt").read_text(encoding="utf-8").split()
_REPEATED = ("layer", "blobs", "data", "dim")


def read_caffemodel(path: str) -> dict[str, np.ndarray]:
    """The parameters of a network that Caffe saved.

    Args:
        path: `.caffemodel` file.

    Returns:
        Arrays, named after their Caffe layer with `/weight` or `/bias`, or `/running_mean` or `/running_var` for layers of type
        BatchNorm. The kernel of the first convolution is for RGB images, as in our networks, instead of Caffe's BGR. A classifier
        of ImageNet's 1,000 classes has them in the order of their WordNet ids, as all others have, instead of ILSVRC's own.

    Raises:
        ValueError: if the file is damaged or has no parameters.
    """
    from google.protobuf.message import DecodeError

    network = _network_class()()
    try:
        with open(path, "rb") as file:
            network.ParseFromString(file.read())
        parameters: dict[str, np.ndarray] = {}
        for layer in network.layer:
            parameters |= _of_layer(layer)
    except (DecodeError, IndexError, ValueError) as error:
        raise InputError(f"{path} is damaged, or not a .caffemodel file: {one_line(error)}") from error
    if not parameters:
        raise InputError(f"{path} holds no parameters: it is damaged, or not a .caffemodel file of Caffe's current format.")
    image_kernel = next((name for name, value in parameters.items() if value.ndim == 4), None)
    if image_kernel is not None:
        parameters[image_kernel] = parameters[image_kernel][:, ::-1]
    for name in ("classifier/weight", "classifier/bias"):
        if len(parameters.get(name, ())) == len(_CLASS_ORDER):
            parameters[name] = parameters[name][np.argsort(_CLASS_ORDER)]
    return parameters


def _of_layer(layer) -> dict[str, np.ndarray]:
    blobs = [_array(blob) for blob in layer.blobs]
    if layer.type == "BatchNorm":  # sums of means and of variances, and the divisor of both
        mean, variance, divisors = blobs
        divisor = divisors.item() or 1.0
        return {f"{layer.name}/running_mean": mean / divisor, f"{layer.name}/running_var": variance / divisor}
    if layer.type == "InnerProduct":  # in older files the matrix has two more axes of length 1
        blobs[0] = blobs[0].reshape(blobs[0].shape[-2:])
    blobs[1:] = [blob.ravel() for blob in blobs[1:]]
    return dict(zip((f"{layer.name}/weight", f"{layer.name}/bias"), blobs, strict=False))


def _array(blob) -> np.ndarray:
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    return np.array(blob.data, np.float32).reshape(shape)


@functools.cache
def _network_class() -> type:
    """The protobuf message of a network."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="keras_senet/caffe.proto", package="keras_senet_caffe", syntax="proto2")
    for message, fields in _SCHEMA.items():
        described = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            descriptor = described.field.add(name=field, number=number)
            descriptor.label = field_types.LABEL_REPEATED if field in _REPEATED else field_types.LABEL_OPTIONAL
            if kind in _SCHEMA:
                descriptor.type, descriptor.type_name = field_types.TYPE_MESSAGE, f".{file.package}.{kind}"
            else:
                descriptor.type = getattr(field_types, f"TYPE_{kind.upper()}")
            descriptor.options.packed = field == "data"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.NetParameter"))
