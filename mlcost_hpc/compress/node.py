"""This node's processor, as far as it decides speed and results of small number formats."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "amx_fp16",
    "asimddp",
    "i8mm",
    "bf16",
)
"""Flags that are recorded, as the kernel spells them."""

NODE_CLASSES = ("amx", "avx512_vnni", "avx_vnni", "avx512", "avx2", "x86", "arm_dot", "arm", "other")
"""Classes of processors that agree with one another about int8 results, fastest first."""

EXACT_INT8 = frozenset({"amx", "avx512_vnni", "avx_vnni", "arm_dot", "arm"})
"""Classes whose int8 products do not saturate at 16 bits: 8-bit weights are safe there."""


def read_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> tuple[str, frozenset[str]]:
    """Return the processor's name and its flags."""
    return parse_cpuinfo(cpuinfo.read_text(encoding="utf-8", errors="replace"))


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Return name and flags of the first processor of a ``/proc/cpuinfo``."""
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    fields = {key.strip(): value.strip() for key, _, value in pairs}
    flags = fields.get("flags") or fields.get("Features") or ""
    return fields.get("model name", platform.machine()), frozenset(flags.split())


def node_class(flags: frozenset[str]) -> str:
    """Return the class of a processor with these flags."""
    if "amx_int8" in flags:
        return "amx"
    for flag in ("avx512_vnni", "avx_vnni"):
        if flag in flags:
            return flag
    if {"avx512f", "avx512bw"} <= flags:
        return "avx512"
    if "avx2" in flags:
        return "avx2"
    if "asimddp" in flags:
        return "arm_dot"
    if "asimd" in flags:
        return "arm"
    return "x86" if "sse2" in flags else "other"


def needs_reduced_range(serving: tuple[str, ...]) -> bool:
    """Return whether int8 weights must keep to 7 bits on these node classes; yes when none is named.

    Processors with AVX2 or AVX-512 but without VNNI add pairs of products in 16 bits, which saturate: the
    same file then gives other answers there.
    """
    return not serving or not set(serving) <= EXACT_INT8


def host_name() -> str:
    """Return the name of this node; Slurm's where it gives one."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def load_average() -> float:
    """Return the load average of one minute."""
    return round(os.getloadavg()[0], 2)


def job_name(environ: Mapping[str, str]) -> str:
    """Return the Slurm job (``17_3``), empty outside Slurm."""
    array = environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return environ.get("SLURM_JOB_ID", "")


def cpus_of_job(environ: Mapping[str, str]) -> int:
    """Return the CPUs this process may use: Slurm's word, else the affinity mask."""
    text = environ.get("SLURM_CPUS_PER_TASK", "")
    return int(text) if text.isdigit() and int(text) else len(os.sched_getaffinity(0))
