"""The folder of a run: its files, whether a run may begin or go on there, and what is left when one stops."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras

from keras_senet.analysis import profile
from keras_senet.errors import DivergedError, FileError, InputError, named
from keras_senet.files import PARTIAL, as_lines, read_csv, write_text
from keras_senet.inference.labels import LABELS_FILE, read_labels, same_names, write_labels
from keras_senet.settings import flat_fields
from keras_senet.training.devices import Devices
from keras_senet.training.owner import owner_files, refuse_if_owned
from keras_senet.training.recipe import Recipe
from keras_senet.training.state import TrainState, newest_state, read_progress

# By what an epoch is judged: mean average precision of labels, that of boxes, mean intersection over union, or accuracy.
MEASURES = ("map", "ap", "mean_iou", "top1")

_PACKAGES = ("keras-senet", "keras", "tensorflow", "tensorflow-datasets", "numpy")


class RunFolder:
    """The files of one training run.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        config: config.json, the recipe, the devices and the versions: all it takes to repeat the run.
        labels: labels.txt, the class names.
        history: history.csv, loss and accuracy by epoch.
        learning_curve: learning_curve.png, which shows them.
        last: last.keras, the network after the last epoch.
        best: best.keras, the network after the epoch with the highest `score`.
        states: the folder states/, from which the run can go on.
        logs: the folder logs/, for TensorBoard.
        damaged: damaged.txt, the names of the images that could not be decoded, where there are any.
        metrics, confusion, precision_recall, mistakes, found, page: metrics.json, confusion.png, precision_recall.png,
            mistakes.png, found.png and report.md, by `report`.

    Example:

    >>> keras_senet.training.RunFolder("runs/digits").last.name
    'last.keras'
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        self.config = self.path / "config.json"
        self.labels = self.path / LABELS_FILE
        self.history = self.path / "history.csv"
        self.learning_curve = self.path / "learning_curve.png"
        self.last = self.path / "last.keras"
        self.best = self.path / "best.keras"
        self.states = self.path / "states"
        self.logs = self.path / "logs"
        self.damaged = self.path / "damaged.txt"
        self.metrics = self.path / "metrics.json"
        self.confusion = self.path / "confusion.png"
        self.precision_recall = self.path / "precision_recall.png"
        self.mistakes = self.path / "mistakes.png"
        self.found = self.path / "found.png"
        self.page = self.path / "report.md"

    @classmethod
    def open(cls, path: str | os.PathLike, recipe: Recipe, resume: bool) -> "RunFolder":
        """The folder for a run by `recipe`. Nothing is written yet.

        Args:
            path: the folder; it must not exist yet, or be empty, or hold a run to resume.
            recipe: what the run does.
            resume: whether to go on with the run in the folder, if there is one.

        Raises:
            ValueError: if the folder holds something else, or a run of another recipe, or another process trains in it.
        """
        folder = cls(path)
        if resume and folder.config.exists():
            folder._check_that_it_is_the_run_of(recipe)
        else:
            folder.check_that_it_is_free(resume)
        return folder

    def check_that_it_is_free(self, resume: bool) -> None:
        """Raises a ValueError if there is anything but what a run that died before it began leaves, or another process trains."""
        if self.path.is_dir():
            left = {*owner_files(self.path), *self.path.glob(PARTIAL)}
            if all(file in left for file in self.path.iterdir()):
                return
            refuse_if_owned(self.path, resume)
        if self.path.exists():
            raise InputError(f"{self.path} is not empty: it may hold another run. Choose another output folder, or remove it.")

    def _check_that_it_is_the_run_of(self, recipe: Recipe) -> None:
        before = self._recipe_so_far()
        now = recipe.replace(image_size=recipe.image_size or before.image_size)
        for (name, value_before), value in zip(before.flat().items(), now.flat().values(), strict=True):
            if value_before == value or name == "data_dir":
                continue
            if name == "epochs" and value > value_before:
                if (reason := before.depends_on_epochs()) is None:
                    continue
                config, last, other = (shlex.quote(str(path)) for path in (self.config, self.last, f"{self.path}-longer"))
                raise InputError(
                    f"The run in {self.path} has epochs={value_before}, on which {reason} depends. To train its network further: "
                    f"keras-senet train --config {config} --weights {last} --epochs {value - value_before} --output {other}"
                )
            raise InputError(
                f"The run in {self.path} has {name}={value_before!r}, so it cannot go on with {name}={value!r}. Leave that "
                "as it was, or choose another output folder."
            )

    def _recipe_so_far(self) -> Recipe:
        """The recipe by which the network was trained: that in the state, since config.json may have been edited by hand."""
        if (newest := self.newest_state()) is not None and (fields := read_progress(newest).get("recipe")):
            return _recipe_of(fields, newest)
        return read_recipe(self.config)

    def check_class_names(self, class_names: list[str]) -> None:
        """Refuses to go on with a run on other classes: the network would call them by the wrong names.

        Raises:
            ValueError: if the newest state is of a run with other class names.
        """
        if (newest := self.newest_state()) is None:
            return
        before = read_progress(newest).get("class_names") or read_labels(self.last, len(class_names)) or class_names
        if not same_names(before, class_names):
            gone, new = set(before) - set(class_names), set(class_names) - set(before)
            changes = [f"{what} {named(sorted(names))}" for what, names in (("without", gone), ("with", new)) if names]
            raise InputError(
                f"The data has other classes than the run in {self.path}: {' and '.join(changes) or 'in another order'}. Restore "
                "the data, or choose another output folder."
            )

    def write_config(
        self, recipe: Recipe, network: keras.Model, class_names: Iterable[str], devices: Devices, saving: dict[str, int | None]
    ) -> None:
        """Writes config.json and labels.txt. `saving` is what `saving` returns when the run goes on."""
        config = {
            "recipe": recipe.flat(),
            "saving": saving,
            "parameters": profile(network).total.parameters,
            "replicas": devices.replicas,
            "batch_size_per_replica": devices.batch_size_per_replica(recipe.batch_size),
            "versions": _versions(),
        }
        write_text(self.config, json.dumps(config, indent=2) + "\n")
        write_labels(self.last, class_names)

    def saving(self) -> dict[str, int]:
        """How often the run in the folder saves its state and how many it keeps, as arguments of `train`, if config.json says so.

        Raises:
            ValueError: if they are no numbers.
        """
        if not self.config.exists():
            return {}
        read_recipe(self.config)  # which says so if this is no config.json
        saving = json.loads(self.config.read_text(encoding="utf-8")).get("saving", {})
        known = {name: saving[name] for name in ("save_every", "keep_states") if isinstance(saving, dict) and name in saving}
        if not all(isinstance(value, int) or (value is None and name == "save_every") for name, value in known.items()):
            raise InputError(f"{self.config}: `save_every` and `keep_states` must be numbers. Received: {saving}")
        return known

    def write_damaged(self, names: set[str]) -> None:
        """Writes damaged.txt, if there are names to write."""
        if names:
            write_text(self.damaged, as_lines(sorted(names)))

    def epochs(self) -> list[dict[str, str]]:
        """The rows of history.csv; none before the first epoch is done."""
        return read_csv(self.history) if self.history.exists() else []

    def last_epoch(self) -> int:
        """The number of the epoch that last.keras is from, from 1."""
        return int(self.epochs()[-1]["epoch"]) + 1

    def best_epoch(self) -> int:
        """The number of the epoch that best.keras is from, from 1."""
        return int(max(self.epochs(), key=score)["epoch"]) + 1

    def newest_state(self) -> pathlib.Path | None:
        """The file of the latest state; None where there is none."""
        return newest_state(self.states)

    @contextlib.contextmanager
    def telling_what_is_left(self, state: TrainState) -> Iterator[None]:
        """Within it an error that stops the run says what is left of it, and what the user can do."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise type(interrupt)(f"Stopped. {self._what_is_left(state.epoch_of_network)}") from None
        except DivergedError as error:
            advice = f"lower the learning rate, or lengthen the warm-up. {self._what_is_left(state.epoch_of_network)}"
            raise DivergedError(f"{error}: {advice}") from error
        except OSError as error:
            raise FileError(f"{error}. {self._what_is_left(state.epoch_of_network)}") from error

    def _what_is_left(self, epoch_of_network: int) -> str:
        network = f"The network after epoch {epoch_of_network} is {self.last}."
        state = self.newest_state()
        if state is not None:
            return f"{network if epoch_of_network else ''} --resume goes on from {state}.".lstrip()
        if not epoch_of_network:
            network = f"{self.path} holds no network of this run."
        return f"{network} No state was saved, so --resume begins the run anew."


def measure(logs: Mapping[str, Any]) -> str | None:
    """What in the logs of an epoch says how good the network is, one of `MEASURES`; None before the first is there."""
    return next((name for name in MEASURES if name in logs or f"val_{name}" in logs), None)


def score(logs: Mapping[str, Any]) -> list[float]:
    """By what the best epoch is chosen: that measure on the validation images, and where it is equal the lower loss."""
    return [float(logs[f"val_{measure(logs)}"]), -float(logs["val_loss"])]


def read_recipe(config: str | os.PathLike) -> Recipe:
    """The recipe in the config.json of a run.

    Args:
        config: path of the file.

    Returns:
        The recipe, a `Recipe`.

    Raises:
        ValueError: if the file is no config.json, or has settings that this version does not know.

    Example:

    >>> recipe = keras_senet.training.read_recipe("saved_models/seresnet20_digits/config.json")
    >>> recipe.model, recipe.dataset
    ('SEResNet20', 'digits')
    """
    try:
        fields = dict(json.loads(pathlib.Path(config).read_text(encoding="utf-8"))["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{config} is not the config.json of a run.") from error
    return _recipe_of(fields, config)


def _recipe_of(fields: dict, source: str | os.PathLike) -> Recipe:
    if unknown := sorted(fields.keys() - {field.name for field in flat_fields(Recipe)}):
        raise InputError(f"{source} has settings that this version does not know: {', '.join(unknown)}.")
    if missing := [name for name in ("model", "dataset") if name not in fields]:
        raise InputError(f"{source} lacks settings: {', '.join(missing)}.")
    try:
        return Recipe.of(**fields)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _versions() -> dict[str, str]:
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    versions = {package: installed[package] for package in _PACKAGES if package in installed}
    return {"python": platform.python_version(), "backend": keras.backend.backend(), **versions}
