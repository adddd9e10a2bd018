"""The verdict on a row when all is in: what was measured later, and what other processors answered (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.compress.judge import judge

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from mlcost_hpc.compress.check import Check
    from mlcost_hpc.compress.plan import Limits
    from mlcost_hpc.compress.records import Measurement, Result


def settle(
    result: Result,
    limits: Limits,
    serving: Collection[str],
    measurements: Sequence[Measurement],
    checks: Sequence[Check],
) -> Result:
    """Return a row as it stands with everything that is known by now.

    A later measurement on the class of processors where the task ran takes the place of its own. A candidate
    is within the limits only if it is on every class that will serve it and of which something is known.

    Args:
        result: the row as the task wrote it.
        limits: what the candidate must keep to.
        serving: node classes that will serve it; empty = any.
        measurements: later measurements, one a class.
        checks: answers on other classes.
    """
    if result.status not in ("ok", "slower") or result.place is None:
        return result
    made_on = result.place.node_class
    own = next((item for item in measurements if item.place.node_class == made_on), None)
    if own is not None:
        note = (
            f"measured again on {own.place.host}, load {own.place.load_before:g} (job {own.place.job or '-'})"
        )
        result = _judged(
            msgspec.structs.replace(
                result, latency=own.latency, place=own.place, load_s=own.load_s, notes=(*result.notes, note)
            ),
            limits,
        )
    for item in measurements:
        name = item.place.node_class
        if name != made_on and result.status == "ok" and _serves(name, serving):
            there = _judged(msgspec.structs.replace(result, latency=item.latency), limits)
            if there.status != "ok":
                result = msgspec.structs.replace(
                    result, status=there.status, reason=f"on {name}: {there.reason}"
                )
    for check in checks:
        if not check.passed and _serves(check.node_class, serving):
            return msgspec.structs.replace(
                result,
                status="wrong",
                reason=f"right on {made_on}, but other answers on {check.node_class}: {check.how_far}",
                next_step="leave `serving` empty or name this class in it, so that weights keep to 7 bits; "
                "or serve elsewhere",
            )
    return result


def portable(checks: Sequence[Check], made_on: str) -> bool | None:
    """Return whether a file gives the same answers on all other classes that were tried; None = not tried."""
    others = [check.passed for check in checks if check.node_class != made_on]
    return all(others) if others else None


def _serves(name: str, serving: Collection[str]) -> bool:
    return not serving or name in serving


def _judged(result: Result, limits: Limits) -> Result:
    if result.size_before is None or result.size_after is None or result.score is None:
        return result
    status, reason = judge(
        limits,
        size_before=result.size_before,
        size_after=result.size_after,
        changed=result.changed,
        score=result.score,
        latency=result.latency,
    )
    return msgspec.structs.replace(result, status=status, reason=reason)
