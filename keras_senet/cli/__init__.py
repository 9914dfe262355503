"""The command keras-senet: which commands there are, how one is found and run, and what becomes of its errors.

Each command is a module of this package with

- HELP: what it does, in a sentence;
- EXAMPLE: the arguments of a typical call;
- add_arguments(parser): declares its arguments;
- run(options): does it; returns None, or the exit status.

None of these modules imports Keras or TensorFlow at its top, so that help and errors in arguments come at once.
"""

import argparse
import contextlib
import importlib
import logging
import os
import re
import sys
import textwrap
import warnings
from types import ModuleType

from keras_senet.cli.arguments import Parser
from keras_senet.errors import InputError, UserError, did_you_mean

# In the order in which `keras-senet --help` lists them. Each is the module `keras_senet.cli.NAME`.
COMMANDS = (
    "models",
    "info",
    "train",
    "plot",
    "average",
    "evaluate",
    "predict",
    "export",
    "benchmark",
    "gates",
    "explain",
    "convert",
)


_LONGEST = 400  # characters of an error: more are not read


def main(arguments: list[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: the words after `keras-senet`; by default those of the process.

    Returns:
        The exit status: 0; 1 if some of many images could not be read; 2 after an error that the user can mend, with one line on
        stderr; 130 after Ctrl-C, and 143 after SIGTERM and 129 after SIGHUP
        in training.

    Raises:
        Exception: any other error, because its traceback helps to fix it; with --traceback, the user's errors too.
    """
    show_traceback = False
    warnings.formatwarning = lambda message, *_, **__: f"keras-senet: warning: {message}\n"
    for library in ("tensorflow", "matplotlib"):  # which warns where there is no home folder for its cache
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        show_traceback = options.traceback
        return options.run(options) or 0
    except KeyboardInterrupt as interrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(f"keras-senet: {str(interrupt) or 'interrupted'}", file=sys.stderr)
        return getattr(interrupt, "status", 130)
    except BrokenPipeError:  # whoever reads our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if show_traceback or not _user_can_mend(error):
            raise
        # TensorFlow puts the names of its nodes, {{node ...}}, into its messages.
        message = re.sub(r"\[?\{\{.*?\}\}\]?", "", str(error))
        print(f"keras-senet: error: {textwrap.shorten(message, _LONGEST, placeholder=' ...')}", file=sys.stderr)
        return 2
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options that the words after `keras-senet` stand for; `options.run(options)` does what they ask.

    Raises:
        ValueError: if they do not name a command or do not fit it; the message suggests the nearest names.
        SystemExit: after --help.
    """
    if not arguments or arguments[0].startswith("-"):
        _overview().parse_args(arguments)
        raise InputError("A command is missing. See: keras-senet --help")
    name, *rest = arguments
    if name not in COMMANDS:
        raise InputError(f"There is no command {name!r}.{did_you_mean(name, COMMANDS)} Available: {', '.join(COMMANDS)}.")
    command = _command(name)
    parser = Parser(
        prog=f"keras-senet {name}", description=command.HELP, epilog=f"example:\n  keras-senet {name} {command.EXAMPLE}"
    )
    command.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="after an error, show where in the code it was raised")
    parser.set_defaults(run=command.run)
    return parser.parse_args(rest)


def _command(name: str) -> ModuleType:
    return importlib.import_module(f"keras_senet.cli.{name}")


def _overview() -> Parser:
    """What `keras-senet --help` shows."""
    lines = [f"  {name:<12}{_command(name).HELP}" for name in COMMANDS]
    return Parser(
        prog="keras-senet",
        usage="keras-senet COMMAND ...",
        description="Squeeze-and-Excitation networks: train, evaluate, export.",
        epilog="\n".join(["commands:", *lines, "", "Arguments of a command: keras-senet COMMAND --help"]),
    )


def _user_can_mend(error: Exception) -> bool:
    if isinstance(error, UserError):
        return True
    if isinstance(error, OSError):  # the system's, such as a full disk, has a number; one that a library made up has none
        return error.errno is not None
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return False
    of_the_system = ("NotFoundError", "PermissionDeniedError", "ResourceExhaustedError", "UnavailableError")
    return isinstance(error, tuple(getattr(tensorflow.errors, name) for name in of_the_system))
