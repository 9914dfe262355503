"""All benchmarks but gpu.py, in turn: one JSON with date and machine under results/, and the table of README.md made from it.

TORCH_PYTHON=torch-venv/bin/python python benchmarks/all.py     # 15 minutes on two cores
"""

import concurrent.futures
import dataclasses
import datetime
import importlib
import importlib.metadata
import json
import multiprocessing
import os
import pathlib
import platform

from comparison import Comparison, readable, show

HERE = pathlib.Path(__file__).parent
BENCHMARKS = (
    "import_time",
    "build_time",
    "load_time",
    "jpeg_crop",
    "large_photographs",
    "rand_augment",
    "input_pipeline",
    "fold_batch_norm",
    "tflite_latency",
    "mobilenet_int8",
    "training_step",
    "training_step_timm",
    "grouped_conv",
    "retinanet",
)
PACKAGES = ("keras", "tensorflow", "keras-cv", "numpy", "pillow", "ai-edge-litert")
MARKS = ("<!-- table of the newest results/cpu-*.json -->\n", "<!-- end of the table -->\n")


def measured(benchmark: str) -> dict:
    """What one benchmark gives in a new process, or why it gives nothing."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            comparisons = pool.submit(run, benchmark).result()
        except (ImportError, OSError, RuntimeError) as error:
            print(f"left out: {benchmark}: {error}", flush=True)
            return {"benchmark": benchmark, "left_out": str(error)}
    show(comparisons)
    return {"benchmark": benchmark, "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons]}


def run(benchmark: str) -> list[Comparison]:
    return importlib.import_module(benchmark).measure()


def machine() -> dict:
    facts = pathlib.Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
    }


def table(report: dict) -> str:
    of = report["machine"]
    versions = f"TensorFlow {of['tensorflow']}, Keras {of['keras']}"
    memory = f"{of['memory_bytes'] / 2**30:.0f} GiB"
    lines = [
        f"{report['date'][:10]}, {of['processor']}, {of['cores']} cores, {memory}, {versions}:",
        "",
        "| ours | | rival | | ratio | target | repeat |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for result in report["benchmarks"]:
        repeat = f"`python benchmarks/{result['benchmark']}.py`"
        for comparison in (Comparison(**fields) for fields in result.get("comparisons", ())):
            what, rival = comparison.what, comparison.rival
            ours, theirs = readable(comparison.ours), readable(comparison.theirs)
            target = "" if comparison.target is None else f"{comparison.target:.3g}{'' if comparison.met else ' **missed**'}"
            lines.append(f"| {what} | {ours} | {rival} | {theirs} | {comparison.ratio:.3f} | {target} | {repeat} |")
        if "left_out" in result:
            lines.append(f"| left out: {result['left_out']} | | | | | | {repeat} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, report: dict) -> str:
    before, _, rest = page.partition(MARKS[0])
    return before + MARKS[0] + "\n" + table(report) + "\n" + MARKS[1] + rest.partition(MARKS[1])[2]


def main() -> None:
    now = datetime.datetime.now(datetime.UTC)
    report = {"date": now.isoformat(timespec="seconds"), "machine": machine(), "benchmarks": []}
    output = HERE / "results" / f"cpu-{now:%Y-%m-%d}.json"
    output.parent.mkdir(exist_ok=True)
    for benchmark in BENCHMARKS:
        report["benchmarks"].append(measured(benchmark))
    output.write_text(json.dumps(report, indent=1) + "\n")
    page = HERE / "README.md"
    page.write_text(with_table(page.read_text("utf-8"), report), "utf-8")
    print(f"All of it is in {output}, the table in {page}.")


if __name__ == "__main__":
    main()
