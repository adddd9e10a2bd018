"""How much faster a job is on one GPU type than on another, by what is known of other jobs (pure).

A normal model of three levels for the logarithm of the ratio. The catalogue's peak figures count as one
program; they and the other programs that were measured on both GPUs give what a program that nobody knows is
expected to gain. That counts as one variant of this program; it and the variants that were measured (the same
program with other arguments) give what this one is expected to gain. So a site with no past starts from peak
figures, every measured program moves it on, and runs of the same program soon outweigh all others.

Where this job was measured on more than one GPU, others count by their likeness: the gaussian of how far
their ratios differ from its own, as wide as two short measurements differ by chance. Nothing here is fitted
to the data of ``benchmarks/choice_regret.py``: what counts, counts as one, or by the error of a measurement.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NOISE = math.log(1.15) / 1.2816
"""Standard deviation of the logarithm of a speed that was measured for a few minutes."""

_WIDTH = 2 * NOISE  # two ratios of two measurements each differ by so much by chance
_NEVER = 1e-9


class Gain(NamedTuple):
    """Logarithm of a ratio of speeds: its mean, its variance, and what it rests on.

    Attributes:
        mean: natural logarithm.
        variance: of that.
        programs: other programs that were counted.
        variants: measured variants of this program that were counted.
    """

    mean: float
    variance: float
    programs: int = 0
    variants: int = 0


class Seen(NamedTuple):
    """A job's speeds on one number of GPUs.

    Attributes:
        program: what it runs, arguments left out; empty = not known, a program of its own.
        speeds: GPU model -> units of work per second.
    """

    program: str
    speeds: Mapping[str, float]


class _Term(NamedTuple):
    weight: float
    mean: float
    variance: float


def expected_gain(
    source: str, target: str, mine: Seen, others: Sequence[Seen], catalogue: Gain | None
) -> Gain | None:
    """Return how much faster than on the source a job is on the target; None when nothing says it.

    Args:
        source: GPU model on which this job was measured.
        target: GPU model on which it was not.
        mine: this job.
        others: other jobs, measured on the same number of GPUs.
        catalogue: what peak figures say; None = one of the two is not in the catalogue.
    """
    programs: dict[str | int, list[_Term]] = defaultdict(list)
    for number, other in enumerate(others):
        if source in other.speeds and target in other.speeds:
            ratio = math.log(other.speeds[target] / other.speeds[source])
            term = _Term(_likeness(mine.speeds, other.speeds, source), ratio, NOISE**2)
            programs[other.program or number].append(term)
    variants = programs.pop(mine.program, []) if mine.program else []
    unknown = [_Term(max(term.weight for term in terms), *_mean(terms)) for terms in _counted(programs)]
    start = [] if catalogue is None else [_Term(1.0, catalogue.mean, catalogue.variance)]
    if not start and not unknown and not variants:
        return None
    known = [term for term in variants if term.weight > _NEVER]
    site = [_Term(1.0, *_mean([*start, *unknown]))] if start or unknown else []
    mean, variance = _mean([*site, *known])
    return Gain(mean, variance, len(unknown), len(known))


def _counted(programs: Mapping[str | int, list[_Term]]) -> Iterator[list[_Term]]:
    return (terms for terms in programs.values() if any(term.weight > _NEVER for term in terms))


def _mean(terms: Sequence[_Term]) -> tuple[float, float]:
    """Return mean and variance of a mixture of normal distributions."""
    total = sum(term.weight for term in terms)
    mean = sum(term.weight * term.mean for term in terms) / total
    spread = sum(term.weight * (term.variance + (term.mean - mean) ** 2) for term in terms) / total
    return mean, spread


def _likeness(mine: Mapping[str, float], theirs: Mapping[str, float], source: str) -> float:
    """Return 1 for a job whose known ratios are ours, towards 0 for one that gains quite differently."""
    gaps = [
        math.log(mine[gpu] / mine[source] / (theirs[gpu] / theirs[source]))
        for gpu in mine.keys() & theirs.keys() - {source}
    ]
    if not gaps:
        return 1.0
    return math.exp(-sum(gap * gap for gap in gaps) / len(gaps) / (2 * _WIDTH**2))
