"""Output on the terminal: JSON, and tables."""

import json
import sys
from collections.abc import Iterable, Sequence


def print_json(value) -> None:
    """Prints a value as JSON for another program."""
    print(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table without lines between its cells."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    # A pipe has no width: lines are as long as they are.
    width = None if sys.stdout.isatty() else 10_000
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)
