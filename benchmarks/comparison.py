"""How all benchmarks but gpu.py measure: ours and a rival in turn, so that noise hits both alike; medians are quoted."""

import dataclasses
import statistics
import time
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the table in README.md."""

    what: str
    rival: str
    target: float | None  # the highest ratio that we accept
    ours: float  # seconds, the median over the rounds
    theirs: float
    ratio: float  # of our time to the rival's: the median of the ratios within each round

    def __str__(self) -> str:
        target = "" if self.target is None else f", target {self.target:g}{'' if self.met else ' MISSED'}"
        return f"{self.what}: {readable(self.ours)}, {self.rival}: {readable(self.theirs)}; ratio {self.ratio:.3f}{target}"

    @property
    def met(self) -> bool:
        return self.target is None or self.ratio <= self.target


def compare(
    what: str,
    rival: str,
    ours: Callable[[], float],
    theirs: Callable[[], float],
    *,
    rounds: int,
    target: float | None = None,
) -> Comparison:
    """Compares two functions that do their work once and return the seconds that it took (see `timed`)."""
    return compared(what, rival, [(ours(), theirs()) for _ in range(rounds)], target=target)


def compared(what: str, rival: str, rounds: list[tuple[float, float]], *, target: float | None = None) -> Comparison:
    """The comparison that seconds of both sides, round by round, amount to."""
    first, second = (statistics.median(side) for side in zip(*rounds, strict=True))
    ratio = statistics.median(ours / theirs for ours, theirs in rounds)
    return Comparison(what, rival, target, first, second, ratio)


def timed(work: Callable[[], object], *, pieces: int = 1, clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """Function that does the work and returns the seconds that each of its pieces took."""

    def seconds() -> float:
        start = clock()
        work()
        return (clock() - start) / pieces

    return seconds


def readable(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def show(comparisons: list[Comparison]) -> None:
    print(*comparisons, sep="\n")
