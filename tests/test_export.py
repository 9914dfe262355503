"""Exports against the network they came from; exports that must fail; files that are whole or not there."""

import collections
import dataclasses
import os
import pathlib

import flatbuffers
import keras
import numpy as np
import onnx
import pytest
import synthetic
import tensorflow as tf
from ai_edge_litert import schema_py_generated
from ai_edge_litert.interpreter import Interpreter
from common import DEMO

import keras_senet
from keras_senet import data, export, training
from keras_senet.files import replacing

CLASSES = [f"kind {index}" for index in range(10)]


@pytest.fixture(scope="module")
def folder(shallow, tmp_path_factory):
    """A folder with a network that was never trained, for the digits on 8 x 8 pixels."""
    folder = tmp_path_factory.mktemp("network")
    model = shallow("SEResNet20")(input_shape=(8, 8, 3))
    groups = model.trainable_variables, model.non_trainable_variables
    for variables, values in zip(groups, synthetic.weights(model), strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    model.save(folder / "last.keras")
    (folder / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    return folder


@pytest.fixture(scope="module")
def network(folder):
    return keras.saving.load_model(folder / "last.keras")


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    """A folder with the network as TFLite file and as SavedModel."""
    folder = tmp_path_factory.mktemp("exported")
    export.tflite(network, folder / "model.tflite", CLASSES)
    export.saved_model(network, folder / "saved_model", CLASSES)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.tflite", "saved_model"])
def test_an_export_classifies_real_images_as_the_network_does(name, exported, folder, data_dir):
    images = data.load("digits", "test[:60]", data_dir)
    original, copy = (export.open_classifier(path) for path in (folder / "last.keras", exported / name))
    pixels = next(iter(data.evaluation_batches(images, keras_senet.Preprocessing(8), 60)))[0].numpy()
    np.testing.assert_allclose(copy.probabilities(pixels), original.probabilities(pixels), atol=1e-4)
    same = dataclasses.replace(images, class_names=CLASSES)
    assert training.evaluate(copy, same).top1 == training.evaluate(original, images).top1
    assert copy.class_names == CLASSES
    assert original.class_names == [str(digit) for digit in range(10)]


@pytest.mark.slow
def test_a_saved_model_takes_encoded_images_of_any_size(exported, network, image_folder):
    loaded = tf.saved_model.load(str(exported / "saved_model"))
    assert set(loaded.signatures) == {"serving_default", "serve_encoded"}
    files = sorted(image_folder.glob("*/*.jpg"))[:5]
    encoded = tf.constant([file.read_bytes() for file in files])
    probabilities = loaded.signatures["serve_encoded"](image_bytes=encoded)["probabilities"]
    expected = network(np.stack([data.read_image(file, keras_senet.Preprocessing(8)) for file in files]))
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_a_grouped_convolution_stays_one_operator(tmp_path):
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(32, 3)(images)
    x = keras_senet.layers.GroupedConv2D(64, 3, groups=8)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
    export.tflite(keras.Model(images, x), tmp_path / "grouped.tflite")
    interpreter = Interpreter(str(tmp_path / "grouped.tflite"))
    operators = collections.Counter(operator["op_name"] for operator in interpreter._get_ops_details())
    assert operators["CONV_2D"] == 2
    assert not operators["SPLIT"] + operators["CONCATENATION"]


class Drifting(keras.layers.Layer):
    """Computes something else each time that it is traced, as an export gone wrong would."""

    traces = 0

    def call(self, inputs):
        Drifting.traces += 1  # in copies of the layer, too
        return inputs * self.traces

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.parametrize(("write", "name"), [(export.tflite, "wrong.tflite"), (export.saved_model, "wrong")])
def test_an_export_that_computes_something_else_leaves_nothing_behind(write, name, tmp_path):
    images = keras.Input((8, 8, 3))
    probabilities = keras.layers.Softmax()(Drifting()(keras.layers.GlobalAveragePooling2D()(images)))
    with pytest.raises(ValueError, match="does not compute what the model computes: the largest difference"):
        write(keras.Model(images, probabilities), tmp_path / name)
    assert not os.listdir(tmp_path)


@pytest.mark.slow
def test_an_export_replaces_an_older_one_but_nothing_else(network, exported, tmp_path):
    for write, name in ((export.tflite, "model.tflite"), (export.saved_model, "saved_model")):
        before = (exported / name).stat().st_ino
        write(network, exported / name, CLASSES)
        assert (exported / name).stat().st_ino != before
    assert set(os.listdir(exported)) == {"labels.txt", "model.tflite", "saved_model"}
    (tmp_path / "thesis").mkdir()
    with pytest.raises(ValueError, match="is not a SavedModel"):
        export.saved_model(network, tmp_path / "thesis")
    with pytest.raises(ValueError, match="class names of another network"):
        export.tflite(network, exported / "other.tflite", CLASSES[::-1])
    assert not (exported / "other.tflite").exists()


def test_what_cannot_be_exported_is_refused(network, tmp_path):
    dynamic = keras_senet.SEResNet20(include_top=False, pooling="avg")
    headless = keras_senet.SEResNet20(include_top=False, input_shape=(32, 32, 3))
    for write, name in ((export.tflite, "a.tflite"), (export.saved_model, "a")):
        with pytest.raises(ValueError, match="one probability a class"):
            write(headless, tmp_path / name)
        with pytest.raises(ValueError, match="has 2 names, but .* has 10 classes"):
            write(network, tmp_path / name, ["a", "b"])
        with pytest.raises(ValueError, match="one fixed square size"):
            write(dynamic, tmp_path / name)
        with pytest.raises(FileNotFoundError, match="no folder"):
            write(network, tmp_path / "missing" / name)
    with pytest.raises(ValueError, match="ends in .tflite"):
        export.tflite(network, tmp_path / "a.lite")
    assert not os.listdir(tmp_path)


def test_versions_for_tensorflow_serving_may_differ_in_their_classes(tmp_path):
    (tmp_path / "labels.txt").write_text("of\nanother\nfile\n")
    images = keras.Input((8, 8, 3))
    maps = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(images))
    for version, names in (("1", ["cat", "dog"]), ("2", ["cat", "dog", "fox", "owl"])):
        network = keras.Model(images, keras.layers.Dense(len(names), "softmax")(maps))
        export.saved_model(network, tmp_path / version, names, signature="pixels")
        assert (tmp_path / version / "labels.txt").read_text().split() == names
        assert [*tf.saved_model.load(str(tmp_path / version)).signatures] == ["serving_default"]
    for version, names in (("1", ["cat", "dog"]), ("2", ["cat", "dog", "fox", "owl"])):
        opened = export.open_classifier(tmp_path / version)
        assert (opened.class_names, opened.labels_file) == (names, tmp_path / version / "labels.txt")
    before = (tmp_path / "2").stat().st_ino
    with pytest.raises(ValueError, match=r"would not notice another network in its place: write the next version, .*\b3, or"):
        export.saved_model(network, tmp_path / "1", names)
    assert (tmp_path / "2").stat().st_ino == before
    (tmp_path / "2" / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(ValueError, match="2/labels.txt names 2 classes, but the network it is in has 4"):
        export.open_classifier(tmp_path / "2")
    with pytest.raises(ValueError, match="`signature` must be one of 'both', 'pixels'. Received: signature='bytes'"):
        export.saved_model(network, tmp_path / "3", signature="bytes")


@pytest.mark.slow
def test_what_cannot_be_opened_is_said(exported, folder, tmp_path):
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    for source, name in ((folder / "last.keras", "a.keras"), (exported / "model.tflite", "a.tflite")):
        (tmp_path / name).write_bytes(source.read_bytes()[:5000])
        with pytest.raises(ValueError, match="damaged"):
            export.open_classifier(tmp_path / name)
        (tmp_path / name).write_bytes(source.read_bytes())
        with pytest.raises(ValueError, match="names 2 classes, but the network beside it has 10"):
            export.open_classifier(tmp_path / name)
    keras_senet.SEResNet20(include_top=False, input_shape=(32, 32, 3)).save(tmp_path / "headless.keras")
    with pytest.raises(ValueError, match="one probability a class"):
        export.open_classifier(tmp_path / "headless.keras")
    with pytest.raises(ValueError, match=r"neither a \.keras, \.tflite, \.onnx or \.xml file"):
        export.open_classifier(tmp_path)
    with pytest.raises(FileNotFoundError, match="Did you mean 'a.keras'"):
        export.open_classifier(tmp_path / "b.keras")


def of_an_unknown_operator(path: pathlib.Path) -> None:
    """Writes a file that is whole, of an operator that no runtime has, as newer converters may."""
    if path.suffix == ".tflite":
        network = schema_py_generated.ModelT.InitFromPackedBuf((DEMO / "model.tflite").read_bytes())
        network.operatorCodes[0].version = 99
        builder = flatbuffers.Builder()
        builder.Finish(network.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())
    elif path.suffix == ".onnx":
        ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 8, 8, 3]) for name in "xy"]
        graph = onnx.helper.make_graph([onnx.helper.make_node("Nothing", ["x"], ["y"])], "graph", ends[:1], ends[1:])
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    elif path.suffix == ".xml":
        path.write_text("""<net name="net" version="11">
            <layers>
                <layer id="0" name="x" type="Parameter" version="opset1">
                    <data shape="1,8" element_type="f32"/>
                    <output><port id="0" precision="FP32"><dim>1</dim><dim>8</dim></port></output>
                </layer>
                <layer id="1" name="y" type="Nothing" version="opset99">
                    <input><port id="0"><dim>1</dim><dim>8</dim></port></input>
                    <output><port id="1" precision="FP32"><dim>1</dim><dim>8</dim></port></output>
                </layer>
                <layer id="2" name="z" type="Result" version="opset1">
                    <input><port id="0"><dim>1</dim><dim>8</dim></port></input>
                </layer>
            </layers>
            <edges>
                <edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
                <edge from-layer="1" from-port="1" to-layer="2" to-port="0"/>
            </edges>
        </net>""")
        path.with_suffix(".bin").touch()
    else:
        module = tf.Module()
        module.run = tf.function(tf.nn.relu6, input_signature=[tf.TensorSpec((None, 8, 8, 3))])
        tf.saved_model.save(module, str(path), signatures=module.run)
        graph = path / "saved_model.pb"
        graph.write_bytes(graph.read_bytes().replace(b"Relu6", b"Relu9"))


@pytest.mark.parametrize(
    ("name", "library"),
    [("a.tflite", "ai-edge-litert"), ("a.onnx", "onnxruntime"), ("a.xml", "openvino"), ("a", "tensorflow")],
)
def test_an_operator_that_the_runtime_lacks_is_not_called_damage(name, library, tmp_path):
    of_an_unknown_operator(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} has an operator that the installed {library} lacks.* --upgrade {library}"):
        export.open_classifier(tmp_path / name)


@pytest.mark.parametrize("old", [None, "file", "folder"])
def test_a_write_that_fails_leaves_what_was_there(old, tmp_path):
    path = tmp_path / "result"
    if old == "file":
        path.write_text("old")
    elif old == "folder":
        path.mkdir()
        (path / "inside").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="disk"), replacing(path) as partial:
        partial.mkdir()
        (partial / "half").write_text("written")
        raise OSError("No space left on the disk")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_replaces_a_file_and_a_folder_a_folder_but_not_one_the_other(tmp_path):
    def write(path, kind):
        if kind == "folder":
            path.mkdir()
            (path / "inside").write_text("new")
        else:
            path.write_text("new")

    for old in ("file", "folder"):
        for new in ("file", "folder"):
            path = tmp_path / f"{old}-{new}"
            write(path, old)
            before = path.stat().st_ino
            if old == new:
                with replacing(path) as partial:
                    write(partial, new)
                assert path.stat().st_ino != before
            else:
                with pytest.raises(OSError, match="could not be written"), replacing(path) as partial:
                    write(partial, new)
                assert path.stat().st_ino == before
    assert len(list(tmp_path.iterdir())) == 4


def test_names_as_long_as_file_systems_take_are_written(tmp_path):
    long = "é" * 124  # 248 bytes
    names = [f"{long}{end}" for end in ("a.keras", "b.keras", ".tflite")]
    for name in names:
        with replacing(tmp_path / name) as partial:
            partial.write_text(name)
            assert partial.suffix == pathlib.Path(name).suffix
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: name for name in names}
    with replacing(tmp_path / f"{long}.bin") as one, replacing(tmp_path / f"{long}.xml") as other:
        assert other.with_suffix(".bin") == one
        one.touch()
        other.touch()
    with replacing(tmp_path / names[0]) as one, replacing(tmp_path / names[1]) as other:
        assert one != other
        one.touch()
        other.touch()
