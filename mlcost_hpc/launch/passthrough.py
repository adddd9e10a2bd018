"""Hand-written batch scripts: their ``#SBATCH`` lines count; what they leave open is filled in (pure).

The script itself is not touched: what is filled in are options of sbatch. Requeueing stays its own business.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, NamedTuple

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
_GPUS = re.compile(r"(?:(?P<type>[A-Za-z_][\w.-]*|\d+g\.\d+gb)(?::(?=\d)|$))?(?P<count>\d+)?")
_GPU_OPTIONS = ("gpus", "gpus-per-node", "gpus-per-task", "gres")
_CPU_OPTIONS = frozenset({"cpus-per-task", "cpus-per-gpu", "ntasks", "ntasks-per-node"})


class _Gpus(NamedTuple):
    """What a script says about its GPUs: in which option, of which type (empty = any), how many."""

    option: str
    type: str
    number: int


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
        if line.split()[1:2] in (["hetjob"], ["packjob"]):
            raise UsageError(f"line {number} of the script: jobs of several parts are submitted with sbatch")
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
    nodes = _whole(directives, "nodes")
    gpus = _gpus_of(directives)
    if gpus is not None:
        changes["gpus"] = gpus.number * _times(gpus.option, directives, nodes or 1)
        changes["gpu_types"] = (gpus.type,) if gpus.type else need.gpu_types
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


def _gpus_of(directives: Mapping[str, str]) -> _Gpus | None:
    for option in _GPU_OPTIONS:
        for entry in directives.get(option, "").split(","):
            if option == "gres" and entry.partition(":")[0] != "gpu":
                continue
            match = _GPUS.fullmatch(
                entry.removeprefix("gpu").removeprefix(":") if option == "gres" else entry
            )
            if match is not None and entry:
                return _Gpus(option, match["type"] or "", int(match["count"] or 1))
    return None


def _times(option: str, directives: Mapping[str, str], nodes: int) -> int:
    """Return how often the GPUs of an option are there in the whole job."""
    if option == "gpus":
        return 1
    if option == "gpus-per-task":
        each = _whole(directives, "ntasks-per-node")
        return _whole(directives, "ntasks") or (each or 1) * nodes
    return nodes


def _whole(directives: Mapping[str, str], name: str) -> int | None:
    """Return an option's number, the lower one of a range.

    Raises:
        UsageError: when it is none.
    """
    text = directives.get(name, "").partition("-")[0]
    if text and not text.isdecimal():
        raise UsageError(f"the script's #SBATCH lines: --{name}={text} is no number")
    return int(text) if text else None


def filled_in(directives: Mapping[str, str], choice: Choice, name: str) -> list[str]:
    """Return the options of sbatch for what a script leaves open.

    Args:
        directives: what it says.
        choice: where it goes.
        name: job name.
    """
    best, need = choice.best, choice.need
    wanted = {
        "job-name": name,
        "partition": ",".join(equal_partitions(choice)),
        "time": format_duration(best.forecast.time_limit_s),
        "account": need.account or "",
        "qos": need.qos or "",
    }
    options = [f"--{key}={value}" for key, value in wanted.items() if value and key not in directives]
    options += _gpu_options(directives, choice)
    if not directives.keys() & {"mem", "mem-per-cpu", "mem-per-gpu"}:
        options.append(f"--mem={best.shape.memory // 2**20}M")
    if not directives.keys() & _CPU_OPTIONS:
        options.append(f"--cpus-per-task={best.shape.cpus}")
    return options


def _gpu_options(directives: Mapping[str, str], choice: Choice) -> list[str]:
    """Return the GPUs a script leaves open: all of them, or their type, or nothing."""
    best = choice.best
    kind = f"{best.offer.gpu_type}:" if best.offer.gpu_type else ""
    gpus = _gpus_of(directives)
    if gpus is None:
        return [f"--gpus-per-node={kind}{best.shape.gpus}"] if best.shape.gpus else []
    if gpus.type or not kind:
        return []
    # Without a type any GPU of the partition would do, at whatever price.
    typed = f"{kind}{gpus.number}"
    if gpus.option != "gres":
        return [f"--{gpus.option}={typed}"]
    others = [entry for entry in directives["gres"].split(",") if entry.partition(":")[0] != "gpu"]
    return [f"--gres={','.join([f'gpu:{typed}', *others])}"]
