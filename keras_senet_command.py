"""The entry point of the command keras-senet, which silences TensorFlow before anything imports it.

TensorFlow's C++ code writes a dozen lines to stderr as it is imported, and more as it runs. They would bury the one line that the
command has to say. This module lies outside the package so that `keras_senet` can tell, from its being imported, that it is the
command which runs; then it does not import Keras at once.
"""

import os
import sys


def main() -> None:
    """Runs the command. Set TF_CPP_MIN_LOG_LEVEL, to anything, to see TensorFlow's own messages."""
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        python_stderr = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = os.fdopen(python_stderr, "w", buffering=1, errors="backslashreplace")
    from keras_senet import cli

    sys.exit(cli.main())
