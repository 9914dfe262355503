"""Servers of files on the loopback interface: one that answers as the Hugging Face hub does, also when something goes wrong."""

import contextlib
import hashlib
import http.server
import pathlib
import threading
from collections.abc import Callable, Iterator

import keras
import pytest
from make_fixtures import CLASSES
from reference import narrow

from keras_senet.models.registry import MODELS
from keras_senet.pretrained import CHECKPOINTS, Checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(http.server.ThreadingHTTPServer):
    """Serves one file at every address that is not the hub's interface for programs.

    Attributes:
        file: what it serves; None for 404.
        cut: how many of the next downloads break off in the middle.
        going: whether those end there; else they wait until it is set.
        sha256: what it says that the file's SHA-256 is.
        requests: what it was asked, as "GET", "HEAD" or "GET from 1234".
    """

    def __init__(self, file: pathlib.Path | None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.file, self.cut, self.requests, self.going = file, 0, [], threading.Event()
        self.going.set()
        self.sha256 = "" if file is None else hashlib.sha256(file.read_bytes()).hexdigest()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool):
        server = self.server
        if self.path.startswith("/api/"):  # where huggingface_hub looks for more than files
            self.send_error(404)
            return
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        server.requests.append(self.command + (f" from {begin}" if begin else ""))
        if server.file is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = server.file.read_bytes()
        if begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{server.sha256}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            cut = server.cut > 0
            server.cut -= cut
            self.wfile.write(content[begin : len(content) // 2 if cut else None])
            if cut:
                self.wfile.flush()
                server.going.wait()
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(file: pathlib.Path | None) -> Iterator[Server]:
    with Server(file) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def publish(monkeypatch: pytest.MonkeyPatch, reference: str, **facts) -> Callable[..., keras.Model]:
    """A constructor `Narrow` of the network in fixtures/narrow, whose weights="imagenet" is a checkpoint with those facts.

    Both are there until `monkeypatch` is undone.
    """
    monkeypatch.setattr("keras_senet.models.registry.MODELS", dict(MODELS))
    checkpoint = Checkpoint(model="Narrow", **{"classes": CLASSES, "input_size": 64} | facts)
    monkeypatch.setattr("keras_senet.pretrained.catalogue.CHECKPOINTS", (*CHECKPOINTS, checkpoint))
    return narrow(reference)
