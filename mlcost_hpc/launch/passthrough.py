"""Hand-written batch scripts: their ``#SBATCH`` lines count; what they leave open is filled in (pure).

The script itself is not touched: what is filled in are options of sbatch. Requeueing stays its own business.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.errors import UnitError, UsageError
from mlcost_hpc.launch.script import equal_partitions
from mlcost_hpc.units import format_duration, parse_memory, parse_time_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcost_hpc.launch.choose import Choice
    from mlcost_hpc.launch.need import Need

_SHORT = {
    "p": "partition", "t": "time", "A": "account", "q": "qos", "N": "nodes", "c": "cpus-per-task",
    "n": "ntasks", "J": "job-name", "o": "output", "e": "error", "a": "array", "d": "dependency", "G": "gpus",
}  # fmt: skip
_GPUS = re.compile(r"(?:gpu:)?(?:(?P<type>[A-Za-z_][\w.-]*):)?(?P<count>\d+)")


def read_directives(text: str) -> dict[str, str]:
    """Return the options of a script's ``#SBATCH`` lines by their long names; flags have an empty value.

    As sbatch does, reading ends at the first line that is neither a comment nor empty.

    Raises:
        UsageError: for a line whose quotes do not end.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            break
        if not line.startswith("#SBATCH"):
            continue
        try:
            words = shlex.split(line.removeprefix("#SBATCH"), comments=True)
        except ValueError as error:
            raise UsageError(f"line {number} of the script: {error}") from None
        found.update(_options(words))
    return found


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, _, value = word.removeprefix("--").partition("=")
            found[name] = value
        elif word.startswith("-") and len(word) > 1:
            name = _SHORT.get(word[1], word[1])
            found[name] = word[2:].removeprefix("=")
        elif name:
            found[name] = word
    return found


def need_of(directives: Mapping[str, str], need: Need) -> Need:
    """Return a need in which what the script asks for replaces what was asked for elsewhere.

    Raises:
        UsageError: when a value cannot be read.
    """
    changes: dict[str, object] = {}
    nodes = int(directives["nodes"].partition("-")[0]) if "nodes" in directives else None
    for key in ("gpus", "gpus-per-node", "gres"):
        match = _GPUS.fullmatch(directives.get(key, ""))
        if match is not None:
            count = int(match["count"])
            changes["gpus"] = count if key == "gpus" else count * (nodes or 1)
            changes["gpu_types"] = (match["type"],) if match["type"] else need.gpu_types
            break
    try:
        if directives.get("time"):
            changes["time_s"] = parse_time_limit(directives["time"])
        if directives.get("mem"):
            changes["memory"] = parse_memory(directives["mem"])
    except UnitError as error:
        raise UsageError(f"the script's #SBATCH lines: {error}") from None
    if directives.get("partition"):
        changes["partitions"] = tuple(directives["partition"].split(","))
    for key, field in (("account", "account"), ("qos", "qos")):
        if directives.get(key):
            changes[field] = directives[key]
    if nodes is not None:
        changes["nodes"] = nodes
    return msgspec.structs.replace(need, **changes)


def filled_in(directives: Mapping[str, str], choice: Choice) -> list[str]:
    """Return the options of sbatch for what a script leaves open."""
    best, need = choice.best, choice.need
    wanted = {
        "partition": ",".join(equal_partitions(choice)),
        "time": format_duration(best.forecast.time_limit_s),
        "account": need.account or "",
        "qos": need.qos or "",
    }
    options = [f"--{name}={value}" for name, value in wanted.items() if value and name not in directives]
    options += _gpu_options(directives, choice)
    if not directives.keys() & {"mem", "mem-per-cpu", "mem-per-gpu"}:
        options.append(f"--mem={best.shape.memory // 2**20}M")
    if not directives.keys() & {"cpus-per-task", "cpus-per-gpu", "ntasks", "ntasks-per-node"}:
        options.append(f"--cpus-per-task={best.shape.cpus}")
    return options


def _gpu_options(directives: Mapping[str, str], choice: Choice) -> list[str]:
    """Return the GPUs a script leaves open: all of them, or their type, or nothing."""
    best = choice.best
    kind = f"{best.offer.gpu_type}:" if best.offer.gpu_type else ""
    for key in ("gpus", "gpus-per-node", "gres"):
        match = _GPUS.fullmatch(directives.get(key, ""))
        if match is not None:
            # Without a type any GPU of the partition would do, at whatever price.
            prefix = "gpu:" if key == "gres" else ""
            return [] if match["type"] or not kind else [f"--{key}={prefix}{kind}{match['count']}"]
    if not best.shape.gpus or directives.keys() & {"gpus", "gpus-per-node", "gres", "gpus-per-task"}:
        return []
    return [f"--gpus-per-node={kind}{best.shape.gpus}"]
