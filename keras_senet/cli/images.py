"""The images that a command is given, one after the other, also where some of them cannot be read."""

import argparse
import pathlib
import sys
from collections.abc import Iterator

from keras_senet.errors import InputError


def add_images(parser: argparse.ArgumentParser) -> None:
    """The images; `Images` reads them."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="an image, or a folder of images")


class Images:
    """Images as a network takes them, one at a time, so that memory does not grow with their number.

    Iterating gives for each file its path, the image `(H, W, C)` in [0, 255], or None if it could not be read, and why it could
    not, or "". Such files are named on stderr; if there is no other, the error is raised.

    Attributes:
        files: the paths of all images.
    """

    def __init__(self, options: argparse.Namespace, preprocessing):
        from keras_senet import data

        self.files: list[pathlib.Path] = data.list_images(options.images)
        self._preprocessing = preprocessing
        self._unread = 0

    def __iter__(self) -> Iterator[tuple]:
        from rich.console import Console
        from rich.progress import track

        from keras_senet import data

        console = Console(stderr=True)
        for file in track(self.files, "Reading", console=console, transient=True, disable=not console.is_terminal):
            try:
                image = data.read_image(file, self._preprocessing).numpy()
            except (InputError, OSError) as error:
                if len(self.files) == 1:
                    raise
                self._unread += 1
                print(f"keras-senet: warning: {error}", file=sys.stderr)
                yield file, None, str(error)
            else:
                yield file, image, ""

    def status(self) -> int:
        """The exit status when all have been iterated over: 1 if some could not be read, and then stderr says how many."""
        if self._unread:
            print(
                f"keras-senet: {self._unread} of {len(self.files)} images could not be read; they are named above.",
                file=sys.stderr,
            )
        return int(self._unread > 0)
