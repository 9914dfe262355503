"""The entry point of the command keras-senet, which prepares the process before anything imports TensorFlow.

TensorFlow's C++ code writes a dozen lines to stderr as it is imported, and more as it runs. They would bury the one line that the
command has to say. This module lies outside the package so that `keras_senet` can tell, from its being imported, that it is the
command which runs; then it does not import Keras at once.
"""

import io
import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Runs the command. Set TF_CPP_MIN_LOG_LEVEL, to anything, to see TensorFlow's own messages."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores Ctrl-C, and stays so
        signal.signal(signal.SIGINT, _interrupt)
    if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:
        python_stderr = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = os.fdopen(python_stderr, "w", buffering=1, errors="backslashreplace")
    # A file name can have letters that the encoding of the terminal or the pipe lacks.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    from keras_senet import cli

    sys.exit(cli.main())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ends the process if Ctrl-C comes during an import, and raises KeyboardInterrupt otherwise.

    C extensions turn an exception that is raised while they are imported into an ImportError, and whoever imports them may go on
    without them.
    """
    caller = frame
    while caller is not None:
        if caller.f_code.co_filename == "<frozen importlib._bootstrap>":
            os.write(sys.stderr.fileno(), b"keras-senet: interrupted\n")
            os._exit(130)
        caller = caller.f_back
    signal.default_int_handler(number, frame)
