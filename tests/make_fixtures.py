"""Writes fixtures/narrow: networks of timm at a quarter of the width, with five blocks, and what they compute.

The names are those of the whole networks. Stem, blocks, shortcuts and head are timm's; a narrow network takes milliseconds where
the whole one takes seconds. Run it with PyTorch 2.13 and timm 1.0.31, which no test needs:

    python tests/make_fixtures.py
"""

import functools
import json
import pathlib

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
}


def main():
    import timm
    import torch
    from timm.layers import SEModule
    from timm.models import senet

    class NarrowSENet(senet.SENet):
        """Neither widths nor, in the networks that timm registers, depths are arguments."""

        def _make_layer(self, block, planes, blocks, groups, *arguments, **options):
            stage = (64, 128, 256, 512).index(planes)
            if block is senet.SEResNeXtBottleneck:
                block = functools.partial(block, base_width=8)
                block.expansion = block.func.expansion
            return super()._make_layer(block, WIDTHS[stage], DEPTHS[stage], max(groups // 2, 1), *arguments, **options)

    senet.SENet = NarrowSENet
    for name in (*LEGACY, *LATER):
        if name in LEGACY:
            network = timm.create_model(name)
            network.last_linear = torch.nn.Linear(network.inplanes, CLASSES)
        else:
            # Whole networks have at least eight hidden units in each SE block, whatever the divisor.
            attention = {"attn_layer": functools.partial(SEModule, rd_divisor=1)}
            narrow = {"layers": DEPTHS, "channels": WIDTHS, "num_classes": CLASSES, "block_args": attention}
            network = timm.create_model(name, **narrow, **LATER[name])
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        network.load_state_dict({key: torch.from_numpy(synthetic.weight(key, shape)) for key, shape in shapes.items()})
        network.eval()
        with torch.no_grad():
            images = {size: torch.from_numpy(synthetic.image(size).transpose(0, 3, 1, 2).copy()) for size in SIZES}
            logits = {f"logits_{size}": network(batch).numpy() for size, batch in images.items()}
        np.savez_compressed(FIXTURES / "narrow" / f"{name}.npz", parameters=json.dumps(shapes), **logits)


if __name__ == "__main__":
    main()
