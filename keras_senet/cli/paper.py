"""keras-senet info --paper: the tables of the paper beside our networks, and the commands that measure them."""

import dataclasses
import re
from collections.abc import Iterator

from keras_senet.cli.arguments import as_flag
from keras_senet.cli.output import print_json, print_table

READING = (
    "Costs are counted in one way in all rows: trainable parameters, and multiply-adds of convolutions and fully connected\n"
    "layers. Where the paper's figure differs, the last column says how else it may have counted. Errors and precisions are\n"
    "the paper's, and not measured here: below each table stand the commands that measure them."
)


def show_tables(as_json: bool) -> None:
    """Prints all tables of the paper, and that of the networks which its authors released."""
    from rich.console import Console
    from rich.progress import track

    from keras_senet.analysis.paper_comparison import compare
    from keras_senet.analysis.paper_tables import RELEASED, TABLES

    entries = [entry for table in (*TABLES, RELEASED) for row in table.rows for entry in row.entries if entry.model]
    progress = track(entries, "Counting", console=Console(stderr=True), transient=True)
    comparisons = {id(entry): compare(entry) for entry in progress}
    if as_json:
        print_json([_as_dict(table, comparisons) for table in (*TABLES, RELEASED)])
        return
    print(READING)
    for table in (*TABLES, RELEASED):
        print()
        _show(table, comparisons)
    compared = [comparison for entry in entries if (comparison := comparisons[id(entry)]).equal is not None]
    released = [comparisons[id(row.entries[0])] for row in RELEASED.rows]
    paper = [comparison for comparison in compared if not any(comparison is one for one in released)]
    equal, explained = sum(one.equal for one in paper), sum(bool(one.explanation) for one in paper)
    print(
        f"\nThe paper's {len(TABLES)} tables from 2 to 16 have {sum(len(table.rows) for table in TABLES)} rows, and costs of "
        f"{len(paper)} networks: {equal} equal ours, {explained} equal another count, {len(paper) - equal - explained} none. "
        f"Of the {len(released)} released networks {sum(bool(one.equal) for one in released)} equal ours."
    )


_REMARKS = {None: "", True: "equal", False: "differs: {}"}


def _show(table, comparisons) -> None:
    lines, commands = [], []
    for row in table.rows:
        for index, entry in enumerate(row.entries):
            costs, remark = ["", "", "", ""], ""
            if entry.model:
                comparison = comparisons[id(entry)]
                costs = [f"{comparison.parameters:,}", entry.parameters, _operations(comparison, entry), entry.multiply_adds]
                remark = _REMARKS[comparison.equal].format(comparison.explanation or "no other count gives it")
            lines.append([row.name if index == 0 else "", entry.column, *costs, entry.error, remark])
            if text := command(table, row, entry):
                commands.append(f"  {text}")
    title = f"Table {table.number}. {table.title}" if table.number else table.title
    print(title)
    print_table(["network", "", "parameters", "paper", "multiply-adds", "paper", "in the paper", ""], lines)
    if commands:
        print("To measure:", *commands, sep="\n")


def _operations(comparison, entry) -> str:
    in_millions = entry.multiply_adds.endswith("M") or comparison.multiply_adds < 1e9
    return f"{comparison.multiply_adds / 1e6:,.1f} M" if in_millions else f"{comparison.multiply_adds / 1e9:,.3f} G"


def _as_dict(table, comparisons) -> dict:
    rows = []
    for row in table.rows:
        entries = []
        for entry in row.entries:
            cost = dataclasses.asdict(comparisons[id(entry)]) if entry.model else None
            entries.append(dataclasses.asdict(entry) | {"ours": cost, "command": command(table, row, entry)})
        rows.append({"name": row.name, "entries": entries})
    return {"table": table.number, "title": table.title, "rows": rows}


def command(table, row, entry) -> str:
    """The command line that measures an entry; "" for what others report, or what needs more than this package has."""
    if not (entry.model and row.recipe):
        return ""
    size = f" --image-size {entry.image_size}" if entry.image_size else ""
    if entry.published:
        evaluated, conversion = entry.published, ""
        if entry.published.endswith(".caffemodel"):
            evaluated = f"{entry.model}.keras"
            conversion = f"keras-senet convert {entry.published} {evaluated} --model {entry.model} && "
        return f"{conversion}keras-senet evaluate {evaluated} --dataset {table.dataset}{size}"
    of_the_first = row.entries[0].options == entry.options and row.entries[0].model == entry.model
    run = f"runs/table{table.number or '-released'}-{_slug(row.name)}" + ("" if of_the_first else f"-{_slug(entry.column)}")
    if of_the_first and entry is not row.entries[0]:  # the same network at another size
        return f"keras-senet evaluate {run}/last.keras --dataset {table.dataset}{size}"
    flags = "".join(f" {flag}" for flag in _flags(row.recipe, entry, table.dataset))
    return f"keras-senet train --recipe {row.recipe} --model {entry.model} --dataset {table.dataset}{size}{flags} --output {run}"


def _flags(recipe: str, entry, dataset: str) -> Iterator[str]:
    """The flags by which the network of `entry` differs from what the recipe trains."""
    from keras_senet.models.registry import find_model
    from keras_senet.training import RECIPES

    base = RECIPES[recipe](entry.model, dataset).flat()
    own = find_model(entry.model).options
    wanted = {name: value for name, value in entry.options.items() if name not in (*own, "classes")}  # which the data decide
    if entry.options.get("attention", "se") is None and not base["use_bias"]:
        wanted["use_bias"] = True  # there is no excitation that could have none
    if entry.weights:
        wanted["weights"] = entry.weights
    for name, value in wanted.items():
        if value == base[name]:
            continue
        if isinstance(value, bool):
            yield as_flag(name) if value else as_flag(f"no_{name}")
        else:
            values = value if isinstance(value, tuple) else (value,)
            yield " ".join((as_flag(name), *("none" if one is None else str(one) for one in values)))
    if options := [f"{name}={entry.options[name]}" for name in own if name in entry.options]:
        yield " ".join((as_flag("model_kwargs"), *options))


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
