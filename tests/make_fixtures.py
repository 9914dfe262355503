"""Writes fixtures: the names and shapes of the parameters of networks of timm and torchvision, and the logits that they compute.

Those in fixtures/narrow have a quarter of the width and five blocks, but the names of the whole networks. Stem, blocks, shortcuts
and head are theirs; a narrow network takes milliseconds where the whole one, in fixtures/timm or fixtures/torchvision, takes
seconds. Run it with PyTorch 2.13, timm 1.0.31 and torchvision 0.28, which no test needs:

    python tests/make_fixtures.py              # all
    python tests/make_fixtures.py resnetrs50   # those of networks whose names begin like this
"""

import dataclasses
import functools
import json
import pathlib
import sys

import numpy as np
import synthetic

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
DEPTHS, WIDTHS, CLASSES, SIZES = (1, 2, 1, 1), (16, 32, 32, 64), 10, (64, 65)
LEGACY = ("legacy_senet154", "legacy_seresnet18", "legacy_seresnet50", "legacy_seresnext50_32x4d")
LATER = {  # half the groups of the whole network's, twice as wide: a group of one channel would be another kind of convolution
    "senet154": {"cardinality": 32, "base_width": 8},
    "seresnet50": {},
    "seresnet152d": {},
    "seresnext26d_32x4d": {"cardinality": 16, "base_width": 8},
    "seresnext26t_32x4d": {"cardinality": 16, "base_width": 8},
    "seresnext50_32x4d": {"cardinality": 16, "base_width": 8},
    "seresnext101_64x4d": {"cardinality": 32, "base_width": 8},
    "seresnextaa101d_32x8d": {"cardinality": 16, "base_width": 16},
    "seresnextaa201d_32x8d": {"cardinality": 16, "base_width": 16},
    "resnetrs50": {},
    "ecaresnet26t": {},
    "ecaresnet50d": {},
    "ecaresnetlight": {},
}
BYOBNET = ("seresnext26ts", "seresnet33ts")
# Whole networks, and the sizes of their images; those that came before have fixtures from another hand.
WHOLE = dict.fromkeys(("resnetrs50", "ecaresnet26t", "ecaresnet50d", "ecaresnet50t", "ecaresnetlight"), (96, 97))
WHOLE |= {"seresnext26ts": (96, 97), "seresnet33ts": (96, 97)}
WHOLE |= dict.fromkeys([f"resnetrs{depth}" for depth in (101, 152, 200, 270)], (64,))
WHOLE |= {"resnetrs350": (), "resnetrs420": ()}  # with made-up weights they amplify what float64 rounds to half of the output
WHOLE |= {"ecaresnet101d": (64,), "ecaresnet269d": (64,)}
RULE = {"depth": 6, "initial_width": 16, "slope": 24.7, "multiplier": 2.1, "group_width": 24}  # of a narrow RegNetY
REGNETS = ("002", "004", "006", "008", "008_tv", "016", "032", "040", "064", "080", "080_tv", "120", "160", "320")
WHOLE |= {f"regnety_{name}": SIZES if name in ("002", "008_tv", "032", "320") else () for name in REGNETS}
TORCHVISION = {f"regnet_y_{name}": () for name in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")} | {"regnet_y_400mf": SIZES}
EXACT = ("resnetrs270", "ecaresnet269d")  # compared in float64: in float32 rounding puts them off
# MobileNetV3 is small enough to be compared as it is.
MOBILENETS = [f"mobilenetv3_{kind}" for kind in ("large_100", "small_100", "small_075", "small_050")]
AUTHORS_MOBILENETS = [f"tf_mobilenetv3_{size}_{kind}" for size in ("large", "small") for kind in ("100", "075", "minimal_100")]
WHOLE |= dict.fromkeys([*MOBILENETS, *AUTHORS_MOBILENETS], SIZES)
TORCHVISION |= dict.fromkeys(("mobilenet_v3_large", "mobilenet_v3_small"), SIZES)


def main(prefix: str = ""):
    import timm
    import torch
    import torchvision
    from timm.layers import SEModule
    from timm.models import byobnet, senet
    from torchvision.models import regnet

    def write(file: pathlib.Path, network, sizes, dtype=torch.float32) -> None:
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        network.load_state_dict({key: torch.from_numpy(synthetic.weight(key, shape)) for key, shape in shapes.items()})
        network.eval().to(dtype)
        with torch.no_grad():
            images = {size: torch.from_numpy(synthetic.image(size).transpose(0, 3, 1, 2).copy()).to(dtype) for size in sizes}
            logits = {f"logits_{size}": network(batch).numpy() for size, batch in images.items()}
        np.savez_compressed(file, parameters=json.dumps(shapes), **logits)

    class NarrowSENet(senet.SENet):
        """Neither widths nor, in the networks that timm registers, depths are arguments."""

        def _make_layer(self, block, planes, blocks, groups, *arguments, **options):
            stage = (64, 128, 256, 512).index(planes)
            if block is senet.SEResNeXtBottleneck:
                block = functools.partial(block, base_width=8)
                block.expansion = block.func.expansion
            return super()._make_layer(block, WIDTHS[stage], DEPTHS[stage], max(groups // 2, 1), *arguments, **options)

    senet.SENet = NarrowSENet
    for name, sizes in WHOLE.items():
        if name.startswith(prefix):
            write(FIXTURES / "timm" / f"{name}.npz", timm.create_model(name), sizes)
            if name in EXACT:
                write(FIXTURES / "timm" / f"{name}_float64.npz", timm.create_model(name), sizes, torch.float64)
    for name, sizes in TORCHVISION.items():
        if name.startswith(prefix):
            write(FIXTURES / "torchvision" / f"{name}.npz", torchvision.models.get_model(name), sizes)
    for name in (*LEGACY, *LATER, *BYOBNET, "regnety_002", "regnet_y_400mf"):
        if not name.startswith(prefix):
            continue
        if name in LEGACY:
            network = timm.create_model(name)
            network.last_linear = torch.nn.Linear(network.inplanes, CLASSES)
        elif name in BYOBNET:
            whole = byobnet.model_cfgs[name]
            group_size = whole.blocks[0].gs // 4
            shape = zip(whole.blocks, DEPTHS, WIDTHS, strict=True)
            blocks = [dataclasses.replace(block, d=depth, c=4 * width, gs=group_size) for block, depth, width in shape]
            network = byobnet.ByobNet(dataclasses.replace(whole, blocks=tuple(blocks)), num_classes=CLASSES)
        elif name in TORCHVISION:
            network = regnet.RegNet(regnet.BlockParams.from_init_params(*RULE.values(), se_ratio=0.25), CLASSES)
        elif name.startswith("regnety"):
            narrow = dict(zip(("depth", "w0", "wa", "wm", "group_size"), RULE.values(), strict=True))
            network = timm.create_model(name, num_classes=CLASSES, **narrow)
        else:
            # Whole networks have at least eight hidden units in each SE block, whatever the divisor.
            ratio = 1 / 4 if name.startswith("resnetrs") else 1 / 16
            se = functools.partial(SEModule, rd_ratio=ratio, rd_divisor=1)
            attention = {"attn_layer": "eca" if name.startswith("eca") else se}
            narrow = {"layers": DEPTHS, "channels": WIDTHS, "num_classes": CLASSES, "block_args": attention}
            network = timm.create_model(name, **narrow, **LATER[name])
        write(FIXTURES / "narrow" / f"{name}.npz", network, SIZES)


if __name__ == "__main__":
    main(*sys.argv[1:])
