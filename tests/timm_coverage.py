"""How many of timm's checkpoints with channel attention load here, by family: those of `keras_senet.list_checkpoints`.

It builds each network of timm that has published weights, without memory for them, and looks for the layers. It needs timm and
PyTorch, and takes some minutes:

    python tests/timm_coverage.py
"""

import collections
import contextlib

import keras_senet

ATTENTION = {"SEModule", "SqueezeExcite", "EffectiveSEModule", "EcaModule", "CecaModule"}


def main():
    import timm
    import torch

    ours = {checkpoint.name for checkpoint in keras_senet.list_checkpoints()}
    by_network = collections.defaultdict(list)
    for name in timm.list_pretrained():
        by_network[name.partition(".")[0]].append(name)
    counts: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    for network, names in by_network.items():
        with contextlib.suppress(ImportError), torch.device("meta"):  # some need packages of their own
            model = timm.create_model(network)
            if ATTENTION & {type(module).__name__ for module in model.modules()}:
                family = counts[type(model).__name__]
                family[0] += len(names)
                family[1] += len(ours & set(names))
    print(f"{'timm':<24} {'with attention':>14} {'here':>6}")
    for family, (known, found) in sorted(counts.items(), key=lambda item: -item[1][0]):
        print(f"{family:<24} {known:>14} {found:>6}")
    total, here = (sum(column) for column in zip(*counts.values(), strict=True))
    print(f"{'all':<24} {total:>14} {here:>6}")
    print(f"not in timm's list: {len(ours - {name for names in by_network.values() for name in names})}")


if __name__ == "__main__":
    main()
