"""What several test files share, and is no fixture."""

import csv
import pathlib

from keras_senet import layers

ROOT = pathlib.Path(__file__).parent.parent
DEMO = ROOT / "saved_models" / "seresnet20_digits"

# The layers of attention by name, each with its arguments for 16 channels.
COMPOSITE = {
    "se": (layers.SqueezeExcite, {"reduction": 4}),
    "eca": (layers.EfficientChannelAttention, {}),
    "ese": (layers.EffectiveSqueezeExcite, {}),
    "sse": (layers.SpatialSqueezeExcite, {}),
    "scse": (layers.ConcurrentSqueezeExcite, {"reduction": 4}),
    "cbam": (layers.ConvolutionalBlockAttention, {"reduction": 4}),
    "ge": (layers.GatherExcite, {}),
    "ge2": (layers.GatherExcite, {"extent": 2}),
    "gc": (layers.GlobalContext, {"reduction": 4}),
    "coord": (layers.CoordinateAttention, {"reduction": 2}),
}


def history(folder: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a run's history.csv."""
    return list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
