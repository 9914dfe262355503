"""The pages that are made of the package's own tables when the site is built, so that they cannot disagree with it.

`write` makes docs/networks/ (a page for each family), docs/reference/ (a page for each public package) and docs/_made/ (tables
that other pages include). Git ignores all three.
"""

import importlib
import inspect
import pathlib

import keras_senet
from keras_senet.analysis.paper_comparison import compare, network_cost
from keras_senet.analysis.paper_tables import RELEASED, TABLES
from keras_senet.cli import COMMANDS
from keras_senet.cli.paper import READING, command
from keras_senet.models.registry import call_of, find_model
from keras_senet.training import RECIPES


def write(docs: pathlib.Path) -> None:
    """Writes all pages, and leaves those alone that have not changed, so that Sphinx does not read them again."""
    pages = {
        "_made/paper.md": paper(),
        "_made/checkpoints.md": checkpoints(keras_senet.list_checkpoints()),
        "_made/commands.md": commands(),
        "_made/recipes.md": recipes(),
        **{f"networks/{slug(family)}.md": page for family, page in families().items()},
        **{f"reference/{name}.rst": page for name, page in reference().items()},
    }
    for folder in ("networks", "reference", "_made"):
        for stale in {path for path in (docs / folder).glob("*") if str(path.relative_to(docs)) not in pages}:
            stale.unlink()
    for name, text in pages.items():
        path = docs / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; numbers stand at the right."""
    columns = list(zip(*rows, strict=True))
    rules = ["---:" if any(map(_is_number, column)) else "---" for column in columns]
    lines = [headings, rules, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() and "/" not in cell


def slug(family: str) -> str:
    """A family's name as that of a file."""
    return family.lower().replace(" ", "-")


def families() -> dict[str, str]:
    """A page for each family of networks, by the family's name."""
    return {family: _family(family, keras_senet.list_models(family)) for family in keras_senet.list_families()}


def _family(family: str, names: list[str]) -> str:
    options = {option: text for name in names for option, text in _own_options(name).items()}
    published = [checkpoint for name in names for checkpoint in keras_senet.list_checkpoints(name)]
    parts = [f"# {family}", _costs(names), "## What each is", _summaries(names)]
    if options:
        parts += [
            "## Options of their own",
            "Besides [the arguments that all networks take](../reference/keras_senet.rst):",
            *(f"- `{option}`: {text}" for option, text in options.items()),
        ]
    parts.append("## Published weights")
    if published:
        parts += [
            'The first of a network is its `weights="imagenet"`; the tag of each is what its constructor takes as `weights`. '
            "Accuracies are those that the authors or timm published. See [Published weights](../guides/weights.md).",
            checkpoints(published),
        ]
    else:
        parts.append("There are none in the catalogue. [Published weights](../guides/weights.md) says which files can be loaded.")
    parts += ["## How to cite", _citation(family)]
    return "\n\n".join(parts) + "\n"


def _costs(names: list[str]) -> str:
    rows = []
    for name in names:
        total, attention = (cost := network_cost(name)[0]).total, cost.attention
        _, height, _, _ = cost.layers[0].output_shape
        plain = (total.parameters - attention.parameters, total.multiply_adds - attention.multiply_adds)
        share = attention.parameters / total.parameters
        rows.append(
            [
                f"`{name}`",
                str(height),
                f"{total.parameters:,}",
                operations(total.multiply_adds),
                f"{plain[0]:,}",
                operations(plain[1]),
                f"{share:.1%}",
            ]
        )
    headings = ["network", "pixels", "parameters", "multiply-adds", "plain parameters", "plain multiply-adds", "attention"]
    return (
        "Trainable parameters, and multiply-adds of convolutions and fully connected layers for one image of the given size. "
        "*Plain* is the network without its attention, and the last column the attention's share of all parameters.\n\n"
        + table(headings, rows)
    )


def operations(number: int) -> str:
    """A number of multiply-adds as people write it."""
    return f"{number / 1e9:.3f} G" if number > 1e9 else f"{number / 1e6:.2f} M"


def _summaries(names: list[str]) -> str:
    return "\n".join(f"- `{name}`: {inspect.getdoc(find_model(name)).splitlines()[0]}" for name in names)


def _own_options(name: str) -> dict[str, str]:
    """What the documentation of a constructor says of the options that only its family has."""
    text = inspect.getdoc(find_model(name))
    found = {}
    for option in find_model(name).options:
        lines = text[text.index(f"\n    {option}: ") + 1 :].splitlines()
        more = lines[1:]
        end = next(index for index, line in enumerate(more) if not line.startswith(" " * 8))
        found[option] = " ".join(line.strip() for line in [lines[0].partition(": ")[2], *more[:end]])
    return found


# The papers of each family besides that of SE, by their numbers on arXiv.
PAPERS = {
    "1409.1556": "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "1502.03167": "Ioffe and Szegedy, Batch Normalization",
    "1512.00567": "Szegedy et al., Rethinking the Inception Architecture for Computer Vision",
    "1512.03385": "He et al., Deep Residual Learning for Image Recognition",
    "1602.07261": "Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
    "1603.05027": "He et al., Identity Mappings in Deep Residual Networks",
    "1605.07146": "Zagoruyko and Komodakis, Wide Residual Networks",
    "1611.05431": "Xie et al., Aggregated Residual Transformations for Deep Neural Networks",
    "1704.04861": "Howard et al., MobileNets",
    "1705.07485": "Gastaldi, Shake-Shake regularization",
    "1707.01083": "Zhang et al., ShuffleNet",
    "1812.01187": "He et al., Bag of Tricks for Image Classification with Convolutional Neural Networks (the variants D)",
    "1904.11486": "Zhang, Making Convolutional Networks Shift-Invariant Again (the variants AA)",
    "1905.02244": "Howard et al., Searching for MobileNetV3",
    "1910.03151": "Wang et al., ECA-Net",
    "2003.13678": "Radosavovic et al., Designing Network Design Spaces",
    "2103.01988": "Goyal et al., Self-supervised Pretraining of Visual Features in the Wild (SEER)",
    "2103.07579": "Bello et al., Revisiting ResNets: Improved Training and Scaling Strategies",
    "2110.00476": "Wightman et al., ResNet strikes back (checkpoints a1, a2 and a3)",
    "2201.08371": "Singh et al., Revisiting Weakly Supervised Pre-Training of Visual Perception Models (SWAG)",
}
PAPERS_OF = {
    "SE-ResNet": ("1512.03385", "1812.01187", "2110.00476"),
    "SE-ResNeXt": ("1611.05431", "1812.01187", "1904.11486"),
    "SENet": ("1611.05431",),
    "ResNet-RS": ("2103.07579",),
    "ECA-ResNet": ("1910.03151", "1512.03385", "1812.01187"),
    "SE-Inception": ("1502.03167", "1512.00567", "1602.07261"),
    "SE-VGG": ("1409.1556",),
    "SE-ShuffleNet": ("1707.01083",),
    "SE-MobileNet": ("1704.04861",),
    "RegNetY": ("2003.13678", "2103.01988", "2201.08371"),
    "MobileNetV3": ("1905.02244",),
    "CIFAR": ("1512.03385", "1603.05027", "1605.07146", "1705.07485"),
}
_SE = """```bibtex
@article{hu2020squeeze,
  title={Squeeze-and-Excitation Networks},
  author={Hu, Jie and Shen, Li and Albanie, Samuel and Sun, Gang and Wu, Enhua},
  journal={IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume={42}, number={8}, pages={2011--2023}, year={2020}
}
```"""


def _citation(family: str) -> str:
    papers = [f"- {PAPERS[number]}, [arXiv {number}](https://arxiv.org/abs/{number})" for number in PAPERS_OF[family]]
    published = [name for name in keras_senet.list_models(family) if keras_senet.list_checkpoints(name)]
    timm = ["Published weights are those of [timm](https://doi.org/10.5281/zenodo.4414861), Wightman et al."] if published else []
    return "\n\n".join(["Squeeze-and-Excitation:", _SE, "The backbones:", "\n".join(papers), *timm])


def checkpoints(published) -> str:
    """Published weights with what it takes to use them."""
    rows = []
    for one in published:
        top1, top5 = ("" if percent is None else f"{percent:.2f}" for percent in (one.top1, one.top5))
        size = f"{one.input_size}" + (f" ({one.test_input_size})" if one.test_input_size else "")
        classes = f"{one.classes:,}" if one.classes else "none"
        measured = str(one.published_size or one.input_size) if top1 else ""
        rows.append([f"`{call_of(one.model, one.options)}`", f"`{one.tag}`", size, classes, top1, top5, measured, one.license])
    return table(["network", "tag", "pixels (better at)", "classes", "top-1 %", "top-5 %", "at pixels", "licence"], rows)


def paper() -> str:
    """The tables of the paper beside our numbers, with the commands that measure them."""
    parts = [READING.replace("\n", " ")]
    for each in (*TABLES, RELEASED):
        heading = f"## Table {each.number}" if each.number else "## The released networks"
        rows, commands_of_table = [], []
        for row in each.rows:
            for index, entry in enumerate(row.entries):
                costs = ["", "", "", ""]
                remark = ""
                if entry.model:
                    ours = compare(entry)
                    costs = [f"{ours.parameters:,}", entry.parameters, operations(ours.multiply_adds), entry.multiply_adds]
                    remark = {None: "", True: "equal", False: ours.explanation or "no other count gives it"}[ours.equal]
                rows.append([row.name if index == 0 else "", entry.column, *costs, entry.error.replace(" ", "&nbsp;"), remark])
                if text := command(each, row, entry):
                    commands_of_table.append(text)
        headings = ["network", "", "parameters", "paper", "multiply-adds", "paper", "in the paper", "the paper's count"]
        parts += [heading, f"{each.title}.", table(headings, rows)]
        if commands_of_table:
            parts += ["To measure:", "```bash\n" + "\n".join(commands_of_table) + "\n```"]
    return "\n\n".join(parts) + "\n"


def commands() -> str:
    """The commands, each with what it does and a typical call."""
    modules = {name: importlib.import_module(f"keras_senet.cli.{name}") for name in COMMANDS}
    rows = [[f"`{name}`", module.HELP, f"`keras-senet {name} {module.EXAMPLE}`"] for name, module in modules.items()]
    return table(["command", "what it does", "for example"], rows)


def recipes() -> str:
    """The named recipes with the fields that matter first."""
    rows = []
    for name, make in RECIPES.items():
        recipe = make("SEResNet50", "imagenet2012").flat()
        rate = f"{recipe['learning_rate']:g} for {recipe['base_batch_size']:,}"
        fields = [str(recipe["epochs"]), f"{recipe['batch_size']:,}", recipe["optimizer"], rate, recipe["schedule"]]
        rows.append([f"`{name}`", *fields, f"{recipe['weight_decay']:g}"])
    return table(["recipe", "epochs", "batch", "optimizer", "learning rate", "schedule", "weight decay"], rows)


_PACKAGES = ("layers", "analysis", "data", "detection", "segmentation", "export", "training", "pretrained")


def reference() -> dict[str, str]:
    """A page for the package itself, and one for each of its public packages."""
    networks = keras_senet.list_models()
    own = [name for name in keras_senet.__all__ if name not in networks and not inspect.ismodule(getattr(keras_senet, name))]
    more = "All networks take the arguments of `SEResNet50`, which is one of them."
    first = _package(keras_senet, [*own, "SEResNet50"], more)
    return {"keras_senet": first} | {
        f"keras_senet.{name}": _package(module, module.__all__)
        for name in _PACKAGES
        for module in [importlib.import_module(f"keras_senet.{name}")]
    }


def _package(module, names: list[str], more: str = "") -> str:
    title = module.__name__
    parts = [f"{title}\n{'=' * len(title)}", inspect.getdoc(module), more, f".. currentmodule:: {title}"]
    for name in sorted(names, key=str.casefold):
        member = getattr(module, name)
        if inspect.isclass(member):
            kind = "autoexception" if issubclass(member, Exception) else "autoclass"
            parts.append(f".. {kind}:: {title}.{name}\n   :members:\n   :show-inheritance:")
        elif callable(member):
            parts.append(f".. autofunction:: {title}.{name}")
        else:
            parts.append(f".. py:data:: {name}\n\n   {_value(member)}")
    return "\n\n".join(filter(None, parts)) + "\n"


def _value(constant) -> str:
    """What a public constant holds, in a line."""
    if isinstance(constant, int):
        return f"The number {constant}."
    if not all(isinstance(item, str) for item in constant):
        return f"All {len(constant)} of them."
    return f"{', '.join(f'``{item!r}``' for item in constant)}."
