"""The entry point of the command keras-senet.

It lies outside the package because of what it must do first: importing anything from keras_senet imports TensorFlow, whose C++
code writes a dozen lines to stderr at once and more as it runs. They would bury the one line that the command has to say.
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
