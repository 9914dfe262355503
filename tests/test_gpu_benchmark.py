"""benchmarks/gpu.py without a GPU: what it makes of times that are known, and how it goes on when a side cannot be measured."""

import asyncio
import json
import runpy
import statistics
import sys
import types

import numpy as np
import pytest
from common import ROOT

SCRIPT = str(ROOT / "benchmarks" / "gpu.py")


@pytest.fixture
def gpu():
    return types.SimpleNamespace(**runpy.run_path(SCRIPT))


@pytest.fixture
def measure(gpu, monkeypatch):
    """Function that measures a case whose sides take known times; some have troubles, by their names."""

    def measure(case, seconds, *, fits=10**6, broken=(), slow=(), missing=()):
        class Process(gpu.Process):
            async def start(self, python, batch, size, on_gpu):
                if self.side.network in broken:
                    raise gpu.SideError("it broke")
                if self.side.network in slow:
                    await asyncio.sleep(60)
                self.times = iter(seconds[self.side.network])
                facts = {"device": "NVIDIA H100 80GB HBM3", "multiply_adds": 10**9, "compile_seconds": 1.0}
                self.facts = {"out_of_memory": True} if batch > fits else facts

            async def round(self):
                self.seconds.append(next(self.times))

            async def note_kernels(self):
                self.kernels = []

        names = gpu.measure.__globals__
        monkeypatch.setitem(names, "Process", Process)
        monkeypatch.setitem(names, "missing_packages", lambda framework, python: ["timm"] if framework in missing else [])

        async def run():
            deadline = asyncio.get_running_loop().time() + 0.5
            return await gpu.measure(case, case.batch, 224, {"jax": "python", "torch": "python"}, deadline, True)

        return asyncio.run(run())

    return measure


@pytest.fixture
def case(gpu):
    return gpu.Case("step", 256, (gpu.Side("jax", "ours"), gpu.Side("torch", "theirs")), (("theirs over ours", 1, 0),))


TIMES = {name: np.random.default_rng(seed).lognormal(size=5).tolist() for seed, name in enumerate(("ours", "theirs"))}


def test_medians_ratios_and_the_share_of_the_peak_are_those_of_statistics(case, measure):
    found = measure(case, TIMES)
    ours, theirs = found["sides"]
    assert ours["images_a_second"] == pytest.approx(256 / statistics.median(TIMES["ours"]))
    ratio = statistics.median(b / a for a, b in zip(TIMES["ours"], TIMES["theirs"], strict=True))
    assert found["ratios"] == [{"what": "theirs over ours", "ratio": pytest.approx(ratio)}]
    # Forward and backward, a multiplication and an addition each, of 989 tera-operations a second.
    assert theirs["share_of_peak"] == pytest.approx(3 * 2 * 1e9 * theirs["images_a_second"] / 989e12)
    json.dumps(found)


def test_inference_is_one_pass(gpu, measure):
    case = gpu.Case("inference", 256, (gpu.Side("jax", "ours", "predict"),), ())
    (ours,) = measure(case, TIMES)["sides"]
    assert ours["share_of_peak"] == pytest.approx(2 * 1e9 * ours["images_a_second"] / 989e12)


def test_a_batch_that_does_not_fit_is_halved_for_all_sides_and_that_is_said(case, measure, capsys):
    assert measure(case, TIMES, fits=64)["batch"] == 64
    assert capsys.readouterr().out.splitlines() == [
        f"A batch of {n} does not fit into the memory, so it is halved." for n in (256, 128)
    ]


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ({"broken": ["theirs"]}, "it broke"),
        ({"slow": ["theirs"]}, "there was no time left for it"),
        ({"missing": ["torch"]}, "not installed: timm"),
    ],
)
def test_a_side_that_cannot_be_measured_is_left_out_by_name(trouble, why, case, measure):
    found = measure(case, TIMES, **trouble)
    left = [one for one in found["left_out"] if one["why"] == why]
    assert "theirs on torch, train, bfloat16" in [one["side"] for one in left]
    assert found["ratios"] == []
    assert len(found["sides"]) == (0 if "slow" in trouble else 1)  # nobody starts to measure before all are ready


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "there is no GPU here; --small measures small networks on the CPU"),
        (["--small", "--seconds", "5"], "--seconds must be at least 60, for the first case"),
        (["--small", "--torch-python", "/no/python"], "--torch-python must name an interpreter. Received: /no/python"),
    ],
)
def test_what_cannot_be_measured_here_is_said_in_one_line(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
    monkeypatch.setenv("PATH", "/nowhere")  # where no nvidia-smi is
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(SCRIPT, run_name="__main__")
    assert ended.value.code == 2
    assert f"gpu.py: error: {said}" in capsys.readouterr().err.splitlines()[-1]
