"""Which image comes when: a function of seed, epoch and step, shared among processes."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in the endless sequence of batches, from which on they are always the same.

    Attributes:
        seed: of the order and of the augmentation.
        epoch: number of the epoch, from 0.
        step: number of batches of this epoch that come before.
    """

    seed: int = 0
    epoch: int = 0
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Shard:
    """The share of one of several processes in the images.

    Attributes:
        count: number of processes.
        index: which of them this is, from 0.
    """

    count: int = 1
    index: int = 0
