"""The page of examples/web in a real browser: what it shows is what Keras computes, and it asks nobody but its own server."""

import base64
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from common import DEMO, ROOT
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

import keras_senet

DIGITS = ROOT / "examples" / "digits"
LAST_SE = "stage4_block3_se"
PROGRAMS = ("chromium", "chromedriver", "npm")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
PATIENCE = 60  # seconds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"examples/web is tested with {', '.join(PROGRAMS)}; missing: {MISSING}"),
]


@pytest.fixture(scope="module")
def network():
    return keras.saving.load_model(DEMO / "model.keras")


@pytest.fixture(scope="module")
def site(network, tmp_path_factory):
    """The folder that is served: in `digits` the page with the demo's network."""
    site = tmp_path_factory.mktemp("site")
    made_by_users = shutil.ignore_patterns("node_modules", "model.tflite", "labels.txt")
    digits = shutil.copytree(ROOT / "examples" / "web", site / "digits", ignore=made_by_users)
    installed = subprocess.run(["npm", "ci"], cwd=digits, capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    keras_senet.export.tflite(network, digits / "model.tflite", list("0123456789"), gates=LAST_SE)
    return site


def copy_page(site, name):
    return shutil.copytree(site / "digits", site / name, copy_function=os.link)


@pytest.fixture(scope="module")
def address(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync disable-background-networking"
    only_loopback = "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    profile = f"user-data-dir={tmp_path_factory.mktemp('chromium')}"
    for flag in (*flags.split(), "disable-component-update", "window-size=900,1000", only_loopback, profile):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as browser:
        yield browser


def text(browser, name: str) -> str:
    """Of one element, also when it is folded up."""
    return browser.find_element(By.ID, name).get_attribute("textContent")


def wait_for_message(browser, beginning: str) -> str:
    WebDriverWait(browser, PATIENCE, 0.02).until(
        lambda browser: text(browser, "message").startswith(beginning), f"message {beginning!r}"
    )
    return text(browser, "message")


def open_page(browser, url: str) -> None:
    browser.get(url)
    wait_for_message(browser, "The network is ready.")


def choose(browser, file) -> str:
    browser.find_element(By.ID, "file").send_keys(str(file))
    return wait_for_message(browser, file.name)


def shown_classes(browser) -> dict[str, float]:
    rows = [item.text.split("\n") for item in browser.find_elements(By.CSS_SELECTOR, "#classes li")]
    return {name: float(share.removesuffix(" %")) / 100 for name, share in rows}


def assert_shows(browser, probabilities: np.ndarray) -> None:
    """The five highest, highest first, by the names of their digits."""
    shown = shown_classes(browser)
    np.testing.assert_allclose(list(shown.values()), np.sort(probabilities)[:-6:-1], atol=1e-3)
    np.testing.assert_allclose(list(shown.values()), [probabilities[int(name)] for name in shown], atol=1e-3)


def seen(browser) -> np.ndarray:
    """The pixels that the page draws as the network's input."""
    pixels = browser.execute_script(
        "const canvas = document.getElementById('seen');"
        "return [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    )
    size = round((len(pixels) / 4) ** 0.5)
    return np.reshape(pixels, (size, size, 4))[..., :3]


def test_the_page_reads_the_digits_as_keras_does(browser, address, network):
    se = network.get_layer(LAST_SE)
    both = keras.Model(network.inputs, [network.output, se.gates(se.input)])
    open_page(browser, f"{address}/digits/")
    for digit in range(10):
        file = DIGITS / f"{digit}.png"
        message = choose(browser, file)
        pixels = keras_senet.data.read_image(file, keras_senet.Preprocessing(32))
        probabilities, gates = (output[0].numpy() for output in both(pixels[np.newaxis]))

        assert_shows(browser, probabilities)
        name, share, milliseconds = re.fullmatch(rf"{digit}\.png: (\d), ([\d.]+) %, in ([\d.]+) ms", message).groups()
        assert name == str(digit)
        assert float(share) / 100 == pytest.approx(probabilities[digit], abs=1e-3)
        assert 0 < float(milliseconds) < 1000 * PATIENCE

        np.testing.assert_allclose([float(word) for word in text(browser, "values").split()], gates, atol=2e-3)
        ends = [float(text(browser, name)) for name in ("lowest", "highest")]
        np.testing.assert_allclose(ends, [gates.min(), gates.max()], atol=2e-3)


def test_the_bars_are_as_long_as_the_probabilities(browser, address):
    open_page(browser, f"{address}/digits/")
    choose(browser, DIGITS / "3.png")
    lengths = [bar.size["width"] for bar in browser.find_elements(By.CSS_SELECTOR, ".bar, .bar div")]
    shares = [part / whole for whole, part in zip(lengths[::2], lengths[1::2], strict=True)]
    np.testing.assert_allclose(shares, list(shown_classes(browser).values()), atol=0.01)


def test_the_gate_under_the_pointer_is_named(browser, address):
    open_page(browser, f"{address}/digits/")
    choose(browser, DIGITS / "7.png")
    values = text(browser, "values").split()
    strip = browser.find_element(By.ID, "strip")
    for channel in (0, 10, 63):
        offset = round((channel + 0.5) / len(values) * strip.size["width"] - strip.size["width"] / 2)
        webdriver.ActionChains(browser).move_to_element_with_offset(strip, offset, 0).perform()
        assert text(browser, "channel") == f"channel {channel}: {values[channel]}"


def test_an_image_can_be_dropped_and_the_file_input_reached_by_keyboard(browser, address):
    open_page(browser, f"{address}/digits/")
    browser.execute_script(
        """
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(arguments[0]), (byte) => byte.charCodeAt())], "dropped"));
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
        document.querySelector("main").dispatchEvent(event);
        """,
        base64.b64encode((DIGITS / "8.png").read_bytes()).decode(),
    )
    assert wait_for_message(browser, "dropped").startswith("dropped: 8, ")
    webdriver.ActionChains(browser).send_keys(webdriver.Keys.TAB).perform()
    assert browser.switch_to.active_element.get_attribute("id") == "file"


@pytest.mark.parametrize("shape", [(32, 32), (33, 50), (70, 21), (300, 401)])
def test_images_of_any_size_are_prepared_as_for_evaluation(shape, browser, address, network, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    file = tmp_path / "noise.png"
    file.write_bytes(tf.io.encode_png(pixels).numpy())
    open_page(browser, f"{address}/digits/")
    choose(browser, file)
    expected = keras_senet.data.read_image(file, keras_senet.Preprocessing(32))
    np.testing.assert_allclose(seen(browser), expected, atol=0.501)  # it shows whole numbers
    assert_shows(browser, network(expected[np.newaxis])[0].numpy())


@pytest.mark.parametrize("name", ["exif6.jpg", "exif6.png", "black_logo_transparent.png", "trans.gif", "plain.webp", "pal8.bmp"])
def test_photographs_are_shown_upright_and_over_white(name, browser, address):
    """The browser may resolve colors and chroma a little differently."""
    file = ROOT / "tests" / "fixtures" / "images" / name
    open_page(browser, f"{address}/digits/")
    choose(browser, file)
    np.testing.assert_allclose(seen(browser), keras_senet.data.read_image(file, keras_senet.Preprocessing(32)), atol=3)


def test_a_large_network_without_gates_looks_at_the_centre(browser, site, address, tmp_path):
    page = copy_page(site, "large")
    for name in ("model.tflite", "labels.txt"):
        (page / name).unlink()
    large = keras.Sequential([keras.Input((72, 72, 3)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2, "softmax")])
    keras_senet.export.tflite(large, page / "model.tflite", ["crème brûlée", "<b>"])
    pixels = np.random.default_rng(0).integers(0, 256, (100, 141, 3), np.uint8)
    (tmp_path / "noise.png").write_bytes(tf.io.encode_png(pixels).numpy())
    open_page(browser, f"{address}/large/")
    choose(browser, tmp_path / "noise.png")
    expected = keras_senet.data.read_image(tmp_path / "noise.png", keras_senet.Preprocessing(72))
    np.testing.assert_allclose(seen(browser), expected, atol=0.501)
    probabilities = dict(zip(["crème brûlée", "<b>"], large(expected[np.newaxis])[0].numpy(), strict=True))
    assert shown_classes(browser) == pytest.approx(probabilities, abs=1e-3)
    assert not browser.find_element(By.ID, "gates").is_displayed()


def test_a_file_that_is_no_image_is_named_and_shows_no_result(browser, address, tmp_path):
    (tmp_path / "notes.txt").write_text("seven")
    open_page(browser, f"{address}/digits/")
    choose(browser, DIGITS / "7.png")
    message = choose(browser, tmp_path / "notes.txt")
    assert message == "notes.txt is damaged, or not an image that this browser can read."
    assert not browser.find_element(By.ID, "result").is_displayed()
    assert choose(browser, DIGITS / "7.png").startswith("7.png: 7, ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("node_modules", None, "LiteRT.js cannot be loaded: run `npm ci`"),
        ("model.tflite", None, "model.tflite cannot be loaded: export the network"),
        ("model.tflite", "seven", "model.tflite is damaged, or not a TFLite file"),
        ("labels.txt", None, "labels.txt cannot be loaded: export the network"),
        ("labels.txt", "one\ntwo\n", "labels.txt names 2 classes, but model.tflite has 10."),
    ],
)
def test_what_the_page_lacks_is_named(name, content, message, browser, site, address):
    page = copy_page(site, "broken")
    if name == "node_modules":
        shutil.rmtree(page / name)
    else:
        (page / name).unlink()
    if content is not None:
        (page / name).write_text(content)
    browser.get(f"{address}/broken/")
    assert "\n" not in wait_for_message(browser, message)
    shutil.rmtree(page)


def test_no_request_leaves_the_server_of_the_page(browser, address):
    browser.get_log("performance")
    open_page(browser, f"{address}/digits/")
    choose(browser, DIGITS / "7.png")
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert f"{address}/digits/model.tflite" in urls
    assert all(url.startswith((f"{address}/", "data:")) for url in urls), urls
