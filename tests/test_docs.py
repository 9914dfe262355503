"""The documentation: its links lead somewhere, its commands and Python names exist, and the site is built without a warning."""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import keras
import pytest
import yaml
from common import ROOT

import keras_senet
from keras_senet import cli
from keras_senet.errors import InputError

AT_ROOT = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
# What the site is made of, but not the pages that are made when it is built.
PAGES = [
    *(ROOT / name for name in AT_ROOT),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "start").glob("*.md")),
    *sorted((ROOT / "docs" / "guides").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
]
MADE = re.compile(r"docs/(_made|networks|reference|gallery)/")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```|^(?: {4}[^\n]*\n)+", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text("utf-8")), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings]
    return {each.replace(" ", "-") for each in words}


def links(page) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text("utf-8"))) if "://" not in link]


def blocks(page) -> list[tuple[str, str]]:
    """The blocks of code of a page, each with its language; those that are only indented are of the shell."""
    text = page.read_text("utf-8")
    fenced = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    without = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?:^\n)((?: {4}.*\n)+)", without, re.MULTILINE)
    shell = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in indented]
    return fenced + [("console" if block.startswith("$ ") else "bash", block) for block in shell]


def commands(page) -> list[tuple[list[str], str]]:
    """The command lines of a page as words, each with the line that stands below it."""
    found = []
    for language, text in blocks(page):
        if language not in ("bash", "console"):
            continue
        lines = text.replace("\\\n", " ").splitlines()
        for line, below in zip(lines, [*lines[1:], ""], strict=True):
            command = line.removeprefix("$ ")
            if (language == "bash" or line.startswith("$ ")) and command and not command.startswith("#"):
                found.append((shlex.split(command, comments=True), below))
    return found


ALL_COMMANDS = [(page, *each) for page in PAGES for each in commands(page)]


def error_of(words: list[str]) -> str:
    """What the command says of arguments that it does not take; "" if it takes them."""
    try:
        cli.parse(words)
    except InputError as error:
        return str(error)
    return ""


@every_page
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if MADE.match(str(target.relative_to(ROOT))):
            continue  # Sphinx itself checks these
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}, but has {sorted(anchors(target))}"


@pytest.mark.parametrize(("page", "words", "below"), ALL_COMMANDS, ids=lambda value: None)
def test_each_command_can_be_given(page, words, below):
    program = words[0].rpartition("/")[2]
    if program == "keras-senet":
        assert error_of(words[1:]) in ("", below.removeprefix("keras-senet: error: "))
    elif program == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert set(words[1:]) <= set(targets)
    elif program in ("python", "python3") and words[1] != "-m":
        assert (ROOT / words[1]).is_file()
        flags = {word for word in words[2:] if word.startswith("--")}
        assert flags <= set(re.findall(r'"(--[\w-]+)"', (ROOT / words[1]).read_text("utf-8")))
    else:
        assert program in ("python3", "source", "pip", "tensorboard", "pre-commit"), words


def test_commands_are_found():
    assert len([words for _, words, _ in ALL_COMMANDS if words[0].endswith("keras-senet")]) > 60
    assert {words[1] for _, words, _ in ALL_COMMANDS if words[0].endswith("keras-senet")} == set(cli.COMMANDS)


@every_page
def test_flags_in_the_text_exist(page):
    """Those of the commands, of the examples and of the programs that the text names."""
    known = {"--select", *re.findall(r'"(--[\w-]+)"', "".join(map(read, [*(ROOT / "examples").rglob("*.py"), *BENCHMARKS])))}
    for flag in re.findall(r"`(--[\w-]+)", prose(page.read_text("utf-8"))):
        assert flag in known | all_flags(), f"{page.name} speaks of {flag}"


BENCHMARKS = list((ROOT / "benchmarks").glob("*.py"))


def read(path) -> str:
    return path.read_text("utf-8")


@functools.cache
def all_flags() -> set[str]:
    found = set()
    for name in cli.COMMANDS:
        parser = cli.Parser()
        importlib.import_module(f"keras_senet.cli.{name}").add_arguments(parser)
        found |= {flag for action in parser._actions for flag in action.option_strings}
    return found | {"--traceback"}


@every_page
def test_python_in_the_pages_names_what_there_is(page):
    text = page.read_text("utf-8")
    for language, code in blocks(page):
        if language == "python":
            ast.parse(code)
    for name in set(re.findall(r"\bkeras_senet(?:\.\w+)+", text)):
        parts = name.split(".")
        if parts[-1] in ("py", "git"):
            continue
        found = keras_senet
        for number, part in enumerate(parts[1:], start=2):
            if not hasattr(found, part):
                importlib.import_module(".".join(parts[:number]))
            found = getattr(found, part)


def test_the_reference_has_every_public_name():
    pages = load_script("made_pages").reference()
    own = set(keras_senet.__all__) - set(keras_senet.list_models()) - {"models"}
    for name in own:
        assert f"keras_senet.{name}" in pages or f"keras_senet.{name}\n" in pages["keras_senet"]
    for page, text in pages.items():
        module = importlib.import_module(page)
        for name in module.__all__ if page != "keras_senet" else ():
            assert re.search(rf"::( {re.escape(page)}\.| ){name}$", text, re.MULTILINE), f"{page} lacks {name}"


def load_script(name: str):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PUBLIC = ("layers", "analysis", "data", "detection", "segmentation", "export", "training", "pretrained", "models")


@pytest.mark.parametrize("package", ["", *PUBLIC])
def test_public_names_say_what_their_arguments_are(package):
    module = importlib.import_module(f"keras_senet.{package}".rstrip("."))
    for name in module.__all__:
        member = getattr(module, name)
        if inspect.isfunction(member) or inspect.isclass(member):
            text = inspect.cleandoc(member.__doc__)
            missing = [each for each in own_arguments(member) if not re.search(rf"^    \**{each}: .", text, re.M)]
            assert not missing, f"{module.__name__}.{name} does not explain {missing}"


def own_arguments(member) -> list[str]:
    """The arguments of a function or a class, without those that a parent explains, or that a `setting` explains."""
    if dataclasses.is_dataclass(member):
        own = [field for field in dataclasses.fields(member) if field.name in member.__annotations__]
        return [field.name for field in own if "help" not in field.metadata and not dataclasses.is_dataclass(field.type)]
    function = vars(member).get("__init__", lambda self: None) if inspect.isclass(member) else member
    return list(inspect.signature(function).parameters)[inspect.isclass(member) :]


@pytest.mark.parametrize("package", ["", *PUBLIC])
def test_public_docstrings_have_all_their_sections(package):
    module = importlib.import_module(f"keras_senet.{package}".rstrip("."))
    for name in module.__all__:
        member = getattr(module, name)
        # The constructors' text is one, which test_every_network.py reads; and one function is Keras' own.
        if callable(member) and name not in keras_senet.list_models() and member.__module__.startswith("keras_senet."):
            text = inspect.cleandoc(member.__doc__)
            missing = needed_sections(member) - set(re.findall(r"^([A-Z][a-z]+(?: shape)?):", text, re.M))
            assert not missing, f"The docstring of {module.__name__}.{name} lacks {sorted(missing)}"
            assert "Example:\n\n>>> " in text, f"The example of {module.__name__}.{name} is no code"


# These layers are of no paper.
WITHOUT_SOURCE = ("ChannelScatter", "FeatureGate", "NonMaxSuppression", "PixelNormalization", "UpSamplingLike")


def needed_sections(member) -> set[str]:
    needed = {"Example"}
    if not inspect.isclass(member):
        function = inspect.unwrap(member)
        needed |= {"Args"} if inspect.signature(function).parameters else set()
        needed |= {"Returns"} if inspect.signature(function).return_annotation not in (None, Iterator[None]) else set()
        return needed | ({"Raises"} if raises(function) else set())
    if issubclass(member, keras.layers.Layer):
        needed |= {"Args", "Input shape", "Output shape"} | ({"Source"} if member.__name__ not in WITHOUT_SOURCE else set())
    names = ("__post_init__",) if dataclasses.is_dataclass(member) else ("__init__", "build", "call")
    return needed | ({"Raises"} if any(raises(vars(member)[name]) for name in names if name in vars(member)) else set())


def raises(function, depth: int = 1) -> bool:
    """Whether a function raises an error, or calls by its name one of the package that does."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    if any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree)):
        return True
    names = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    called = [inspect.unwrap(each) for name in names if inspect.isfunction(each := function.__globals__.get(name))]
    return depth > 0 and any(raises(each, depth - 1) for each in called if each.__module__.startswith("keras_senet."))


def test_each_family_has_a_page_with_its_networks_and_checkpoints(monkeypatch):
    made_pages = load_script("made_pages")
    monkeypatch.setattr(made_pages, "_costs", " ".join)  # which test_package.py counts
    pages = made_pages.families()
    text = "".join(pages.values())
    assert set(keras_senet.list_models()) <= set(re.findall(r"^- `(\w+)`: .*\.$", text, re.MULTILINE))
    assert all(f"`{checkpoint.tag}`" in text for checkpoint in keras_senet.list_checkpoints())
    # Where a tag alone does not say which weights are meant, the options do.
    assert "| `MobileNetV3Small(width_multiplier=0.5)` | `lamb_in1k` |" in pages["MobileNetV3"]
    assert "number of convolutions in its longest path" in pages["CIFAR"]
    assert "arXiv 1409.1556" in pages["SE-VGG"]
    assert set(pages) == set(keras_senet.list_families()) == set(made_pages.PAPERS_OF)


def test_the_files_beside_the_code_say_the_same():
    version = keras_senet.__version__
    assert yaml.safe_load(read(ROOT / "CITATION.cff"))["version"] == version
    assert f"\n## {version}\n" in read(ROOT / "CHANGELOG.md")
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(read(path))
    hooks = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks[0]["hooks"])


def test_notebooks_are_those_of_the_examples_without_outputs(tmp_path):
    pytest.importorskip("sphinx_gallery", reason="The extra `docs` is missing.")
    load_script("notebooks").main(tmp_path)
    committed = {path.name: read(path) for path in (ROOT / "examples" / "notebooks").glob("*.ipynb")}
    assert committed == {path.name: read(path) for path in tmp_path.glob("*.ipynb")}, "Write them again: python docs/notebooks.py"
    assert {path.stem for path in (ROOT / "examples" / "gallery").glob("*.py")} == {
        name.removesuffix(".ipynb") for name in committed
    }
    for text in committed.values():
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        assert cells
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.mark.exhaustive
@pytest.mark.parametrize("notebook", sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run(notebook, tmp_path):
    pytest.importorskip("nbclient", reason="The extra `docs` is missing.")
    shutil.copy(notebook, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "execute", notebook.name], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("sphinx", reason="The extra `docs` is missing.")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "docs", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    index = (tmp_path / "searchindex.js").read_text("utf-8")
    assert all(word in index for word in ("exif", "resum", "int8", "u-net" if "u-net" in index else '"net"'))
