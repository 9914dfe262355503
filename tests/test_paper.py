"""Every row of every table of the paper."""

import json

import pytest

from keras_senet.analysis import paper_tables
from keras_senet.cli import main

# What the paper must have counted besides, by the row's network; it does not say.
READINGS = {
    "SE-ResNet-50": "multiply-adds with the gates' products",
    "ResNet-101": "multiply-adds with the ReLUs",
    "SE-ResNet-101": "multiply-adds with the gates' products and the ReLUs",
    "ResNet-152": "multiply-adds with the ReLUs",
    "SE-ResNet-152": "multiply-adds with the gates' products and the ReLUs",
    "ResNeXt-50 (32x4d)": "multiply-adds with the ReLUs",
    "SE-ResNeXt-50 (32x4d)": "multiply-adds with the ReLUs",
    "ResNeXt-101 (32x4d)": "multiply-adds with the ReLUs",
    "SE-ResNeXt-101 (32x4d)": "multiply-adds with the gates' products and the ReLUs",
    "SE-VGG-16": "multiply-adds with the gates' products",
    "SE-BN-Inception": "multiply-adds with the ReLUs",
    "Inception-ResNet-v2": "multiply-adds with the scaled residuals",
    "SE-Inception-ResNet-v2": "multiply-adds with the scaled residuals",
    "SE-MobileNet": "multiply-adds with the gates' products",
    "ShuffleNet (1x, 3 groups)": "parameters cut off, not rounded; multiply-adds with the ReLUs",
    "SE-ShuffleNet (1x, 3 groups)": "parameters cut off, not rounded; multiply-adds with the gates' products and the ReLUs",
    "4": "parameters with moving statistics",
    "8": "parameters with moving statistics",
    "32": "parameters with moving statistics",
    "3x3": "parameters with moving statistics",
}


@pytest.mark.slow
@pytest.mark.usefixtures("without_weights")
def test_the_networks_have_the_published_cost(capsys):
    assert main(["info", "--paper", "--json"]) == 0
    comparisons = json.loads(capsys.readouterr().out)
    assert len(comparisons) == len(paper_tables.ROWS)
    compared = [one for one in comparisons if one["equal"] is not None]
    assert len(compared) == 38
    assert all(one["equal"] for one in compared)
    # The authors' definitions leave nothing to read into them.
    released = [one for one in compared if one["row"]["table"].startswith("released")]
    assert len(released) == 7
    assert not any(one["reading"] for one in released)
    others = [one for one in compared if one not in released and one["reading"]]
    assert {one["row"]["network"]: one["reading"] for one in others} == READINGS


@pytest.mark.usefixtures("without_weights")
def test_a_figure_that_is_not_ours_is_marked(capsys, monkeypatch):
    rows = [
        paper_tables.Row("A table", "SE-ResNet-20", "8 %", "SEResNet20", parameters="0.27 M", multiply_adds="40.55 M"),
        paper_tables.Row(
            "A table", "another", "9 %", "SEResNet20", parameters="0.27 M", multiply_adds="42 M", remark="for a test"
        ),
        paper_tables.Row("A table", "without figures", "9 %", "SEResNet20", image_size=64),
    ]
    monkeypatch.setattr(paper_tables, "ROWS", rows)
    assert main(["info", "--paper"]) == 0
    title, *lines = (line.rstrip() for line in capsys.readouterr().out.splitlines())
    assert title.startswith("A table")
    assert lines[0].split() == ["SE-ResNet-20", "8", "%", "272,095", "0.27", "M", "40.6", "M", "40.55", "M", "equal"]
    assert lines[1].endswith("42 M     not equal, for a test")
    assert lines[2].endswith("0.162 G")
