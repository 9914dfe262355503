"""Published weights: every layout against its source's logits, the cache, real servers, and files that are not what they seem."""

import concurrent.futures
import contextlib
import csv
import dataclasses
import hashlib
import io
import os
import pathlib
import pickle
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import synthetic
from hub import COMMIT, serving
from reference import (
    FIXTURES,
    Name,
    TorchPickler,
    logits,
    parameters,
    write_caffemodel,
    write_pth,
    write_safetensors,
    write_zeros,
)

import keras_senet
from keras_senet import checkpoints

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
}
GIVEN = (
    "legacy_senet154",
    "legacy_seresnet18",
    "legacy_seresnet50",
    "legacy_seresnext50_32x4d",
    "senet154",
    "seresnet50",
    "seresnext26d_32x4d",
    "seresnext26t_32x4d",
    "seresnext101_32x8d",
    "seresnextaa101d_32x8d",
    "seresnet152d",
)
OTHERS = ("legacy_seresnet34", "legacy_seresnext26_32x4d", "seresnext50_32x4d", "seresnext101_32x4d")
BARE = {"classifier_activation": None, "include_preprocessing": False}


@pytest.fixture
def synthetic_file(tmp_path):
    """Function from a network of timm to a file of its weights, of which the largest takes half a gigabyte."""
    yield lambda reference: write_safetensors(tmp_path / f"{reference}.safetensors", f"timm/{reference}")
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models" / "keras_senet"


def by_name(name: str) -> checkpoints.Checkpoint:
    return next(one for one in keras_senet.list_checkpoints() if one.name == name)


def difference(network, expected, images) -> float:
    """The largest, as a share of the largest logit."""
    given = keras.ops.convert_to_numpy(network(images))
    return np.abs(given - expected).max() / np.abs(expected).max()


def exact(reference: str) -> bool:
    """Whether to compute in float64: in float32 timm's own logits of this network are wrong by 2e-4, by rounding."""
    return reference == "seresnet152d"


@contextlib.contextmanager
def precision(reference: str):
    """Where `exact`, networks compute in float64, and the fixture to compare with is that of timm in float64."""
    keras.config.set_dtype_policy("float64" if exact(reference) else "float32")
    try:
        yield f"timm/{reference}_float64" if exact(reference) else f"timm/{reference}"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow
@pytest.mark.parametrize("reference", GIVEN)
def test_logits_equal_those_of_timm(reference, synthetic_file):
    build, file = getattr(keras_senet, NETWORKS[reference]), synthetic_file(reference)
    with precision(reference) as expected:
        network = build(weights=file, input_tensor=keras.Input((None, None, 3)), **BARE)
        for size in (224, 161):
            assert difference(network, logits(expected, size), [synthetic.image(size)]) <= 1e-4


@pytest.mark.parametrize("reference", OTHERS)
def test_logits_of_other_networks_equal_those_of_timm(reference, synthetic_file):
    network = getattr(keras_senet, NETWORKS[reference])(weights=synthetic_file(reference), input_shape=(64, 64, 3), **BARE)
    assert difference(network, logits(f"timm/{reference}", 64), synthetic.image(64)) <= 1e-4


ON_JAX = """
import re, sys, pathlib, keras, numpy as np, keras_senet, reference, synthetic
from test_checkpoints import BARE, NETWORKS, precision
assert keras.backend.backend() == "jax"
file = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    reference.write_safetensors(file, f"timm/{name}")
    both = (("channels_last", 224, (0, 1, 2, 3)), ("channels_first", 161, (0, 3, 1, 2)))
    for data_format, size, order in both[1:] if re.search("101|15[24]", name) else both:  # the deep ones take a minute for both
        keras.config.set_image_data_format(data_format)
        images = synthetic.image(size).transpose(order)
        with precision(name) as fixture:
            network = getattr(keras_senet, NETWORKS[name])(weights=file, input_shape=images.shape[1:], **BARE)
            expected = reference.logits(fixture, size)
            assert abs(np.array(network(images)) - expected).max() <= 1e-4 * abs(expected).max(), (name, data_format)
"""


@pytest.mark.slow
@pytest.mark.parametrize("references", [GIVEN[0:5:2], GIVEN[1:5:2], GIVEN[5:10], GIVEN[10:]], ids=" ".join)
def test_logits_on_jax_equal_those_of_timm_in_both_data_formats(references, python, tmp_path):
    float64 = str(int(any(map(exact, references))))
    done = python(ON_JAX, tmp_path / "file.safetensors", *references, KERAS_BACKEND="jax", JAX_ENABLE_X64=float64)
    assert done.returncode == 0, done.stderr


def test_the_table_says_what_is_known_of_each_checkpoint():
    facts = {row["tag"]: row for row in csv.DictReader((FIXTURES / "checkpoints.csv").open())}
    ours = {one.name: one for one in keras_senet.list_checkpoints()}
    assert ours.keys() == facts.keys()
    assert len(ours) == 29
    for name, row in facts.items():
        one = ours[name]
        assert row["source"] in (one.url, f"hf:{one.repository}")
        assert (one.classes, one.input_size, one.crop_ratio) == (
            int(row["classes"]),
            int(row["input_size"]),
            float(row["crop_ratio"]),
        )
        assert (one.interpolation, one.license) == (row["interpolation"], row["license"])
        assert [" ".join(map(str, values)) for values in (one.mean, one.std)] == [row["mean"], row["std"]]
        larger = (int(row["test_input_size"]), float(row["test_crop_ratio"]))
        assert (one.larger or (one.input_size, one.crop_ratio)) == larger
        assert (one.top1, one.top5) == tuple(float(row[key]) if row[key] else None for key in ("top1", "top5"))
        assert row["published_size"] in ("", str(one.input_size))


@pytest.mark.slow
@pytest.mark.parametrize("reference", [name for name in NETWORKS if name not in GIVEN + OTHERS])
def test_conversion_consumes_every_parameter(reference, tmp_path):
    """As the tests of logits show for the other networks: one that is missing, unexpected or misshapen would be an error."""
    file = write_zeros(tmp_path / "zeros.safetensors", f"timm/{reference}")
    classes = 11821 if reference in ("seresnextaa101d_32x8d_12k", "seresnextaa201d_32x8d") else 1000
    network = getattr(keras_senet, NETWORKS[reference])(weights=file, classes=classes)
    assert not network.get_layer("stage5_block2_bn2").moving_variance.numpy().any()
    assert network.output_shape == (None, classes)


def test_each_checkpoint_is_of_a_network_that_was_compared():
    for one in keras_senet.list_checkpoints():
        assert NETWORKS[one.name.partition(".")[0]] == one.model
        field = "relu_before_attention" if one.name.startswith("legacy_") else "stride_in_3x3"
        assert one.architecture[field]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The published file of the smallest network on the hub."""
    return write_safetensors(tmp_path_factory.mktemp("hub") / "model.safetensors", "timm/seresnext26t_32x4d")


@pytest.fixture(scope="module")
def small_pth(tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("releases") / "seresnet18.pth", "timm/legacy_seresnet18")


@pytest.fixture
def hub(small, monkeypatch):
    """The hub, with that file."""
    with serving(small) as server:
        use_hub(server.url, monkeypatch)
        yield server


def use_hub(url: str, monkeypatch) -> None:
    """As the environment variable HF_ENDPOINT does before huggingface_hub is imported."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    for module in ("constants", "file_download"):  # the second in older versions
        name = f"huggingface_hub.{module}.HUGGINGFACE_CO_URL_TEMPLATE"
        monkeypatch.setattr(name, url + "/{repo_id}/resolve/{revision}/{filename}", raising=False)


@pytest.fixture
def releases(small_pth, monkeypatch):
    """The server of the older files, with that one."""
    with serving(small_pth) as server:
        digits = hashlib.sha256(small_pth.read_bytes()).hexdigest()[:8]
        changed = {"repository": f"{server.url}/v0.1-weights", "file": f"seresnet18-{digits}.pth"}
        table = [
            dataclasses.replace(one, **changed) if one.model == "SEResNet18" else one for one in keras_senet.list_checkpoints()
        ]
        monkeypatch.setattr("keras_senet.models.pretrained.CHECKPOINTS", table)
        yield server


def kept(home: pathlib.Path) -> list[str]:
    return sorted(file.name for file in home.iterdir()) if home.exists() else []


def test_a_download_from_the_hub_is_kept(hub, home):
    network = keras_senet.SEResNeXt26T(weights="imagenet", input_shape=(161, 161, 3), **BARE)
    expected = logits("timm/seresnext26t_32x4d", 161)
    assert difference(network, expected, synthetic.image(161)) <= 1e-4
    assert kept(home) == ["seresnext26t_32x4d.bt_in1k.weights.h5"]
    with h5py.File(home / kept(home)[0]) as file:
        assert dict(file.attrs).items() >= {"revision": COMMIT, "source_sha256": hub.sha256}.items()
        assert file.attrs["source"] == "https://huggingface.co/timm/seresnext26t_32x4d.bt_in1k/resolve/main/model.safetensors"
    hub.requests.clear()
    again = keras_senet.SEResNeXt26T(weights="bt_in1k", input_shape=(161, 161, 3), **BARE)
    assert difference(again, expected, synthetic.image(161)) <= 1e-4
    assert not hub.requests


def test_a_download_from_a_release_is_kept(releases, home):
    network = keras_senet.SEResNet18(input_shape=(161, 161, 3), **BARE)
    assert difference(network, logits("timm/legacy_seresnet18", 161), synthetic.image(161)) <= 1e-4
    releases.requests.clear()
    again = keras_senet.SEResNet18(weights="legacy_seresnet18.in1k", input_shape=(161, 161, 3), **BARE)
    assert difference(again, logits("timm/legacy_seresnet18", 161), synthetic.image(161)) <= 1e-4
    assert not releases.requests
    with h5py.File(home / "legacy_seresnet18.in1k.weights.h5") as file:
        assert (file.attrs["revision"], file.attrs["source_sha256"]) == ("v0.1-weights", releases.sha256)


def test_an_interrupted_download_from_the_hub_resumes(hub, home):
    hub.cut = 1
    keras_senet.SEResNeXt26T()
    assert any(request.startswith("GET from ") for request in hub.requests)
    assert kept(home) == ["seresnext26t_32x4d.bt_in1k.weights.h5"]


def test_an_interrupted_download_from_a_release_starts_again(releases, home):
    releases.cut = 1
    with pytest.raises(OSError, match=r"legacy_seresnet18.in1k could not be downloaded: .* put it at .*in1k.pth$"):
        keras_senet.SEResNet18()
    assert kept(home) == []
    keras_senet.SEResNet18()
    assert kept(home) == ["legacy_seresnet18.in1k.weights.h5"]


@pytest.mark.parametrize(("server", "build"), [("hub", "SEResNeXt26T"), ("releases", "SEResNet18")])
def test_a_file_that_is_not_what_was_published_is_refused(server, build, request, home, tmp_path):
    server = request.getfixturevalue(server)
    content = bytearray(server.file.read_bytes())
    content[len(content) // 2] ^= 1
    altered = tmp_path / "altered"
    altered.write_bytes(content)
    server.file = altered
    with pytest.raises(ValueError, match=r"is damaged, or not what was published: its SHA-256 is [0-9a-f]{64} and should begin"):
        getattr(keras_senet, build)()
    assert kept(home) == []


@pytest.mark.parametrize(("server", "build"), [("hub", "SEResNeXt26T"), ("releases", "SEResNet18")])
def test_a_file_that_is_gone_is_an_error_that_names_it(server, build, request, home):
    server = request.getfixturevalue(server)
    server.file = None
    with pytest.raises(OSError, match="could not be downloaded: .*404"):
        getattr(keras_senet, build)()
    assert kept(home) == []


def test_without_a_network_the_error_says_what_to_download_and_where_to_put_it(hub, small, home, monkeypatch):
    use_hub("http://127.0.0.1:9", monkeypatch)  # where nobody listens
    place = home / "seresnext26t_32x4d.bt_in1k.safetensors"
    address = "https://huggingface.co/timm/seresnext26t_32x4d.bt_in1k/resolve/main/model.safetensors"
    with pytest.raises(OSError, match=f"download {address} elsewhere and put it at {place}$"):
        keras_senet.SEResNeXt26T()
    shutil.copy(small, place)
    network = keras_senet.SEResNeXt26T(input_shape=(161, 161, 3), **BARE)
    assert difference(network, logits("timm/seresnext26t_32x4d", 161), synthetic.image(161)) <= 1e-4


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_file(small, python, tmp_path):
    code = """
import keras_senet, numpy as np, synthetic, sys
network = keras_senet.SEResNeXt26T(classifier_activation=None, include_preprocessing=False, input_shape=(161, 161, 3))
np.save(sys.argv[1], network(synthetic.image(161)))
"""
    with serving(small) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        environment = {"HF_ENDPOINT": server.url, "KERAS_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
        outputs = [tmp_path / f"{number}.npy" for number in (1, 2)]
        for done in pool.map(lambda output: python(code, output, **environment), outputs):
            assert done.returncode == 0, done.stderr
    for output in outputs:
        expected = logits("timm/seresnext26t_32x4d", 161)
        assert np.abs(np.load(output) - expected).max() <= 1e-4 * np.abs(expected).max()
    assert kept(tmp_path / "home" / "models" / "keras_senet") == ["seresnext26t_32x4d.bt_in1k.weights.h5"]


def test_a_cache_that_cannot_be_written_is_an_error_before_the_download(hub, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "/proc/keras")  # where not even root can write
    with pytest.raises(OSError, match="cannot be kept in /proc/keras/models/keras_senet: .* Set .* KERAS_HOME"):
        keras_senet.SEResNeXt26T()
    assert not hub.requests


def test_a_damaged_file_in_the_cache_is_noticed(releases, home):
    keras_senet.SEResNet18()
    cached = home / "legacy_seresnet18.in1k.weights.h5"
    whole = cached.read_bytes()
    cached.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"in1k.weights.h5 is damaged"):
        keras_senet.SEResNet18()
    cached.write_bytes(whole)
    with h5py.File(cached, "a") as file:
        file["layers/conv2d_5/vars/0"][0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="its numbers have changed .* Remove it, and it will be made again"):
        keras_senet.SEResNet18()


def test_half_precision_networks_leave_whole_numbers_in_the_cache(releases, home):
    keras.config.set_dtype_policy("float16")
    try:
        network = keras_senet.SEResNet18()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("stem_conv").kernel.dtype == "float16"
    kernel = keras_senet.SEResNet18().get_layer("stem_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel, parameters("timm/legacy_seresnet18")["layer0.conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("file_format", ["zip", "stream"])
def test_files_of_pytorch_are_read_without_it(file_format):
    """Written by PyTorch 2.13, in the format of today and in that before 1.6: shared storage, views, scalars, half precision."""
    expected = np.load(FIXTURES / "pth" / "expected.npz")
    read = checkpoints.pth.read_pth(str(FIXTURES / "pth" / f"{file_format}.pth"))
    assert list(read) == list(expected)
    for name, value in read.items():
        assert value.dtype == expected[name].dtype
        np.testing.assert_array_equal(value, expected[name])


class _Attack:
    def __init__(self, function, *arguments):
        self.reduction = (function, arguments)

    def __reduce__(self):
        return self.reduction


@pytest.mark.parametrize("file_format", ["zip", "stream"])
@pytest.mark.parametrize("function", [os.mkdir, eval, getattr])
def test_a_pth_file_that_would_run_code_is_refused(function, file_format, tmp_path):
    arguments = {os.mkdir: (str(tmp_path / "broken"),), eval: ("1 / 0",), getattr: (1, "real")}[function]
    state = pickle.dumps({"conv1.weight": _Attack(function, *arguments)}, protocol=2)
    file = tmp_path / "weights.pth"
    if file_format == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("archive/data.pkl", state)
    else:
        before = [pickle.dumps(one, protocol=2) for one in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
        file.write_bytes(b"".join([*before, state, pickle.dumps([], protocol=2)]))
    with pytest.raises(ValueError, match=rf"weights.pth is refused: it asks to load \w+.{function.__name__}, "):
        keras_senet.SEResNet50(weights=file)
    assert not (tmp_path / "broken").exists()


@pytest.mark.parametrize("file_format", ["zip", "stream"])
def test_a_damaged_pth_file_is_an_error_and_nothing_else(file_format, tmp_path):
    """Bits flipped anywhere: in lengths, indices, opcodes, names."""
    whole = (FIXTURES / "pth" / f"{file_format}.pth").read_bytes()
    damaged, random = tmp_path / "damaged.pth", np.random.default_rng(0)
    refused = 0
    for position in random.integers(0, len(whole), 300):
        content = bytearray(whole)
        content[position] ^= 1 << random.integers(8)
        damaged.write_bytes(content if refused % 2 else content[:position])
        try:
            checkpoints.pth.read_pth(str(damaged))
        except ValueError:
            refused += 1
    assert refused > 100


def _rebuilt(elements: int, offset: int, shape: tuple, strides: tuple, method: int = zipfile.ZIP_STORED, key: str = "0") -> bytes:
    """A .pth archive of one tensor, described so, on a storage of zeros."""
    state, content = io.BytesIO(), io.BytesIO()
    arguments = (np.zeros(elements, np.float32).data, offset, shape, strides, False, {})
    pickler = TorchPickler(state)
    pickler.dump({"a": _Attack(Name("torch._utils", "_rebuild_tensor_v2"), *arguments)})
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("archive/data.pkl", state.getvalue())
        archive.writestr(f"archive/data/{key}", bytes(4 * elements))
    return content.getvalue()


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ((1, 0, (1000,), (1,)), "reaches beyond its storage"),
        ((10, 11, (), ()), "reaches beyond its storage"),
        ((4, 0, (5,), (2**60,)), "reaches beyond its storage"),
        ((0, 0, (1000,), (1,)), "reaches beyond its storage"),
        ((100, 99, (-1,), (-400,)), "not described as PyTorch does it"),
        ((100, -1, (2,), (1,)), "not described as PyTorch does it"),
        ((100, 0, (2, 2), (1,)), "not described as PyTorch does it"),
        ((10**6, 0, (1,), (1,), zipfile.ZIP_DEFLATED), "it is compressed"),
        ((4, 0, (4,), (1,), zipfile.ZIP_STORED, "1"), "damaged"),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(description, words, tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(_rebuilt(*description))
    with pytest.raises(ValueError, match=f"weights.pth is damaged, or not a .pth file of PyTorch.*{words}|{words}, or not"):
        checkpoints.pth.read_pth(str(file))
    file.write_bytes(_rebuilt(4, 1, (3,), (1,)))
    assert checkpoints.pth.read_pth(str(file))["a"].tolist() == [0, 0, 0]


def test_a_stream_without_its_numbers_is_refused(tmp_path):
    """They would be whatever was in memory before."""
    whole = (FIXTURES / "pth" / "stream.pth").read_bytes()
    keys = whole.index(b"\x80\x02]", len(whole) // 3)  # the list of storages begins a pickle
    file = tmp_path / "weights.pth"
    file.write_bytes(whole[:keys] + pickle.dumps([], protocol=2))
    with pytest.raises(ValueError, match="does not hold the storages that its tensors are made of"):
        checkpoints.pth.read_pth(str(file))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".keras", ".weights.h5", ".caffemodel"])
def test_files_that_are_cut_off_or_of_another_kind_are_refused(suffix, small, tmp_path):
    file = tmp_path / f"file{suffix}"
    for content in (small.read_bytes()[:5_000_000], b"", b"PK\x03\x04 not what it seems"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{file} (is damaged|holds no parameters)"):
            keras_senet.SEResNeXt26T(weights=file)


def test_a_file_for_another_network_is_refused_with_a_list(small):
    with pytest.raises(ValueError, match=r"1000\): 6 misshapen \(.*conv1.0.weight, \(3, 3, 3, 24\) in place of \(3, 3, 3, 32\)"):
        keras_senet.SEResNeXt26D(weights=small)
    with pytest.raises(ValueError, match=r"169 missing \(conv1.weight, .* 164 more\); 27 unexpected \(.*; 92 misshapen \("):
        keras_senet.SEResNet50(weights=small)
    with pytest.raises(ValueError, match="unexpected"):
        keras_senet.SEVGG16(weights=small)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("SEResNet50", {"weights": "ra3_in1k"}, "'ra3_in1k' for SEResNet50. Did you mean 'a3_in1k' or 'ra2_in1k'"),
        ("SEResNet50", {"weights": "seresnext50_32x4d.gluon_in1k"}, "They are for SEResNeXt50"),
        ("SEVGG16", {"weights": "imagenet"}, "no weights 'imagenet' for SEVGG16. It takes None, or the path"),
        ("SEResNet50", {"weights": "weights.bin", "attention": None}, "no weights 'weights.bin'"),
        ("SEResNet50", {"weights": "a1_in1k", "classifier_activation": "sigmoid"}, "None or 'softmax'"),
    ],
)
def test_weights_that_are_not_there_are_an_error_that_says_which_are(name, arguments, words, hub, home):
    with pytest.raises(ValueError, match=words):
        getattr(keras_senet, name)(**arguments)
    assert not hub.requests


def test_other_numbers_of_classes(small, hub, home, recwarn):
    ours = keras_senet.SEResNeXt26T(classes=5)
    assert ours.output_shape == (None, 5)
    (warning,) = (warning for warning in recwarn if "classifier" in str(warning.message))
    assert "have 1000 classes: the classifier of 5 classes starts at random" in str(warning.message)
    published = parameters("timm/seresnext26t_32x4d")["conv1.0.weight"]
    np.testing.assert_array_equal(ours.get_layer("stem_conv1").kernel.numpy(), published.transpose(2, 3, 1, 0))
    assert ours.get_layer("predictions").kernel.numpy().std() > 0.01


def test_a_fresh_classifier_does_not_depend_on_what_was_in_the_cache(hub, home):
    kernels = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        with pytest.warns(UserWarning, match="starts at random"):
            kernels.append(keras_senet.SEResNeXt26T(classes=5).get_layer("predictions").kernel.numpy())
    np.testing.assert_array_equal(*kernels)


def test_weights_with_another_number_of_classes_say_so(tmp_path, hub, home):
    """sw_in12k has 11,821."""
    file = write_zeros(tmp_path / "12k.safetensors", "timm/seresnextaa101d_32x8d_12k")
    for weights in (file, "sw_in12k"):
        with pytest.raises(
            ValueError, match="have 11821 classes, and this network has 1000 by default: pass classes=11821 to keep"
        ):
            keras_senet.SEResNeXtAA101D_32x8d(weights=weights)
    assert not hub.requests


def test_attention_that_was_not_published_has_no_published_weights(small):
    for changed in ({"reduction": 8}, {"attention": None}, {"attention_position": "pre"}, {"gate": "tanh"}):
        with pytest.raises(ValueError, match="belongs to a network with SE as it was published"):
            keras_senet.SEResNeXt26T(weights=small, **changed)


def test_one_channel_gets_the_sum_of_three_kernels(small):
    color = keras_senet.SEResNeXt26T(weights=small, input_shape=(64, 64, 3), **BARE)
    gray = keras_senet.SEResNeXt26T(weights=small, input_shape=(64, 64, 1), **BARE)
    image = synthetic.image(64)[..., :1]
    expected = keras.ops.convert_to_numpy(color(np.repeat(image, 3, axis=-1)))
    assert difference(gray, expected, image) <= 1e-5
    with pytest.raises(ValueError, match=r"1 misshapen \(conv1.0.weight, \(3, 3, 3, 24\) in place of \(3, 3, 4, 24\)\)"):
        keras_senet.SEResNeXt26T(weights=small, input_shape=(64, 64, 4))


def test_without_the_top_the_backbone_is_the_same(small):
    whole = keras_senet.SEResNeXt26T(weights=small, input_shape=(96, 128, 3))
    backbone = keras_senet.SEResNeXt26T(weights=small, include_top=False, pooling="avg")
    pooled = keras.Model(whole.inputs, whole.get_layer("avg_pool").output)
    images = 255 * np.random.default_rng(0).random((1, 96, 128, 3), "float32")
    np.testing.assert_allclose(backbone(images), pooled(images), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize(
    ("name", "reference"),
    [("SEResNeXt50", "seresnext50_32x4d"), ("SEResNet18", "legacy_seresnet18")],
)
def test_a_file_of_keras_knows_which_variant_it_was_saved_from(name, reference, suffix, synthetic_file, tmp_path):
    build = getattr(keras_senet, name)
    network = build(weights=synthetic_file(reference), input_shape=(65, 65, 3), **BARE)
    file = tmp_path / f"saved{suffix}"
    network.save(file) if suffix == ".keras" else network.save_weights(file)
    loaded = build(weights=file, input_shape=(65, 65, 3), **BARE)
    np.testing.assert_array_equal(loaded(synthetic.image(65)), network(synthetic.image(65)))


@keras.saving.register_keras_serializable("test")
class Gated(keras.layers.Layer):
    """An attention of two layers without names, and one with a name that every block has."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.squeeze, self.gate = keras.layers.Dense(2), keras.layers.Dense(1, name="gate")

    def build(self, shape):
        self.squeeze.build(shape)
        self.gate.build((*shape[:-1], 2))

    def call(self, x):
        return x * self.gate(self.squeeze(x))


@pytest.mark.parametrize("policy", ["float32", "bfloat16"])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_file_of_keras_may_hold_any_attention_in_any_precision(suffix, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        network = keras_senet.SEResNet20(attention=Gated)
        file = tmp_path / f"saved{suffix}"
        network.save(file) if suffix == ".keras" else network.save_weights(file)
        loaded = keras_senet.SEResNet20(attention=Gated, weights=file)
    finally:
        keras.config.set_dtype_policy("float32")
    for one, other in zip(loaded.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_file_of_keras_from_another_variant_is_refused(tmp_path):
    """D and AA have the same parameters, of the same names and shapes."""
    file = tmp_path / "antialiased.weights.h5"
    keras_senet.SEResNeXtAA101D_32x8d(weights=None, input_shape=(64, 64, 3)).save_weights(file)
    with pytest.raises(ValueError, match="does not have the layers stage3_block1_pool2"):
        keras_senet.SEResNeXt101D_32x8d(weights=file, input_shape=(64, 64, 3))
    file.unlink()


def test_vgg_without_its_top(tmp_path):
    whole = keras_senet.SEVGG16(input_shape=(32, 32, 3), classes=10)
    whole.save_weights(tmp_path / "vgg.weights.h5")
    backbone = keras_senet.SEVGG16(weights=tmp_path / "vgg.weights.h5", include_top=False)
    np.testing.assert_array_equal(backbone.get_weights()[0], whole.get_weights()[0])
    with pytest.warns(UserWarning, match="10 classes: the classifier of 5"):
        other = keras_senet.SEVGG16(weights=tmp_path / "vgg.weights.h5", input_shape=(32, 32, 3), classes=5)
    np.testing.assert_array_equal(other.get_layer("fc2").kernel.numpy(), whole.get_layer("fc2").kernel.numpy())


@pytest.mark.parametrize(("name", "reference"), [("SEResNet50", "SE-ResNet-50"), ("SEBNInception", "SE-BN-Inception")])
def test_the_authors_caffe_files_give_the_logits_of_their_definitions(name, reference, tmp_path):
    """Those take BGR pixels less a mean; ours takes RGB pixels, and keeps the mean when it is saved and built again."""
    build, file = getattr(keras_senet, name), write_caffemodel(tmp_path / "network.caffemodel", f"caffe/{reference}")
    network = build(weights=file, classifier_activation=None)
    file.unlink()
    pixels = synthetic.image(224)[..., ::-1] + np.array([123, 117, 104], "float32")
    assert difference(network, logits(f"caffe/{reference}", 224), pixels) <= 1e-4
    network.save(tmp_path / "network.keras")
    again = build(weights=tmp_path / "network.keras", classifier_activation=None)
    np.testing.assert_array_equal(again(pixels), network(pixels))


@pytest.mark.usefixtures("without_weights")
def test_the_names_of_senet154_are_those_of_its_definition():
    network = keras_senet.SENet154(weights=None)
    names = checkpoints.parameter_names(network, "caffe")
    assert len(names) == len(network.weights)
    assert names["conv1_1/3x3_s2/weight"] == "stem_conv1/kernel"
    assert names["conv1_3/3x3/bn/scale/bias"] == "stem_bn3/beta"
    assert names["conv3_1_1x1_proj/weight"] == "stage3_block1_proj_conv/kernel"
    assert names["conv5_3_1x1_up/bias"] == "stage5_block3_se/stage5_block3_se_expand/bias"
    with pytest.raises(ValueError, match="'timm legacy', 'timm', 'caffe'"):
        checkpoints.parameter_names(network, "torchvision")


def test_the_preprocessing_of_a_checkpoint_travels_with_the_network(hub, home, tmp_path):
    network = keras_senet.SEResNeXt26T()
    assert keras_senet.preprocessing_for(network) == keras_senet.Preprocessing(224, 0.875, "bicubic")
    larger = keras_senet.SEResNeXt26T(input_shape=(288, 288, 3))
    larger.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert keras_senet.preprocessing_for(loaded) == keras_senet.Preprocessing(288, 0.95, "bicubic")
    backbone = keras_senet.SEResNeXt26T(include_top=False)
    assert keras_senet.preprocessing_for(backbone) == keras_senet.Preprocessing(None, 0.875, "bicubic")
    again = keras_senet.SEResNeXt26T(weights=tmp_path / "network.keras", input_shape=(288, 288, 3))
    assert keras_senet.preprocessing_for(again) == keras_senet.Preprocessing(288, 0.95, "bicubic")
    assert keras_senet.preprocessing_for(keras_senet.SEResNet20()) == keras_senet.Preprocessing(32, 1.0, "bilinear")
    with pytest.raises(ValueError, match="has no layer PixelNormalization. Build it with include_preprocessing=True"):
        keras_senet.preprocessing_for(keras_senet.SEResNet20(include_preprocessing=False))
    for wrong in ({"crop_ratio": 1.5}, {"interpolation": "cubic"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}` must be"):
            keras_senet.Preprocessing(224, **wrong)
