"""The entry point of the command keras-senet.

It is outside the package, because importing anything from keras_senet imports TensorFlow. TensorFlow's C++ code writes a dozen
lines to stderr at import and more as it runs, which would bury the one line that the command has to say.
"""

import functools
import os
import sys


@functools.cache  # a second call would find stderr redirected
def silence_tensorflow() -> None:
    """Sends what C++ code writes to stderr to nowhere, unless TF_CPP_MIN_LOG_LEVEL is set; Python still writes to stderr."""
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        python_stderr = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = os.fdopen(python_stderr, "w", buffering=1, errors="backslashreplace")


def main() -> None:
    """Runs the command. Set TF_CPP_MIN_LOG_LEVEL, to anything, to see TensorFlow's own messages."""
    silence_tensorflow()
    from keras_senet import cli

    sys.exit(cli.main())
