"""Published weights: every layout against its source's logits, the cache, real servers, and files that are not what they seem."""

import concurrent.futures
import contextlib
import csv
import io
import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import huggingface_hub
import keras
import numpy as np
import pytest
import synthetic
import tensorflow_datasets
from common import ROOT
from hub import COMMIT, publish, serving
from make_fixtures import EXACT
from reference import (
    FIXTURES,
    NARROW,
    NETWORKS,
    OF_TORCHVISION,
    Name,
    TorchPickler,
    constructor_of,
    logits,
    narrow,
    parameters,
    shapes,
    sizes,
    write_caffemodel,
    write_pth,
    write_safetensors,
    write_zeros,
)
from safetensors.numpy import save_file

import keras_senet
from keras_senet import pretrained
from keras_senet.models import vgg
from keras_senet.models.build import constructor
from keras_senet.models.registry import MODELS
from keras_senet.pretrained.readers import pth

# Whole networks that take many seconds each.
DEEP = re.compile("101|152|154|2[0-9][0-9]|350|420|regnety_(032|320)")
BARE = {"classifier_activation": None, "include_preprocessing": False}


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Networks that a test registers are gone after it."""
    monkeypatch.setattr("keras_senet.models.registry.MODELS", dict(MODELS))


@pytest.fixture
def synthetic_file(tmp_path):
    """Function from a network of timm to a file of its weights, of which the largest takes half a gigabyte."""
    yield lambda reference: write_safetensors(tmp_path / "weights.safetensors", reference)
    (tmp_path / "weights.safetensors").unlink(missing_ok=True)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache folder of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models" / "keras_senet"


def difference(network, expected, images) -> float:
    """The largest, as a share of the largest logit."""
    given = keras.ops.convert_to_numpy(network(images))
    return np.abs(given - expected).max() / np.abs(expected).max()


def exact(reference: str) -> bool:
    """Whether to compute in float64: in float32 timm's own logits of these networks are wrong by 2e-4 and more, by rounding."""
    return reference.removeprefix("timm/") in ("seresnet152d", *EXACT)


@contextlib.contextmanager
def precision(reference: str):
    """Where `exact`, networks compute in float64, and the fixture to compare with is that of timm in float64."""
    keras.config.set_dtype_policy("float64" if exact(reference) else "float32")
    try:
        yield f"{reference}_float64" if exact(reference) else reference
    finally:
        keras.config.set_dtype_policy("float32")


PUBLISHED = [f"timm/{name}" for name in NETWORKS] + [f"torchvision/{name}" for name in OF_TORCHVISION]
WHOLE = [reference for reference in PUBLISHED if sizes(reference)]


@pytest.mark.parametrize(
    "reference",
    [f"narrow/{name}" for name in NARROW]
    + [
        pytest.param(name, marks=pytest.mark.slow if name == "timm/legacy_seresnet50" else pytest.mark.exhaustive)
        for name in WHOLE
    ],
)
def test_logits_equal_those_of_timm(reference, synthetic_file):
    build, file = constructor_of(reference), synthetic_file(reference)
    with precision(reference) as expected:
        network = build(weights=file, input_tensor=keras.Input((None, None, 3)), **BARE)
        for size in sizes(expected):
            assert difference(network, logits(expected, size), [synthetic.image(size)]) <= 1e-4


ON_JAX = """
import re, sys, pathlib, jax, keras, numpy as np, reference, synthetic
from test_checkpoints import BARE, DEEP, precision
assert keras.backend.backend() == "jax"
# The file replaces initial values, which would compile longer than all networks.
keras.initializers.VarianceScaling.__call__ = lambda initializer, shape, dtype=None: np.zeros(shape, dtype)
file = pathlib.Path(sys.argv[1])
for name in sys.argv[2:]:
    reference.write_safetensors(file, name)
    with precision(name) as fixture:
        even, odd = sorted(reference.sizes(fixture), key=lambda size: size % 2)
        both = (("channels_last", even, (0, 1, 2, 3)), ("channels_first", odd, (0, 3, 1, 2)))
        whole = not name.startswith("narrow/")
        # The deep ones take a minute for both, and what small ones make channels last TensorFlow shows too, but for the first.
        one = DEEP.search(name) if whole else name != sys.argv[2]
        for data_format, size, order in both[1:] if one else both:
            keras.config.set_image_data_format(data_format)
            images = synthetic.image(size).transpose(order)
            network = reference.constructor_of(name)(weights=file, input_shape=images.shape[1:], **BARE)
            given, expected = jax.jit(lambda images: network(images))(images), reference.logits(fixture, size)
            assert abs(np.array(given) - expected).max() <= 1e-4 * abs(expected).max(), (name, data_format)
"""
AT_TWO_SIZES = [name for name in WHOLE if len(sizes(name)) == 2]


@pytest.mark.parametrize(
    "references",
    [
        pytest.param([f"narrow/{name}" for name in NARROW], marks=pytest.mark.slow, id="narrow"),
        *(pytest.param([name], marks=pytest.mark.exhaustive, id=name) for name in AT_TWO_SIZES),
    ],
)
def test_logits_on_jax_equal_those_of_timm_in_both_data_formats(references, python, tmp_path):
    environment = {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": str(int(any(map(exact, references))))}
    done = python(ON_JAX, tmp_path / "file.safetensors", *references, **environment)
    assert done.returncode == 0, done.stderr


def test_the_table_says_what_is_known_of_each_checkpoint():
    facts = {row["tag"]: row for row in csv.DictReader((FIXTURES / "checkpoints.csv").read_text().splitlines())}
    ours = {one.name: one for one in keras_senet.list_checkpoints()}
    assert ours.keys() == facts.keys()
    assert len(ours) == 98
    for name, row in facts.items():
        one = ours[name]
        assert row["source"] in (one.url, f"hf:{one.repository}")
        assert (one.classes, one.input_size, one.crop_ratio) == (
            int(row["classes"]) if row["classes"] else None,
            int(row["input_size"]),
            float(row["crop_ratio"]),
        )
        assert (one.interpolation, one.license) == (row["interpolation"], row["license"])
        assert [" ".join(map(str, values)) for values in (one.mean, one.std)] == [row["mean"], row["std"]]
        assert (one.test_input_size or one.input_size) == int(row["test_input_size"])
        assert (one.test_crop_ratio or one.crop_ratio) == float(row["test_crop_ratio"])
        assert (one.top1, one.top5) == tuple(float(row[key]) if row[key] else None for key in ("top1", "top5"))
        assert row["published_size"] in ("", str(one.published_size or one.input_size))


@pytest.mark.usefixtures("without_weights")
@pytest.mark.parametrize(
    "reference",
    [pytest.param(name, marks=pytest.mark.exhaustive if DEEP.search(name) else pytest.mark.slow) for name in PUBLISHED],
)
def test_parameters_have_the_names_and_shapes_of_those_that_were_published(reference):
    published = {name: shape for name, shape in shapes(reference).items() if not name.endswith("num_batches_tracked")}
    classifiers = ("fc.bias", "last_linear.bias", "head.fc.bias", "classifier.bias", "classifier.3.bias")
    classes = next(shape[0] for name, shape in published.items() if name in classifiers)
    network = constructor_of(reference)(weights=None, classes=classes)
    names = pretrained.parameter_names(network, pretrained.Weights.of_timm(reference, published).layout)
    assert names.keys() == published.keys()
    ours = {weight.path: weight.shape for weight in network.weights}
    for name, shape in published.items():
        if len(ours[names[name]]) == 2:  # a dense layer; timm's SE has 1x1 convolutions
            assert shape[2:] in ((), (1, 1))
            shape = shape[:2]
        if len(shape) == 4 and shape[1] == 1:  # depthwise: its channels are the inputs
            shape = shape[1], shape[0], *shape[2:]
        output, *rest = shape
        assert ours[names[name]] == (*rest[1:], *rest[:1], output), name


@pytest.mark.exhaustive
@pytest.mark.parametrize("reference", [name for name in PUBLISHED if name not in WHOLE])
def test_conversion_consumes_every_parameter(reference, tmp_path):
    file = write_zeros(tmp_path / "zeros.safetensors", reference)
    classes = 11821 if reference in ("timm/seresnextaa101d_32x8d_12k", "timm/seresnextaa201d_32x8d") else 1000
    network = constructor_of(reference)(weights=file, classes=classes)
    assert not network.get_layer("stage5_block1_bn2").moving_variance.numpy().any()
    assert network.output_shape == (None, classes)


def test_each_checkpoint_is_of_a_network_that_was_compared():
    for one in keras_senet.list_checkpoints():
        assert (NETWORKS | OF_TORCHVISION)[one.name.partition(".")[0]] == one.model
        if one.name.startswith("regnety_"):  # there is one way to build them
            assert one.architecture == {}
        elif one.model.startswith("MobileNetV3"):
            publisher = {"tf": "tensorflow", "mobilenetv3": "timm", "mobilenet": "torchvision"}[one.name.partition("_")[0]]
            assert one.architecture["publisher"] == publisher
        else:
            assert one.architecture["relu_before_attention" if one.name.startswith("legacy_") else "stride_in_3x3"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A file in the layout of those on the hub, of a small network."""
    return write_safetensors(tmp_path_factory.mktemp("hub") / "model.safetensors", f"narrow/{ON_HUB}")


@pytest.fixture(scope="module")
def small_pth(tmp_path_factory):
    return write_pth(tmp_path_factory.mktemp("releases") / "narrow.pth", f"narrow/{IN_RELEASE}")


ON_HUB, IN_RELEASE = "seresnext26t_32x4d", "legacy_seresnet18"
HUB_FACTS = {"name": "narrow.bt_in1k", "repository": "timm/narrow.bt_in1k", "test_input_size": 96, "test_crop_ratio": 0.95}


@pytest.fixture
def hub(small, monkeypatch, tmp_path):
    """The hub, with that file; its `build` is the constructor of its network."""
    with serving(small) as server:
        use_hub(server.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
        server.build = publish(monkeypatch, ON_HUB, **HUB_FACTS)
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
        file = f"narrow-{server.sha256[:8]}.pth"
        facts = {"name": "legacy_narrow.in1k", "repository": f"{server.url}/v0.1-weights", "file": file}
        server.build = publish(monkeypatch, IN_RELEASE, **facts)
        yield server


@pytest.fixture(params=["hub", "releases"])
def server(request, home, monkeypatch):
    """Each of them, and a client that keeps each kilobyte (not ten megabytes) and does not wait before it tries again."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    return request.getfixturevalue(request.param)


def kept(home: pathlib.Path) -> list[str]:
    """What is in the cache, apart from the empty files that hold locks."""
    return sorted(file.name for file in home.iterdir() if file.stat().st_size) if home.exists() else []


def test_a_download_from_the_hub_is_kept(hub, home):
    network = hub.build(weights="imagenet", input_shape=(65, 65, 3), **BARE)
    expected = logits(f"narrow/{ON_HUB}", 65)
    assert difference(network, expected, synthetic.image(65)) <= 1e-4
    assert kept(home) == ["narrow.bt_in1k.weights.h5"]
    with h5py.File(home / kept(home)[0]) as file:
        assert dict(file.attrs).items() >= {"revision": COMMIT, "source_sha256": hub.sha256}.items()
        assert file.attrs["source"] == "https://huggingface.co/timm/narrow.bt_in1k/resolve/main/model.safetensors"
    hub.requests.clear()
    again = hub.build(weights="bt_in1k", input_shape=(65, 65, 3), **BARE)
    assert difference(again, expected, synthetic.image(65)) <= 1e-4
    assert not hub.requests


def test_a_download_from_a_release_is_kept(releases, home):
    network = releases.build(input_shape=(65, 65, 3), **BARE)
    assert difference(network, logits(f"narrow/{IN_RELEASE}", 65), synthetic.image(65)) <= 1e-4
    releases.requests.clear()
    again = releases.build(weights="legacy_narrow.in1k", input_shape=(65, 65, 3), **BARE)
    assert difference(again, logits(f"narrow/{IN_RELEASE}", 65), synthetic.image(65)) <= 1e-4
    assert not releases.requests
    with h5py.File(home / "legacy_narrow.in1k.weights.h5") as file:
        assert (file.attrs["revision"], file.attrs["source_sha256"]) == ("v0.1-weights", releases.sha256)


def downloads(server) -> list[str]:
    return [request for request in server.requests if request.startswith("GET")]


def test_an_interrupted_download_resumes(server, home):
    server.cut = 1
    server.build()
    first, second = downloads(server)
    assert (first, second.startswith("GET from ")) == ("GET", True)
    (file,) = kept(home)
    assert file.endswith("in1k.weights.h5")


@pytest.mark.parametrize("share", [0.5, 1], ids=["half of it", "all of it"])
def test_a_download_that_failed_goes_on_in_the_next_call(share, server, home):
    """Also where the process ended between the download and the conversion."""
    server.cut = 1000
    with pytest.raises(OSError, match=r"could not be downloaded: .* put it at .*in1k\.(pth|safetensors)$"):
        server.build()
    (partial,) = kept(home)
    assert partial.startswith(".partial-")
    whole = server.file.read_bytes()
    size = (home / partial).stat().st_size
    assert 0.4 * len(whole) < size <= 0.5 * len(whole)
    if share == 1:
        (home / partial).write_bytes(whole)
        size = len(whole)
    server.cut, server.requests = 0, []
    server.build()
    assert downloads(server) == [f"GET from {size}"]
    (file,) = kept(home)
    assert file.endswith("in1k.weights.h5")


@pytest.mark.slow
def test_a_download_goes_on_after_its_process_was_killed(hub, home, tmp_path):
    code = f"""
import huggingface_hub.constants, keras_senet
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 1000
keras_senet.pretrained.keras_file(keras_senet.pretrained.Checkpoint(model="Narrow", **{HUB_FACTS}), None)
"""
    hub.cut = 1
    hub.going.clear()
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "other")}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL) as process:
        while not kept(home):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    hub.going.set()
    (partial,) = kept(home)
    size = (home / partial).stat().st_size
    hub.requests.clear()
    hub.build()
    assert downloads(hub) == [f"GET from {size}"]
    assert kept(home) == ["narrow.bt_in1k.weights.h5"]


def test_what_a_killed_process_left_is_removed_after_a_week(hub, home):
    home.mkdir(parents=True)
    for days in (6, 8):
        left = home / f".partial-{days}"
        left.write_text("left")
        os.utime(left, times=(time.time() - days * 24 * 60 * 60,) * 2)
    hub.build()
    assert kept(home) == [".partial-6", "narrow.bt_in1k.weights.h5"]


def test_what_huggingface_hub_has_is_not_downloaded_again(hub, home, monkeypatch):
    """Not even with HF_HUB_OFFLINE=1."""
    theirs = pathlib.Path(huggingface_hub.hf_hub_download(HUB_FACTS["repository"], "model.safetensors"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    network = hub.build(input_shape=(65, 65, 3), **BARE)
    assert difference(network, logits(f"narrow/{ON_HUB}", 65), synthetic.image(65)) <= 1e-4
    assert not hub.requests
    with h5py.File(home / "narrow.bt_in1k.weights.h5") as file:
        assert dict(file.attrs).items() >= {"revision": COMMIT, "source_sha256": hub.sha256}.items()
    (home / "narrow.bt_in1k.weights.h5").unlink()
    content = bytearray(theirs.read_bytes())
    content[-1] ^= 1
    theirs.write_bytes(content)
    with pytest.raises(ValueError, match=f"should begin with {hub.sha256}. Remove {theirs} and try again"):
        hub.build()
    assert (kept(home), theirs.exists()) == ([], True)


def test_offline_any_revision_in_the_cache_of_huggingface_hub_will_do(hub, home, monkeypatch):
    huggingface_hub.hf_hub_download(HUB_FACTS["repository"], "model.safetensors", revision=COMMIT)  # which makes no `main`
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    hub.build()
    assert not hub.requests
    with h5py.File(home / "narrow.bt_in1k.weights.h5") as file:
        assert file.attrs["revision"] == COMMIT


def test_a_file_that_is_not_what_was_published_is_refused(server, home, tmp_path):
    published = server.file
    content = bytearray(published.read_bytes())
    content[len(content) // 2] ^= 1
    server.file = tmp_path / "altered"
    server.file.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged, or not what was published: its SHA-256 is [0-9a-f]{64} and should begin"):
        server.build()
    assert kept(home) == []
    server.file = published
    server.build()


def test_a_file_that_is_gone_is_an_error_that_names_it(server, home):
    server.file = None
    with pytest.raises(OSError, match="could not be downloaded: .*404"):
        server.build()
    assert kept(home) == []


def test_without_a_network_the_error_says_what_to_download_and_where_to_put_it(hub, small, home, monkeypatch):
    use_hub("http://127.0.0.1:9", monkeypatch)  # where nobody listens
    place = home / "narrow.bt_in1k.safetensors"
    address = "https://huggingface.co/timm/narrow.bt_in1k/resolve/main/model.safetensors"
    with pytest.raises(OSError, match=f"download {address} elsewhere and put it at {place}$"):
        hub.build()
    shutil.copy(small, place)
    network = hub.build(input_shape=(65, 65, 3), **BARE)
    assert difference(network, logits(f"narrow/{ON_HUB}", 65), synthetic.image(65)) <= 1e-4
    assert kept(home) == ["narrow.bt_in1k.safetensors", "narrow.bt_in1k.weights.h5"]


@pytest.mark.slow
def test_two_processes_at_once_leave_one_whole_file(small, python, tmp_path):
    code = f"""
import pytest, numpy as np, synthetic, sys
from hub import publish
build = publish(pytest.MonkeyPatch(), "{ON_HUB}", **{HUB_FACTS})
np.save(sys.argv[1], build(classifier_activation=None, include_preprocessing=False, input_shape=(65, 65, 3))(synthetic.image(65)))
"""
    with serving(small) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        environment = {"HF_ENDPOINT": server.url, "KERAS_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}
        outputs = [tmp_path / f"{number}.npy" for number in (1, 2)]
        for done in pool.map(lambda output: python(code, output, **environment), outputs):
            assert done.returncode == 0, done.stderr
        assert downloads(server) == ["GET"]  # the other one waited
    for output in outputs:
        expected = logits(f"narrow/{ON_HUB}", 65)
        assert np.abs(np.load(output) - expected).max() <= 1e-4 * np.abs(expected).max()
    assert kept(tmp_path / "home" / "models" / "keras_senet") == ["narrow.bt_in1k.weights.h5"]


def test_a_cache_that_cannot_be_written_is_an_error_before_the_download(server, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "/proc/keras")  # where not even root can write
    with pytest.raises(OSError, match="cannot be kept in /proc/keras/models/keras_senet: .* Set .* KERAS_HOME"):
        server.build()
    assert not server.requests


def test_the_cache_needs_no_home_folder(hub, home, monkeypatch):
    monkeypatch.delenv("HOME")
    users = pytest.importorskip("pwd", reason="Windows knows the home folder otherwise")
    monkeypatch.setattr(users, "getpwuid", {}.__getitem__)  # as in a container whose user has no entry there
    hub.build()
    assert kept(home) == ["narrow.bt_in1k.weights.h5"]
    monkeypatch.delenv("KERAS_HOME")
    with pytest.raises(OSError, match="no home folder to keep published weights in: set the environment variable KERAS_HOME"):
        hub.build()


def test_a_damaged_file_in_the_cache_is_noticed(releases, home):
    releases.build()
    cached = home / "legacy_narrow.in1k.weights.h5"
    whole = cached.read_bytes()
    cached.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"in1k.weights.h5 is damaged"):
        releases.build()
    cached.write_bytes(whole)
    with h5py.File(cached, "a") as file:
        file["layers/conv2d_5/vars/0"][0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match="its numbers have changed .* Remove it, and it will be made again"):
        releases.build()


def test_half_precision_networks_leave_whole_numbers_in_the_cache(releases, home):
    keras.config.set_dtype_policy("float16")
    try:
        network = releases.build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("stem_conv").kernel.dtype == "float16"
    kernel = releases.build().get_layer("stem_conv").kernel.numpy()
    np.testing.assert_array_equal(kernel, parameters(f"narrow/{IN_RELEASE}")["layer0.conv1.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize("file_format", ["zip", "stream"])
def test_files_of_pytorch_are_read_without_it(file_format):
    """Written by PyTorch 2.13, in the format of today and in that before 1.6: shared storage, views, scalars, half precision."""
    expected = np.load(FIXTURES / "pth" / "expected.npz")
    read = pth.read_pth(str(FIXTURES / "pth" / f"{file_format}.pth"))
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
def test_a_damaged_pth_file_is_an_error_or_gives_what_it_holds(file_format, tmp_path):
    """Cut off, or with a bit flipped, anywhere: in lengths, indices, opcodes, names, numbers.

    A zip archive has a checksum of all that is read, so whatever is accepted is what was written. A stream has none.
    """
    whole = (FIXTURES / "pth" / f"{file_format}.pth").read_bytes()
    expected = pth.read_pth(str(FIXTURES / "pth" / f"{file_format}.pth"))
    damaged, random = tmp_path / "damaged.pth", np.random.default_rng(0)
    refused = accepted = 0
    for _ in range(600):
        content, position = bytearray(whole), random.integers(len(whole))
        is_cut = random.random() < 0.3
        if is_cut:
            del content[position:]
        else:
            content[position] ^= 1 << random.integers(8)
        damaged.write_bytes(content)
        try:
            state = pth.read_pth(str(damaged))
        except ValueError:
            refused += 1
            continue
        accepted += 1
        assert not is_cut
        if file_format == "stream" and position < _end_of_pickles(whole):
            # Another name, shape or stride, which `assign` may refuse; no number comes from elsewhere.
            assert all(number.tobytes() in content for value in state.values() for number in value.flat)
            continue
        assert [(*key, value.dtype, value.shape) for *key, value in state.items()] == [
            (*key, value.dtype, value.shape) for *key, value in expected.items()
        ]
        for name, value in state.items():
            flipped = np.frombuffer(value.tobytes(), np.uint8) ^ np.frombuffer(expected[name].tobytes(), np.uint8)
            assert np.unpackbits(flipped).sum() <= (file_format == "stream")
    assert min(refused, accepted) > 100


def _end_of_pickles(stream: bytes) -> int:
    """Where the list of storages begins, the last pickle before the numbers."""
    return stream.index(b"\x80\x02]", len(stream) // 3)


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
        pth.read_pth(str(file))
    file.write_bytes(_rebuilt(4, 1, (3,), (1,)))
    assert pth.read_pth(str(file))["a"].tolist() == [0, 0, 0]


def test_a_stream_without_its_numbers_is_refused(tmp_path):
    """They would be whatever was in memory before."""
    whole = (FIXTURES / "pth" / "stream.pth").read_bytes()
    file = tmp_path / "weights.pth"
    file.write_bytes(whole[: _end_of_pickles(whole)] + pickle.dumps([], protocol=2))
    with pytest.raises(ValueError, match="does not hold the storages that its tensors are made of"):
        pth.read_pth(str(file))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".keras", ".weights.h5", ".caffemodel"])
def test_files_that_are_cut_off_or_of_another_kind_are_refused(suffix, small, tmp_path):
    file, whole = tmp_path / f"file{suffix}", small.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"PK\x03\x04 not what it seems"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{file} (is damaged|holds no parameters)"):
            narrow(ON_HUB)(weights=file)


def test_a_file_for_another_network_is_refused_with_a_list(small):
    with pytest.raises(ValueError, match=r"10\): 6 misshapen \(.*conv1.0.weight, \(3, 3, 3, 24\) in place of \(3, 3, 3, 32\)"):
        narrow("seresnext26d_32x4d")(weights=small)
    given, needed = (
        {name: shape for name, shape in shapes(f"narrow/{reference}").items() if not name.endswith("num_batches_tracked")}
        for reference in (ON_HUB, "seresnet50")
    )
    missing, unexpected = len(needed.keys() - given.keys()), len(given.keys() - needed.keys())
    misshapen = sum(needed[name] != given[name] for name in needed.keys() & given.keys())
    words = rf"{missing} missing \(conv1.weight, .* {missing - 5} more\); {unexpected} unexpected \(.*; {misshapen} misshapen \("
    with pytest.raises(ValueError, match=words):
        narrow("seresnet50")(weights=small)
    with pytest.raises(ValueError, match="unexpected"):
        keras_senet.SEResNet20(weights=small, classes=10)


# Names of parameters of other networks of timm and torchvision; of RegNets, those in the first block.
OTHER_NETWORKS = {
    "an EfficientNet": ("conv_stem.weight", "blocks.0.0.se.conv_reduce.weight", "conv_head.weight", "bn2.weight"),
    "an EfficientNet, or": ("features.0.0.weight", "features.1.0.block.0.0.weight"),
    "a GhostNet": ("conv_stem.weight", "blocks.0.0.ghost1.primary_conv.0.weight"),
    "a vision transformer": ("cls_token", "blocks.0.attn.qkv.weight"),
    "a DenseNet": ("features.conv0.weight", "features.denseblock1.denselayer1.conv1.weight"),
    "a ConvNeXt": ("stem.0.weight", "stages.0.blocks.0.conv_dw.weight"),
    "a VoVNet": ("stem.0.conv.weight", "stages.0.blocks.0.conv_concat.conv.weight"),
    "a ResNet without SE": ("conv1.weight", "layer1.0.conv1.weight"),
    "a RegNetX, which has no SE": ("s1.b1.conv1.conv.weight", "s1.b1.conv1.bn.running_mean", "s1.b1.downsample.conv.weight"),
    "a RegNetX": ("trunk_output.block1.block1-0.f.a.0.weight", "trunk_output.block1.block1-0.proj.0.weight"),
    "a RegNetZ": ("s1.b1.conv1.conv.weight", "s1.b1.conv1.bn.running_mean", "s1.b1.se.fc1.weight"),
    "a RegNetV": ("s1.b1.norm1.weight", "s1.b1.norm1.running_mean", "s1.b1.conv1.weight", "s1.b1.se.fc1.weight"),
    "a RegNetY with group normalization": ("s1.b1.conv1.bn.weight", "s1.b1.se.fc1.weight", "s1.b1.downsample.conv.weight"),
}


@pytest.mark.parametrize("kind", OTHER_NETWORKS)
def test_another_kind_of_network_is_named(kind, tmp_path):
    file = tmp_path / "weights.safetensors"
    save_file({name: np.zeros(1, np.float32) for name in OTHER_NETWORKS[kind]}, file)
    with pytest.raises(ValueError, match=rf"{file} holds {kind}.*, which is not here.* keras_senet.list_families"):
        keras_senet.RegNetY002(weights=file)


def test_a_checkpoint_without_a_classifier(monkeypatch, home, tmp_path):
    """As regnety_320.seer: a backbone, and the start of a classifier of one's own."""
    values = {name: value for name, value in parameters("narrow/regnety_002").items() if not name.startswith("head.")}
    save_file(values, tmp_path / "model.safetensors")
    with serving(tmp_path / "model.safetensors") as server:
        use_hub(server.url, monkeypatch)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
        facts = {"name": "narrow.seer", "repository": "timm/narrow.seer", "classes": None}
        build = publish(monkeypatch, "regnety_002", **facts)
        backbone = build(include_top=False, pooling="avg", include_preprocessing=False)
        with pytest.warns(UserWarning, match="narrow.seer have no classifier: the classifier of 5 classes starts at random"):
            classifier = build(weights="seer", classes=5, input_shape=(65, 65, 3), include_preprocessing=False)
        with pytest.raises(ValueError, match="narrow.seer have no classifier, .* pass the number of your own classes"):
            build()
        with pytest.raises(ValueError, match=r"narrow.seer has no classifier: train one on it"):
            keras_senet.export.open_classifier("narrow.seer")
    whole = narrow("regnety_002")(weights=write_safetensors(tmp_path / "whole.safetensors", "narrow/regnety_002"))
    for weight in backbone.weights:
        np.testing.assert_array_equal(weight, next(other for other in whole.weights if other.path == weight.path))
    pooled = keras.Model(classifier.input, classifier.get_layer("avg_pool").output)
    np.testing.assert_allclose(pooled(synthetic.image(65)), backbone(synthetic.image(65)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("RegNetY008", {"weights": "tv2_in1k"}, "for RegNetY008. It takes None, 'imagenet', 'pycls_in1k', or the path"),
        ("RegNetY320", {"weights": "swag_lc_in1k", "attention_position": "standard"}, "its attention as it was published"),
        ("SEResNet50", {"weights": "ra3_in1k"}, "'ra3_in1k' for SEResNet50. Did you mean 'a3_in1k' or 'ra2_in1k'"),
        ("SEResNet50", {"weights": "seresnext50_32x4d.gluon_in1k"}, "They are for SEResNeXt50"),
        ("SEVGG16", {"weights": "imagenet"}, "no weights 'imagenet' for SEVGG16. It takes None, or the path"),
        ("SEResNet50", {"weights": "weights.bin", "attention": None}, "no weights 'weights.bin'"),
        ("SEResNet50", {"weights": "efficientnet_b0.ra_in1k"}, "'efficientnet_b0' is not here: the families are SE-ResNet, "),
        ("SEResNet50", {"weights": "a1_in1k", "classifier_activation": "sigmoid"}, "None or 'softmax'"),
    ],
)
def test_weights_that_are_not_there_are_an_error_that_says_which_are(name, arguments, words, hub, home):
    with pytest.raises(ValueError, match=words):
        getattr(keras_senet, name)(**arguments)
    assert not hub.requests


def test_other_numbers_of_classes(hub, home):
    with pytest.warns(UserWarning, match="have 10 classes: the classifier of 5 classes starts at random"):
        ours = hub.build(classes=5)
    assert ours.output_shape == (None, 5)
    published = parameters(f"narrow/{ON_HUB}")["conv1.0.weight"]
    np.testing.assert_array_equal(ours.get_layer("stem_conv1").kernel.numpy(), published.transpose(2, 3, 1, 0))
    assert ours.get_layer("predictions").kernel.numpy().std() > 0.01


def test_a_fresh_classifier_does_not_depend_on_what_was_in_the_cache(hub, home):
    kernels = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        with pytest.warns(UserWarning, match="starts at random"):
            kernels.append(hub.build(classes=5).get_layer("predictions").kernel.numpy())
    np.testing.assert_array_equal(*kernels)


def test_weights_with_another_number_of_classes_say_so(small, hub, home):
    for build, weights, classes in (
        (keras_senet.SEResNeXt26T, small, 10),
        (keras_senet.SEResNeXtAA101D_32x8d, "sw_in12k", 11821),
    ):
        with pytest.raises(
            ValueError, match=f"have {classes} classes, and this network has 1000 by default: pass classes={classes} to keep"
        ):
            build(weights=weights)
    assert not hub.requests


def test_attention_that_was_not_published_has_no_published_weights(small):
    for changed in ({"reduction": 8}, {"attention": None}, {"attention_position": "pre"}, {"gate": "tanh"}):
        with pytest.raises(ValueError, match="belongs to a network with its attention as it was published"):
            narrow(ON_HUB)(weights=small, **changed)


def test_one_channel_gets_the_sum_of_three_kernels(small):
    build = narrow(ON_HUB)
    color = build(weights=small, input_shape=(64, 64, 3), **BARE)
    gray = build(weights=small, input_shape=(64, 64, 1), **BARE)
    image = synthetic.image(64)[..., :1]
    expected = keras.ops.convert_to_numpy(color(np.repeat(image, 3, axis=-1)))
    assert difference(gray, expected, image) <= 1e-5
    with pytest.raises(ValueError, match=r"1 misshapen \(conv1.0.weight, \(3, 3, 3, 24\) in place of \(3, 3, 4, 24\)\)"):
        build(weights=small, input_shape=(64, 64, 4))


def test_without_the_top_the_backbone_is_the_same(small):
    whole = narrow(ON_HUB)(weights=small, input_shape=(96, 128, 3))
    backbone = narrow(ON_HUB)(weights=small, include_top=False, pooling="avg")
    pooled = keras.Model(whole.input, whole.get_layer("avg_pool").output)
    images = 255 * np.random.default_rng(0).random((1, 96, 128, 3), "float32")
    np.testing.assert_allclose(backbone(images), pooled(images), rtol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("reference", ["narrow/seresnext50_32x4d", "narrow/legacy_seresnet18", "narrow/regnety_002"])
def test_a_file_of_keras_knows_which_variant_it_was_saved_from(reference, suffix, synthetic_file, tmp_path):
    build = constructor_of(reference)
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
    narrow("seresnextaa101d_32x8d")(weights=None, input_shape=(64, 64, 3)).save_weights(file)
    with pytest.raises(ValueError, match="does not have the layers stage3_block1_pool2"):
        narrow("seresnext101d_32x8d")(weights=file, input_shape=(64, 64, 3))


def test_vgg_without_its_top(tmp_path):
    architecture = vgg.VGG(depths=(1, 2), widths=(16, 32), stages=(1, 2), fully_connected=(32, 32))
    build = constructor("Narrow", architecture, vgg.features, "Narrow.")
    whole = build(input_shape=(32, 32, 3), classes=10)
    whole.save_weights(tmp_path / "vgg.weights.h5")
    backbone = build(weights=tmp_path / "vgg.weights.h5", include_top=False)
    np.testing.assert_array_equal(backbone.get_weights()[0], whole.get_weights()[0])
    with pytest.warns(UserWarning, match="10 classes: the classifier of 5"):
        other = build(weights=tmp_path / "vgg.weights.h5", input_shape=(32, 32, 3), classes=5)
    np.testing.assert_array_equal(other.get_layer("fc2").kernel.numpy(), whole.get_layer("fc2").kernel.numpy())


# What caffe.readthedocs calls synsets.txt: ILSVRC's own order. Everybody else sorts the ids, tensorflow-datasets among them.
ILSVRC_ORDER = (ROOT / "keras_senet/pretrained/readers/caffe_class_order.txt").read_text().split()
SORTED_IDS = pathlib.Path(tensorflow_datasets.__file__).with_name("datasets") / "imagenet2012" / "labels.txt"


@pytest.mark.parametrize("number", [0, 1, 500, 999])
def test_a_caffe_file_that_fires_for_a_class_gives_that_class_its_name(number, tmp_path):
    """hujie-frank/SENet, issues 25 and 63: class 0 of the authors' files is the kit fox, n02119789, not the tench."""
    assert ILSVRC_ORDER[0] == "n02119789"
    names = SORTED_IDS.read_text().split()
    assert not any(theirs == ours for theirs, ours in zip(ILSVRC_ORDER, names, strict=True))
    weights = {"conv/weight": np.ones((1, 3, 1, 1)), "classifier/weight": np.zeros((1000, 4)), "classifier/bias": np.zeros(1000)}
    weights["classifier/weight"][number] = 1
    weights["classifier/bias"][number] = 2
    read = pretrained.read_weights(write_caffemodel(tmp_path / "network.caffemodel", weights))
    for part in ("weight", "bias"):
        (fires,) = np.unique(np.nonzero(read.parameters[f"classifier/{part}"])[0])
        assert names[fires] == ILSVRC_ORDER[number]


def test_a_caffe_classifier_of_other_classes_keeps_their_order(tmp_path):
    weights = {"conv/weight": np.ones((1, 3, 1, 1)), "classifier/weight": np.eye(5), "classifier/bias": np.arange(5.0)}
    read = pretrained.read_weights(write_caffemodel(tmp_path / "network.caffemodel", weights))
    np.testing.assert_array_equal(read.parameters["classifier/bias"], np.arange(5))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "reference"), [("SEResNet50", "SE-ResNet-50"), ("SEBNInception", "SE-BN-Inception")])
def test_the_authors_caffe_files_give_the_logits_of_their_definitions(name, reference, tmp_path):
    """Those take BGR pixels less a mean; ours takes RGB pixels, and keeps the mean when it is saved and built again."""
    build, file = getattr(keras_senet, name), write_caffemodel(tmp_path / "network.caffemodel", f"caffe/{reference}")
    network = build(weights=file, classifier_activation=None)
    file.unlink()
    pixels = synthetic.image(224)[..., ::-1] + np.array([123, 117, 104], "float32")
    theirs = logits(f"caffe/{reference}", 224)[..., np.argsort(ILSVRC_ORDER)]
    assert difference(network, theirs, pixels) <= 1e-4
    network.save(tmp_path / "network.keras")
    again = build(weights=tmp_path / "network.keras", classifier_activation=None)
    np.testing.assert_array_equal(again(pixels), network(pixels))


@pytest.mark.usefixtures("without_weights")
def test_the_names_of_senet154_are_those_of_its_definition():
    network = keras_senet.SENet154(weights=None)
    names = pretrained.parameter_names(network, "caffe")
    assert len(names) == len(network.weights)
    assert names["conv1_1/3x3_s2/weight"] == "stem_conv1/kernel"
    assert names["conv1_3/3x3/bn/scale/bias"] == "stem_bn3/beta"
    assert names["conv3_1_1x1_proj/weight"] == "stage3_block1_proj_conv/kernel"
    assert names["conv5_3_1x1_up/bias"] == "stage5_block3_se/stage5_block3_se_expand/bias"
    with pytest.raises(ValueError, match="'timm legacy', 'timm', 'timm byobnet', "):
        pretrained.parameter_names(network, "torchvision")


def test_the_preprocessing_of_a_checkpoint_travels_with_the_network(hub, home, tmp_path):
    network = hub.build()
    assert keras_senet.preprocessing_for(network) == keras_senet.Preprocessing(64, 0.875, "bicubic")
    larger = hub.build(input_shape=(96, 96, 3))
    larger.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert keras_senet.preprocessing_for(loaded) == keras_senet.Preprocessing(96, 0.95, "bicubic")
    backbone = hub.build(include_top=False)
    assert keras_senet.preprocessing_for(backbone) == keras_senet.Preprocessing(None, 0.875, "bicubic")
    again = hub.build(weights=tmp_path / "network.keras", input_shape=(96, 96, 3))
    assert keras_senet.preprocessing_for(again) == keras_senet.Preprocessing(96, 0.95, "bicubic")
    assert keras_senet.preprocessing_for(keras_senet.SEResNet20()) == keras_senet.Preprocessing(32, 1.0, "bilinear")
    with pytest.raises(ValueError, match="has no layer PixelNormalization. Build it with include_preprocessing=True"):
        keras_senet.preprocessing_for(keras_senet.SEResNet20(include_preprocessing=False))
    for wrong in ({"crop_ratio": 1.5}, {"interpolation": "cubic"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))}` must be"):
            keras_senet.Preprocessing(224, **wrong)


@pytest.mark.parametrize(
    ("prefix", "key"),
    [("module.", None), ("_orig_mod.", None), ("model.", "state_dict"), ("module._orig_mod.", "model")],
)
def test_the_names_of_a_wrapped_network_are_those_of_the_network(prefix, key, tmp_path):
    """Of DistributedDataParallel, torch.compile, Lightning; and beside the epoch in a checkpoint of a training run."""
    plain = pretrained.read_weights(write_pth(tmp_path / "plain.pth", "narrow/legacy_seresnet18"))
    wrapped = pretrained.read_weights(write_pth(tmp_path / "wrapped.pth", "narrow/legacy_seresnet18", prefix, key))
    assert wrapped.layout == plain.layout
    assert wrapped.parameters.keys() == plain.parameters.keys()
    for name, value in plain.parameters.items():
        np.testing.assert_array_equal(wrapped.parameters[name], value)


@pytest.mark.parametrize(
    ("file", "said"),
    [("git_lfs_pointer", "is a Git LFS pointer, .*git lfs pull"), ("html", "is a web page, perhaps one that asks")],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".caffemodel", ".keras", ".weights.h5", ".tflite"])
def test_what_a_download_brought_in_place_of_a_file_is_named(file, said, suffix, tmp_path):
    path = shutil.copyfile(ROOT / "tests" / "fixtures" / "inputs" / f"{file}.pth", tmp_path / f"network{suffix}")
    with pytest.raises(ValueError, match=f"{re.escape(str(path))} {said}"):
        keras_senet.export.open_classifier(path) if suffix == ".tflite" else pretrained.read_weights(path)


def test_other_classes_are_said_before_a_download(monkeypatch):
    def download(*_):
        raise AssertionError("nothing may be downloaded yet")

    monkeypatch.setattr(pretrained, "keras_file", download)
    with pytest.warns(UserWarning, match="1000 classes: the classifier of 7 classes"), pytest.raises(AssertionError):
        keras_senet.SEResNet50(weights="imagenet", classes=7)
    checkpoint = "seresnextaa101d_32x8d.sw_in12k"
    with pytest.raises(ValueError, match="have 11821 classes, and this network has 1000 by default: pass classes=11821"):
        keras_senet.SEResNeXtAA101D_32x8d(weights=checkpoint)
