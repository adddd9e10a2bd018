"""A choice in words and columns: every term of what fits, and why the rest does not."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from mlcost_hpc.cli.offers import weights_text
from mlcost_hpc.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlcost_hpc.launch.choose import Candidate, Choice

_MOST = 12
_WIDTH = 100
_PARTITION, _GPUS = 18, 17  # what the figures leave of that
_FIGURES = (
    f"{'per hour':>9} {'hours':>8} {'wait':>6} {'stops':>6} {'result in':>9} {'cost':>10} {'on time':>7}"
)


def explain_choice(choice: Choice, currency: str) -> str:
    """Return the explanation of a choice, at most 100 columns wide."""
    lines = (printable(line) for line in _lines(choice, currency))
    return "\n".join(part for line in lines for part in _folded(line))


def _folded(line: str) -> list[str]:
    """Return a line, as several where it is wider than the page."""
    if len(line) <= _WIDTH:
        return [line]
    return wrap(line, _WIDTH, subsequent_indent=" " * 13, drop_whitespace=True, replace_whitespace=False)


def _lines(choice: Choice, currency: str) -> Iterator[str]:
    yield f"What fits, best first (prices in {currency}; 'result in' counts waiting and requeueing):"
    yield from _table(choice.ranked[:_MOST])
    if len(choice.ranked) > _MOST:
        yield f"  ... and {len(choice.ranked) - _MOST} more"
    yield from _terms(choice.best, currency)
    if choice.late:
        yield f"Hardly in time (wanted: {choice.need.deadline_probability:.0%}):"
        yield from _table(choice.late[:_MOST])
    if choice.rejected:
        yield "What does not fit:"
        shown = choice.rejected[:_MOST]
        wide = max(len(item.offer.partition) for item in shown)
        for item in shown:
            more = f" (and {len(item.misses) - 1} more)" if len(item.misses) > 1 else ""
            yield f"  {item.offer.partition:<{wide}}  {item.offer.label:<12} {item.misses[0].why}{more}"
        if len(choice.rejected) > _MOST:
            yield f"  ... and {len(choice.rejected) - _MOST} more"
    yield from (f"Note: {note}" for note in choice.notes)


def _table(candidates: Sequence[Candidate]) -> Iterator[str]:
    names = [(_cut(item.offer.partition, _PARTITION), _cut(_gpus(item), _GPUS)) for item in candidates]
    partition = max(len("partition"), *(len(name) for name, _ in names))
    gpus = max(len("GPUs"), *(len(name) for _, name in names))
    yield f"  {'partition':<{partition}} {'GPUs':<{gpus}} {_FIGURES}"
    for item, (where, what) in zip(candidates, names, strict=True):
        yield f"  {where:<{partition}} {what:<{gpus}} {_figures(item)}"


def _cut(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"


def _gpus(candidate: Candidate) -> str:
    return f"{candidate.gpus} x {candidate.offer.label}" if candidate.gpus else "none"


def _figures(candidate: Candidate) -> str:
    expected = candidate.forecast
    chance = "-" if expected.on_time is None else f"{expected.on_time:.0%}"
    return (
        f"{candidate.per_hour:>9.4f} {expected.hours:>8.2f} "
        f"{hours(expected.wait.seconds / 3600):>6} {expected.running.stops:>6.2f} "
        f"{hours(expected.to_result_h):>9} {expected.cost:>10.4f} {chance:>7}"
    )


def _terms(best: Candidate, currency: str) -> Iterator[str]:
    offer, expected = best.offer, best.forecast
    yield f"The first, term by term (intervals hold 80 %), {best.offer.partition}:"
    if expected.speed is None:
        yield "  speed      no work was given (--work): the job is taken to fill its time limit"
    else:
        speed = expected.speed
        yield (
            f"  speed      {speed.per_second:.4g} a second ({speed.low:.4g} to {speed.high:.4g}): "
            f"{speed.basis}"
        )
    wait, stops = expected.wait, expected.interruptions
    yield (
        f"  wait       {hours(wait.seconds / 3600)} ({hours(wait.low / 3600)} to {hours(wait.high / 3600)}): "
        f"{wait.basis}"
    )
    if offer.can_be_preempted is None:
        yield "  preempted  not known: see the notes"
    elif not offer.preemptible:
        yield "  preempted  never"
    else:
        rate = f"{stops.preemptions_per_hour:.3g} times an hour ({stops.low:.2g} to {stops.high:.2g})"
        yield f"  preempted  {rate}: {stops.basis}"
        said = "time to save" if expected.saved else "NO time to save: work since the last save is lost"
        yield f"             {offer.grace_time_s} s of grace: {said}; then {offer.preempt_mode.lower()}"
    yield (
        f"  running    {expected.work_h:.2f} h of work and {expected.running.overhead_h:.2f} h of saves, "
        "restarts and lost work; then starting"
    )
    yield (
        f"  cost       {best.per_hour:.4f} {currency} an hour x {expected.hours:.2f} h = {expected.cost:.4f} "
        f"({expected.cost_low:.4f} to {expected.cost_high:.4f})"
    )
    if offer.billing_weights:
        yield f"             (Slurm's billing weights: {weights_text(offer)}: for fair share, not a price)"
    yield f"  limit      {hours(expected.time_limit_s / 3600)} a run"


def hours(amount: float) -> str:
    """Return hours for people: ``45s``, ``12m``, ``3.5h``, ``2.1d``."""
    if amount < 1 / 60:
        return f"{amount * 3600:.0f}s"
    if amount < 1:
        return f"{amount * 60:.0f}m"
    return f"{amount:.1f}h" if amount < 48 else f"{amount / 24:.1f}d"
