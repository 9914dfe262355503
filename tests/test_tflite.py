"""TFLite files in each kind of numbers: what they keep, what is caught, and that a phone's libraries take them as they are."""

import collections
import dataclasses
import json
import os

import keras
import mediapipe
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils
from common import DEMO
from mediapipe.tasks.python import BaseOptions, vision

import keras_senet
from keras_senet import data, export
from keras_senet.export.conversion import convert
from keras_senet.export.proof import first_layer
from keras_senet.rewrite.for_cpu import optimized_for_cpu

DIGITS = [str(digit) for digit in range(10)]
SMALL = keras_senet.Preprocessing(32)
NOISE = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3)).astype("float32")


def attentive(*attention: keras.layers.Layer) -> keras.Model:
    """A small network with these layers one after the other."""
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(32, 3, strides=4, padding="same")(keras.layers.Rescaling(1 / 255, name="rescaling")(images))
    for layer in attention:
        x = layer(x)
    return keras.Model(images, keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x)))


@pytest.fixture(scope="module")
def small():
    return attentive(keras_senet.layers.SqueezeExcite(4, name="se"))


@pytest.fixture(scope="module")
def network():
    return keras.saving.load_model(DEMO / "model.keras")


@pytest.fixture(scope="module")
def exported(network, digits, tmp_path_factory):
    """Function from a kind of numbers, and the images of its proof, to the demo's network in it and to what the proof found."""
    folder, made = tmp_path_factory.mktemp("tflite"), {}

    def write(quantize: str, split: str = "validation"):
        if (quantize, split) not in made:
            path = folder / f"{quantize}_{len(made)}.tflite"
            images = {"images": digits(split), "calibration": digits("train")}
            made[quantize, split] = path, export.tflite(network, path, DIGITS, quantize=quantize, **images)
        return made[quantize, split]

    return write


def pixels(images: data.LabelledImages, count: int) -> np.ndarray:
    return next(iter(data.evaluation_batches(images, SMALL, count)))[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("quantize", "agreement", "size", "images"),
    [
        ("float32", 1.0, 1.05, 360),
        ("float16", 0.995, 0.56, 360),
        ("dynamic", 0.99, 0.33, 360),
        ("int16x8", 0.99, 0.36, 90),  # without XNNPACK, so slow
        pytest.param("int16x8", 0.99, 0.36, 360, marks=pytest.mark.exhaustive),
        ("int8", 0.99, 0.35, 360),
        ("int8_float_io", 0.99, 0.35, 360),
    ],
)
def test_each_kind_of_numbers_keeps_the_accuracy_on_digits(quantize, agreement, size, images, exported):
    path, proof = exported(quantize, "validation" if images == 360 else f"test[:{images}]")
    assert proof.images == images
    assert proof.accuracy >= proof.model_accuracy - 0.003
    assert proof.agreement >= agreement
    assert path.stat().st_size < size * 4 * 272_095  # parameters of four bytes


@pytest.mark.slow
def test_int8_is_integers_alone(exported):
    """Compilers for hardware that has no floats leave every operator on floats to the processor."""
    interpreter = Interpreter(
        str(exported("int8")[0]), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    assert {tensor["dtype"] for tensor in interpreter.get_tensor_details()} <= {np.uint8, np.int8, np.int32}


@pytest.mark.slow
def test_fully_connected_layers_of_int16x8_have_one_scale(exported):
    """Runtimes before 2.15 take a scale a channel without a word, and compute something else."""
    model = flatbuffer_utils.read_model(str(exported("int16x8", "test[:90]")[0]))
    graph, dense = model.subgraphs[0], flatbuffer_utils.schema_fb.BuiltinOperator.FULLY_CONNECTED
    scales = [
        len(graph.tensors[operator.inputs[1]].quantization.scale)
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == dense
    ]
    assert len(scales) == 2 * 9 + 1
    assert set(scales) == {1}


@pytest.mark.slow
def test_the_proof_is_what_numpy_finds(network, digits, exported):
    path, proof = exported("int8")
    images = list(data.evaluation_batches(digits("validation"), SMALL, 100).as_numpy_iterator())
    before = np.concatenate([network.predict(batch, verbose=0) for batch, _ in images])
    after = np.concatenate([export.open_classifier(path).probabilities(batch) for batch, _ in images])
    truth = np.concatenate([labels.argmax(axis=1) for _, labels in images])
    each = np.abs(before - after).max(axis=1)
    assert proof.largest == pytest.approx(each.max(), abs=1e-5)
    assert proof.mean == pytest.approx(each.mean(), abs=1e-5)
    assert proof.agreement == np.mean(before.argmax(axis=1) == after.argmax(axis=1))
    assert proof.accuracy == np.mean(after.argmax(axis=1) == truth)
    assert proof.model_accuracy == np.mean(before.argmax(axis=1) == truth)


@pytest.mark.slow
def test_the_integer_file_takes_the_bytes_of_pixels_and_gives_256ths(exported):
    interpreter = Interpreter(str(exported("int8")[0]))
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (source["dtype"], source["quantization"]) == (np.uint8, (1.0, 0))
    assert (result["dtype"], result["quantization"]) == (np.uint8, (1 / 256, 0))
    assert source["shape"].tolist() == [1, 32, 32, 3]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_in_half_precision_becomes_a_file_in_float32(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        network = attentive(keras_senet.layers.SqueezeExcite(4, name="se"), keras.layers.AveragePooling2D(2))
        proof = export.tflite(network, tmp_path / "half.tflite")
    finally:
        keras.config.set_dtype_policy("float32")
    exact = attentive(keras_senet.layers.SqueezeExcite(4, name="se"), keras.layers.AveragePooling2D(2))
    exact.set_weights(network.get_weights())
    assert proof.largest < 1e-6
    probabilities = export.open_classifier(tmp_path / "half.tflite").probabilities(NOISE[:4])
    np.testing.assert_allclose(probabilities, exact(NOISE[:4]), atol=1e-6)


def test_low_rank_adaptation_is_merged_into_the_file(tmp_path):
    network = attentive(keras.layers.Conv2D(32, 1), keras_senet.layers.SqueezeExcite(4, name="se"))
    for layer in (network.layers[3], network.get_layer("se").reduce, network.get_layer("se").expand):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.random.default_rng(0).normal(size=layer.lora_kernel_b.shape))
    assert export.tflite(network, tmp_path / "lora.tflite").largest < 1e-6


@pytest.mark.filterwarnings("ignore:.*does not have a `quantize` method:UserWarning")
def test_a_network_that_keras_quantized_is_refused_with_what_to_do(tmp_path):
    network = attentive(keras_senet.layers.SqueezeExcite(4, name="se"))
    network.quantize("int8")
    with pytest.raises(ValueError, match="from the layer se on.*Export it as it was before Keras quantized it"):
        export.tflite(network, tmp_path / "int8.tflite")


@pytest.mark.parametrize("name", ["SEResNet50", "SEResNeXt50", "SEMobileNet", "SEShuffleNet"])
@pytest.mark.slow
def test_xnnpack_takes_every_operator(name, shallow, tmp_path):
    model = shallow(name)(weights=None, input_shape=(64, 64, 3))
    convolutions = sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers)
    images = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3)).astype("float32")
    paths = [tmp_path / "float32.tflite", tmp_path / "int8_float_io.tflite"]
    export.tflite(model, paths[0])
    # Untrained networks do not survive integers.
    export.tflite(model, paths[1], quantize="int8_float_io", calibration=images, limits=export.Limits(1, 1, 0, 1))
    for measured in export.benchmark(paths, rounds=1):
        assert measured.not_delegated == []
        assert measured.operators["CONV_2D"] == convolutions + 1  # the normalization of pixels
        assert not {"SPLIT", "GATHER"} & set(measured.operators)


@pytest.mark.slow
def test_of_an_integer_file_xnnpack_takes_all_but_its_ends(exported):
    """It has neither a softmax for integers nor the change from uint8 to int8."""
    (measured,) = export.benchmark([exported("int8")[0]], rounds=1)
    assert collections.Counter(kind for kind, _ in measured.not_delegated) == {"QUANTIZE": 2, "SOFTMAX": 1}


@pytest.mark.slow
def test_the_shipped_networks_shortcuts_are_taken_too(exported):
    for quantize in ("float32", "int8_float_io"):
        (measured,) = export.benchmark([exported(quantize)[0]], rounds=1)
        assert measured.not_delegated == []


@pytest.mark.slow
def test_where_a_whole_layer_is_always_off_integers_have_a_range(python, tmp_path):
    """All units of a ReLU zero for all images, in each layer that has one, and in a model within the model."""
    before_relu = ("se_reduce/bias", "scse_channel_reduce/bias", "cbam_reduce/bias", "gc_norm/beta", "ge_norm1/beta")
    np.save(tmp_path / "image.npy", NOISE[:1])
    files, expected = [], []
    for quantize in ("int8", "int8_float_io", "int16x8"):
        dead = attentive(
            keras.Sequential([keras.Input((8, 8, 32)), keras_senet.layers.SqueezeExcite(4, name="se")]),
            keras_senet.layers.ConcurrentSqueezeExcite(4, name="scse"),
            keras_senet.layers.ConvolutionalBlockAttention(4, name="cbam"),
            keras_senet.layers.GatherExcite(4, name="ge"),
            *([] if quantize == "int16x8" else [keras_senet.layers.GlobalContext(4, name="gc")]),  # which 16 bits do not take
        )
        for weight in dead.weights:
            if weight.path.endswith((*before_relu, "expand/bias")):
                weight.assign(keras.ops.full_like(weight, -100 if weight.path.endswith(before_relu) else 1))
        files.append(tmp_path / f"{quantize}.tflite")
        files[-1].write_bytes(convert(optimized_for_cpu(dead), quantize, 1, NOISE))
        expected.append(dead(NOISE[:1])[0])
    run = """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter, OpResolverType
image = numpy.load(sys.argv[1])
for file in sys.argv[2:]:
    runner = Interpreter(file).get_signature_runner()
    print(*runner(images=image.astype(runner.get_input_details()["images"]["dtype"]))["output_0"][0], flush=True)
"""
    done = python(run, tmp_path / "image.npy", *files)  # where some runtimes would end
    assert done.returncode == 0, done.stderr
    found = [np.array(line.split(), "float32") for line in done.stdout.splitlines()]
    found[0] /= 256  # integers come out, too
    np.testing.assert_allclose(found, expected, atol=0.01)


def sharp(model: keras.Model, images: np.ndarray) -> keras.Model:
    """The same model with a head that is surer of its classes: what is wrong before it changes them."""
    head = model.layers[-1]
    logits = keras.Model(model.input, head.input)(images) @ head.kernel
    head.kernel.assign(head.kernel * 5 / np.std(logits))
    head.bias.assign(-keras.ops.mean(logits, axis=0) * 5 / np.std(logits))
    return model


@pytest.mark.parametrize("size", ["small", pytest.param("the demo's", marks=pytest.mark.exhaustive)])
def test_a_calibration_of_the_wrong_range_is_caught_and_located(size, request, digits, tmp_path):
    train, held_out = pixels(digits("train"), 64), digits("validation")
    if size == "small":
        images = keras.Input((32, 32, 3))
        x = keras.layers.MaxPooling2D(name="pool")(images)  # which takes over the range of the pixels, and is right
        x = keras.layers.Conv2D(32, 3)(keras.layers.Rescaling(1 / 255, name="rescaling")(x))
        x = keras.layers.Dense(10, "softmax")(keras.layers.GlobalAveragePooling2D()(x))
        model, culprit = sharp(keras.Model(images, x), train), "rescaling"
        held_out = pixels(held_out, 100)
    else:
        model, culprit = request.getfixturevalue("network"), "preprocessing"
    dark = {"images": held_out, "quantize": "int8", "calibration": train / 12}
    with pytest.raises(ValueError, match=rf"starts at the layer {culprit}\. Nothing was written") as caught:
        export.tflite(model, tmp_path / "dark.tflite", **dark)
    assert "the largest difference in probability is" in str(caught.value)
    assert size == "small" or "top-1 accuracy falls" in str(caught.value)
    assert not os.listdir(tmp_path)
    with pytest.warns(UserWarning, match="It was kept, as asked"):
        proof = export.tflite(model, tmp_path / "dark.tflite", **dark, keep_failed=True)
    assert proof.agreement < 0.9
    assert (tmp_path / "dark.tflite").exists()


def test_limits_are_arguments(small, tmp_path):
    tight = dataclasses.replace(export.QUANTIZATIONS["float16"].limits, largest=1e-9)
    with pytest.raises(ValueError, match=r"the largest difference in probability is .* and 1e-09 is accepted"):
        export.tflite(small, tmp_path / "half.tflite", images=NOISE, quantize="float16", limits=tight)


def test_what_is_lost_is_said_in_words():
    lost = export.Proof(images=9, largest=0.5, mean=0.25, agreement=0.5, accuracy=0.6, model_accuracy=0.9)
    assert lost.misses(export.Limits(largest=0.4, mean=0.2, agreement=0.8, accuracy=0.1)) == [
        "the largest difference in probability is 0.5, and 0.4 is accepted",
        "the mean difference in probability is 0.25, and 0.2 is accepted",
        "50.00% of the images keep their top-1 class, and 80.00% must",
        "top-1 accuracy falls from 90.00% to 60.00%, and 10.00% may be lost",
    ]
    assert lost.misses(export.Limits(largest=0.5, mean=0.25, agreement=0.5, accuracy=0.31)) == []


def test_calibration_images_are_held_out_for_the_proof(small, tmp_path):
    limits = export.Limits(1, 1, 0, 1)  # an untrained network does not survive integers
    proof = export.tflite(small, tmp_path / "a.tflite", quantize="int8", calibration=NOISE, limits=limits)
    assert proof.images == 10
    assert proof.accuracy is None


def test_none_means_the_numbers_as_trained(small, tmp_path):
    path, sizes = tmp_path / "a.tflite", set()
    for arguments in ({}, {"quantize": None}, {"quantize": "float32"}):
        export.tflite(small, path, **arguments)
        sizes.add(path.stat().st_size)
        np.testing.assert_allclose(export.open_classifier(path).probabilities(NOISE), small(NOISE), atol=1e-6)
    assert len(sizes) == 1


@keras.saving.register_keras_serializable("tests")
class Determinant(keras.layers.Layer):
    """Something that TFLite has no operator for."""

    def call(self, inputs):
        return inputs + tf.linalg.det(inputs[:, :2, :2, 0])[:, None, None, None]

    def compute_output_shape(self, input_shape):
        return input_shape


def test_a_layer_that_cannot_be_converted_is_named(tmp_path):
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="before")(images)
    x = Determinant(name="determinant")(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="after")(x))
    model = keras.Model(images, keras.layers.Dense(3, "softmax")(x), name="odd")
    with pytest.raises(ValueError, match="odd cannot be converted to TFLite, from the layer determinant on"):
        export.tflite(model, tmp_path / "odd.tflite")
    assert not os.listdir(tmp_path)


def test_the_first_wrong_layer_is_found(network):
    names = [layer.name for layer in network.layers[1:]]
    for culprit in ("preprocessing", "stage3_block2_se", "predictions"):
        wrong = names.index(culprit)
        looked = []

        def is_wrong(part, wrong=wrong, looked=looked):
            looked.append(part.output.name)
            return len(part.layers) > 1 and names.index(part.layers[-1].name) >= wrong

        assert first_layer(network, is_wrong) == culprit
        assert len(looked) <= np.ceil(np.log2(len(names))) + 1
    assert first_layer(network, lambda part: False) is None


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["float32", "int8", "int8_float_io"])
def test_mediapipe_classifies_as_keras_does(quantize, network, digits, exported):
    """On the ten images of whose order Keras itself is surest."""
    images = np.round(pixels(digits("validation"), 360))
    expected = network.predict(images, verbose=0)
    best = -np.sort(-expected, axis=1)[:, :4]
    apart = (best[:, :3] - best[:, 1:]).min(axis=1) * (best[:, 0] > 0.7)
    clear = np.argsort(-apart)[:10]
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=str(exported(quantize)[0])), max_results=3)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for index in clear:
            image = np.ascontiguousarray(images[index].astype("uint8"))
            (result,) = classifier.classify(mediapipe.Image(mediapipe.ImageFormat.SRGB, image)).classifications
            order = np.argsort(-expected[index])[:3]
            assert [one.category_name for one in result.categories] == [DIGITS[one] for one in order]
            np.testing.assert_allclose([one.score for one in result.categories], expected[index, order], atol=0.02)


@pytest.mark.slow
def test_the_file_brings_its_labels_and_its_preprocessing(exported, shallow, run, fails, tmp_path):
    path = tmp_path / "moved.tflite"
    path.write_bytes(exported("int8")[0].read_bytes())
    opened = export.open_classifier(path)
    assert opened.class_names == DIGITS
    assert opened.labels_file == path
    (tmp_path / "other").mkdir()
    own = shallow("SEResNet20")(input_shape=(72, 72, 3), classes=2)
    own.get_layer("preprocessing").crop_ratio, own.get_layer("preprocessing").interpolation = 0.95, "bicubic"
    export.tflite(own, tmp_path / "other" / "own.tflite")
    assert export.open_classifier(tmp_path / "other" / "own.tflite").preprocessing == keras_senet.Preprocessing(
        72, 0.95, "bicubic"
    )
    shown = json.loads(run("info", path, "--json")[1])
    assert shown["labels"] == DIGITS
    assert (shown["mean"], shown["std"]) == ([0.0], [1.0])
    assert shown["description"] == "seresnet20, int8"
    table = run("info", path)[1]
    assert "RGB pixels in [0, 255]" in table
    assert "10: 0, 1, 2" in table
    path.write_bytes(path.read_bytes()[:2000])
    assert "is damaged" in fails("info", path)
    path.write_bytes(convert(optimized_for_cpu(own), "float32", 1, None))
    assert "has no metadata" in fails("info", path)
    file = flatbuffer_utils.read_model(path)
    file.buffers.append(flatbuffer_utils.schema_fb.BufferT(np.frombuffer(b"of another program", np.uint8)))
    file.metadata = [flatbuffer_utils.schema_fb.MetadataT("TFLITE_METADATA", len(file.buffers) - 1)]
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(file))
    assert "has other metadata than an image classifier of this package" in fails("info", path)


@pytest.mark.slow
def test_a_file_takes_batches_and_can_give_gates(shallow, digits, tmp_path):
    images = pixels(digits("validation"), 7)
    network = shallow("SEResNet20")()
    export.tflite(network, tmp_path / "three.tflite", DIGITS, batch_size=3, gates="stage3_block1_se")
    opened = export.open_classifier(tmp_path / "three.tflite")
    np.testing.assert_allclose(opened.probabilities(images), network.predict(images, verbose=0), atol=1e-5)
    runner = Interpreter(str(tmp_path / "three.tflite")).get_signature_runner()
    se = network.get_layer("stage3_block1_se")
    gates = keras.Model(network.input, se.gates(se.input))(images[:3])
    np.testing.assert_allclose(runner(images=images[:3])["gates"], gates, atol=1e-5)
    with pytest.raises(ValueError, match="Did you mean 'stage3_block1_se'"):
        export.tflite(network, tmp_path / "a.tflite", gates="stage3_block1")


@pytest.mark.slow
def test_a_file_can_give_the_gates_of_each_relative_that_has_one_a_channel(tmp_path):
    network = attentive(
        keras_senet.layers.EfficientChannelAttention(name="eca"),
        keras_senet.layers.GlobalContext(4, name="gc"),
        keras_senet.layers.CoordinateAttention(name="coord"),
    )
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    expected = keras_senet.gates(network, images)
    for name in ("eca", "gc"):
        export.tflite(network, tmp_path / "gates.tflite", gates=name)
        found = Interpreter(str(tmp_path / "gates.tflite")).get_signature_runner()(images=images)["gates"]
        np.testing.assert_allclose(found, expected[name], atol=1e-5)
    with pytest.raises(ValueError, match="one gate a channel for the whole map.* Received: 'coord'"):
        export.tflite(network, tmp_path / "gates.tflite", gates="coord")


def test_what_cannot_be_exported_is_refused_before_anything_is_computed(small, digits, tmp_path):
    path = tmp_path / "a.tflite"
    train = pixels(digits("train"), 40)
    for message, arguments in (
        ("Did you mean 'int8'", {"quantize": "int9"}),
        ("Received: 8", {"quantize": 8}),
        ("give at least 32 of them as `calibration`", {"quantize": "int8"}),
        ("20 images are too few for a calibration", {"quantize": "int8", "calibration": train[:20]}),
        (r"Images are RGB pixels in \[0, 255\], not normalized", {"quantize": "int8", "calibration": train / 255}),
        (r"Received values in \[-1", {"quantize": "int8", "calibration": train / 127.5 - 1}),
        (r"have the shape \(N, 32, 32, 3\)", {"quantize": "int8", "calibration": train[:, :8]}),
        ("but the data has 2", {"images": dataclasses.replace(digits("train"), class_names=["a", "b"])}),
        ("the network lacks: '9'", {"images": digits("train"), "class_names": [*DIGITS[:9], "nine"]}),
    ):
        with pytest.raises(ValueError, match=message):
            export.tflite(small, path, **arguments)
    assert not os.listdir(tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(("write", "name"), [(export.onnx, "network.onnx"), (export.openvino, "network.xml")])
def test_other_runtimes_compute_what_keras_computes(write, name, small, digits, tmp_path):
    proof = write(small, tmp_path / name, DIGITS, digits("validation"))
    assert proof.images == 360
    assert proof.largest < 1e-5
    assert proof.accuracy == proof.model_accuracy
    images = pixels(digits("validation"), 5)
    opened = export.open_classifier(tmp_path / name)
    np.testing.assert_allclose(opened.probabilities(images), small(images), atol=1e-5)
    assert opened.class_names == DIGITS
    (tmp_path / name).write_text("nothing")
    with pytest.raises(ValueError, match="is damaged"):
        export.open_classifier(tmp_path / name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_grouped_convolutions_go_to_other_runtimes(shallow, tmp_path):
    model = shallow("SEResNeXt50")(weights=None, input_shape=(64, 64, 3))
    images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3)).astype("float32")
    for write, name in ((export.onnx, "network.onnx"), (export.openvino, "network.xml")):
        assert write(model, tmp_path / name, images=images).largest < 1e-4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_within_a_model_says_how_its_images_were_made_and_goes_to_onnx(shallow, tmp_path):
    images, network = keras.Input((32, 32, 3)), shallow("SEResNet20")(weights=None)
    model = keras.Model(images, keras.layers.Softmax()(keras.layers.Dense(5)(network(images))))
    assert keras_senet.preprocessing_for(model) == keras_senet.preprocessing_for(network)
    assert export.onnx(model, tmp_path / "network.onnx").largest < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_without_its_runtime_an_onnx_file_is_written_unchecked(small, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.warns(UserWarning, match="network.onnx was not checked. .*keras-senet\\[runtimes\\]"):
        assert export.onnx(small, tmp_path / "network.onnx") is None
    assert (tmp_path / "network.onnx").exists()


@pytest.mark.slow
def test_the_command_exports_in_any_kind_of_numbers(small, run, fails, data_dir, tmp_path):
    (tmp_path / "in").mkdir()
    small.save(tmp_path / "in" / "model.keras")
    (tmp_path / "in" / "labels.txt").write_text((DEMO / "labels.txt").read_text())
    command = ("export", tmp_path / "in" / "model.keras")
    integers = ("--quantize", "int8", "--dataset", "digits", "--data-dir", data_dir)
    untrained = ("--limit", "largest=1", "--limit", "mean=1", "--limit", "agreement=0", "--limit", "accuracy=1")
    status, output, _ = run(*command, tmp_path / "int8.tflite", *integers, *untrained)
    assert status == 0
    assert "on 360 images top-1 agrees for" in output
    assert (tmp_path / "labels.txt").read_text().split() == DIGITS
    assert "--dataset on the command line" in fails(*command, tmp_path / "a.tflite", "--quantize", "int8")
    assert "--quantize: only for .tflite" in fails(*command, tmp_path / "a.onnx", "--quantize", "int8")
    tight = ("--quantize", "float16", "--limit", "agreement=1.1", "--dataset", "digits", "--data-dir", data_dir)
    assert "and 110.00% must" in fails(*command, tmp_path / "a.tflite", *tight)
    assert "must be one of largest, mean" in fails(*command, tmp_path / "a.tflite", "--limit", "large=1")
    assert "There is no folder" in fails(*command, tmp_path / "none" / "a.tflite")
    assert sorted(os.listdir(tmp_path)) == ["in", "int8.tflite", "labels.txt"]
