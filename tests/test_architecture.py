"""The rooms of docs/ARCHITECTURE.md: imports go one way, and each name stands for one thing."""

import ast
import re

import pytest
from common import ROOT

PACKAGE = ROOT / "keras_senet"
FILES = sorted(PACKAGE.rglob("*.py"))


def rooms() -> list[list[str]]:
    """What each row of the table of rooms holds, from the ground up."""
    rows = re.findall(r"^\| (`.+?) \|", (ROOT / "docs" / "ARCHITECTURE.md").read_text("utf-8"), re.MULTILINE)
    return [re.findall(r"`([\w./]+?)/?`", row) for row in rows]


def room_of(module: str, order: dict[str, int]) -> int | None:
    """The number of the room that holds a module of the package."""
    name = module.split(".")[1] if "." in module else None
    return order.get(name) if name in order else order.get(f"{name}.py")


def imports(path) -> list[str]:
    """The modules of the package that a file imports, also within its functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "keras_senet":
            found += [f"keras_senet.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module)
    return [name for name in found if name.startswith("keras_senet.")]


def test_every_file_has_a_room():
    order = {name for row in rooms() for name in row}
    for path in FILES:
        name = path.relative_to(PACKAGE).parts[0]
        assert name in order or name in ("__init__.py", "__main__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_runs_upward(path):
    order = {name: number for number, row in enumerate(rooms()) for name in row}
    # A package's __init__.py hands its public names on, wherever they are defined.
    if path.name in ("__init__.py", "__main__.py") and path.parent.parent in (ROOT, PACKAGE) and path.parent.name != "cli":
        return
    here = order[path.relative_to(PACKAGE).parts[0]]
    for module in imports(path):
        there = room_of(module, order)
        assert there is None or there <= here, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_has_the_name_of_its_module(path):
    defined = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)]
    assert path.stem not in defined
