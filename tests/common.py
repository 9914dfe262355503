"""What several test files share, and is no fixture."""

import csv
import pathlib

ROOT = pathlib.Path(__file__).parent.parent
DEMO = ROOT / "saved_models" / "seresnet20_digits"


def history(folder: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a run's history.csv."""
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
