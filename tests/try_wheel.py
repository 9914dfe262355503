"""Installs a wheel as strangers do, and writes what each extra brings: python tests/try_wheel.py dist/*.whl TABLE [EXTRA ...].

For the package alone, and for each extra alone, it makes an environment without constraints in a folder for temporary files,
measures how long the installation takes and how large it is, and runs a command that needs the extra, outside of the checkout.
"""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).parent.parent
DEMO = ROOT / "saved_models" / "seresnet20_digits"
BASE = "import keras_senet, numpy; m = keras_senet.SEResNet20(weights=None); print(m.predict(numpy.zeros((1, 32, 32, 3))).shape)"

# By extra: what is run, a program for Python or the arguments of keras-senet.
TRIALS: dict[str, list] = {
    "": [BASE, ["models"], ["info", "SEResNet20"], ["predict", DEMO / "model.keras", ROOT / "examples" / "digits"]],
    "train": [
        ["train", "--config", DEMO / "config.json", "--epochs", "2", "--output", "run"],
        ["evaluate", "run/last.keras", "--dataset", "digits"],
    ],
    "checkpoints": ["import huggingface_hub, safetensors; import keras_senet; print(keras_senet.list_checkpoints()[0])"],
    "photos": ["from keras_senet.data import formats; import pillow_heif; print(pillow_heif.__version__)"],
    "mobile": [["export", DEMO / "model.keras", "m.tflite"], ["predict", "m.tflite", ROOT / "examples" / "digits"]],
    "runtimes": [["export", DEMO / "model.keras", "m.onnx"], ["export", DEMO / "model.keras", "m.xml"]],
    "jax": [f"import os; os.environ['KERAS_BACKEND'] = 'jax'; {BASE}"],
    "hub": ["import keras_senet, keras_hub; print(keras_hub.__version__)"],
    "docs": ["import sphinx, furo, sphinx_gallery, myst_parser; print(sphinx.__version__)"],
    "dev": ["import pytest, mypy, coverage, build; print(pytest.__version__)"],
}


def run(command: list, folder: pathlib.Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def trial(wheel: pathlib.Path, extra: str) -> str:
    """A row of the table: the extra, seconds, megabytes, and the packages that were installed for it."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        run([sys.executable, "-m", "venv", folder / "env"], folder)
        binaries = folder / "env" / "bin"
        start = time.monotonic()
        run([binaries / "pip", "install", "--quiet", f"{wheel}[{extra}]" if extra else wheel], folder)
        seconds = time.monotonic() - start
        (packages,) = (folder / "env" / "lib").glob("python*/site-packages")
        size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
        for each in TRIALS[extra]:
            command = [binaries / "python", "-c", each] if isinstance(each, str) else [binaries / "keras-senet", *each]
            run(command, folder)
        count = len(list(importlib.metadata.distributions(path=[str(packages)])))
    return f"| {extra or '(none)'} | {seconds:.0f} s | {size / 1e6:,.0f} MB | {count} |"


def main(wheel: pathlib.Path, table: pathlib.Path, extras: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert not any(name.startswith(("tests/", "docs/", "examples/")) for name in archive.namelist())
    lines = ["| extra | installed in | size | packages |", "|---|---|---|---|"]
    for extra in extras or TRIALS:
        lines.append(trial(wheel, extra))
        print(lines[-1], flush=True)
        table.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), sys.argv[3:])
