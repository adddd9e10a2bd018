"""Values of the options that say what a job needs (pure)."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from mlcost_hpc.errors import UnitError, UsageError
from mlcost_hpc.units import parse_time_limit

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from mlcost_hpc.launch.memory import Model

_GPUS = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def parse_gpus(text: str) -> tuple[int, int | None]:
    """Return ``2`` as (2, None) and ``1-8`` as (1, 8).

    Raises:
        UsageError: for anything else.
    """
    match = _GPUS.fullmatch(text.strip())
    if match is None or (match[2] is not None and not 0 < int(match[1]) <= int(match[2])):
        raise UsageError(f"--gpus {text}: write a number, or a range like 1-8")
    return int(match[1]), int(match[2]) if match[2] else None


def parse_model(text: str) -> Model:
    """Return ``parameters=7e9,mode=lora,batch=4,...`` as a model.

    Args:
        text: fields of :class:`mlcost_hpc.launch.memory.Model`.

    Raises:
        UsageError: naming the field that is wrong.
    """
    import msgspec

    from mlcost_hpc.launch.memory import Model, gpu_memory

    fields: dict[str, object] = {}
    for entry in filter(None, text.split(",")):
        key, equals, value = entry.strip().partition("=")
        if not equals:
            raise UsageError(f"--model: {entry!r} is not key=value")
        fields[key] = value
    try:
        model = msgspec.convert(fields, Model, strict=False)
        gpu_memory(model)
    except msgspec.ValidationError as error:
        raise UsageError(f"--model: {error}") from None
    except KeyError as error:
        raise UsageError(f"--model: {error.args[0]!r} is no dtype or optimizer that is known") from None
    return model


def parse_deadline(text: str, now: datetime, zone: ZoneInfo) -> float:
    """Return the seconds from now until a deadline: ``2d``, or a time, in the site's zone if it names none.

    Raises:
        UsageError: when it cannot be read or is past.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is not None:
        left = (moment if moment.tzinfo else moment.replace(tzinfo=zone)) - now
    else:
        try:
            left = timedelta(seconds=parse_time_limit(text) or 0)
        except UnitError:
            raise UsageError(f"--deadline {text}: write 36h, 2d or 2026-12-24T18:00") from None
    if left <= timedelta(0):
        raise UsageError(f"--deadline {text}: that is past")
    return left.total_seconds()


def parse_money(option: str, text: str) -> Decimal:
    """Return an amount of money.

    Raises:
        UsageError: when it is none, or negative.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise UsageError(f"{option} {text}: write an amount like 25 or 12.50")
    return amount
