"""benchmarks/: the table of README.md is that of the newest measurement, and ratios are those of statistics."""

import json
import re
import statistics
import sys

import numpy as np
import pytest
from common import ROOT


@pytest.fixture
def scripts(monkeypatch):
    """The modules `all` and `comparison` of benchmarks/, whose scripts import each other by these names."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import all
    import comparison

    yield all, comparison
    for name in ("all", "comparison"):
        del sys.modules[name]


def test_the_readmes_table_is_that_of_the_newest_measurement(scripts):
    newest = json.loads(max((ROOT / "benchmarks" / "results").glob("cpu-*.json")).read_text())
    page = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    assert scripts[0].with_table(page, newest) == page
    cells = [row.split("|") for row in page.splitlines() if row.endswith(".py` |")]
    assert len(cells) == sum(len(result["comparisons"]) for result in newest["benchmarks"])
    for *_, ratio, target, repeat, _ in cells:
        if target.strip():
            assert ("missed" in target) == (float(ratio) > float(target.split()[0]))
        assert (ROOT / re.search(r"benchmarks/\w+\.py", repeat)[0]).exists()


def test_every_script_is_measured(scripts):
    others = {"all", "comparison", "gpu"}  # gpu.py is for a machine with a GPU
    assert {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - others == set(scripts[0].BENCHMARKS)


def test_the_two_sides_take_turns_and_medians_are_quoted(scripts):
    ours, theirs = np.random.default_rng(0).lognormal(size=(2, 5)).tolist()
    turns = []

    def side(name, times):
        times = iter(times)
        return lambda: turns.append(name) or next(times)

    sides = side("ours", ours), side("theirs", theirs)
    found = scripts[1].compare("work", "rival", *sides, rounds=5, target=1)
    assert turns == ["ours", "theirs"] * 5
    assert (found.ours, found.theirs) == (statistics.median(ours), statistics.median(theirs))
    assert found.ratio == statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def test_a_benchmark_that_cannot_run_is_left_out_by_name(scripts, monkeypatch, capsys):
    monkeypatch.setattr(scripts[0].concurrent.futures, "ProcessPoolExecutor", InThisProcess)
    found = scripts[0].measured("no_such_benchmark")
    assert found == {"benchmark": "no_such_benchmark", "left_out": "No module named 'no_such_benchmark'"}
    assert "left out: no_such_benchmark" in capsys.readouterr().out


class InThisProcess:
    """A pool that computes at once."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        self.result = lambda: function(*arguments)
        return self
