"""A candidate checked as an older processor would run it: newer instructions are hidden from the libraries.

Linux lets a process forbid itself the instruction that asks the processor what it can do (CPUID). Each such
question then ends in our handler, which answers as a processor of the older class would; libraries take the
code they take there, and it runs at full speed. This module is also the program of that process::

    python -m mlcost_hpc.compress.hidden CLASS BATCH TASK SAMPLES
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import signal
import sys
from typing import TYPE_CHECKING

from mlcost_hpc.compress.apart import check_apart, class_seen
from mlcost_hpc.compress.apart import main as check_in_this_process
from mlcost_hpc.compress.check import SAMPLES
from mlcost_hpc.errors import CompressError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.check import Check
    from mlcost_hpc.compress.manifest import Task

TIMEOUT_S = 600.0

CLASSES = ("avx512_vnni", "avx512", "avx2", "x86")
"""Classes a newer processor can stand in for, newest first."""

Registers = tuple[int, int, int, int]
"""EAX, EBX, ECX and EDX."""

_FEATURES = (1, 0)
_MORE_FEATURES = (7, 0)
_NEWEST_FEATURES = (7, 1)
_ALL = 0xFFFFFFFF


def _bits(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


_BEYOND: dict[str, dict[tuple[int, int], Registers]] = {
    # AMX: tiles, int8, bf16, fp16, complex
    "avx512_vnni": {
        _MORE_FEATURES: (0, 0, 0, _bits(22, 24, 25)),
        _NEWEST_FEATURES: (_bits(21), 0, 0, _bits(8)),
    },
    # VNNI, fp16; all of the newest: AVX-VNNI in its kinds, bf16, AVX10
    "avx512": {_MORE_FEATURES: (_ALL, 0, _bits(11), _bits(23)), _NEWEST_FEATURES: (_ALL, _ALL, _ALL, _ALL)},
    # AVX-512: F, DQ, IFMA, CD, BW, VL; VBMI, VBMI2, BITALG, VPOPCNTDQ; 4VNNIW, 4FMAPS, VP2INTERSECT
    "avx2": {_MORE_FEATURES: (0, _bits(16, 17, 21, 28, 30, 31), _bits(1, 6, 12, 14), _bits(2, 3, 8))},
    # FMA, XSAVE, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; VAES, VPCLMULQDQ
    "x86": {
        _FEATURES: (0, 0, _bits(12, 26, 27, 28, 29), 0),
        _MORE_FEATURES: (0, _bits(3, 5, 8), _bits(9, 10), 0),
    },
}
"""Class -> (leaf, subleaf) of CPUID -> bits that the class before it has and this one has not."""


def answer_as(node_class: str, leaf: int, subleaf: int, truth: Registers) -> Registers:
    """Return what a processor of an older class answers to CPUID (pure).

    Args:
        node_class: one of :data:`CLASSES`.
        leaf: what is asked, in EAX.
        subleaf: which part of it, in ECX; most leaves have no parts and ignore it.
        truth: what this processor answers.
    """
    asked = (leaf, subleaf if leaf == _MORE_FEATURES[0] else 0)
    for name in CLASSES[: CLASSES.index(node_class) + 1]:
        hidden = _BEYOND[name].get(asked, (0, 0, 0, 0))
        truth = (
            truth[0] & ~hidden[0],
            truth[1] & ~hidden[1],
            truth[2] & ~hidden[2],
            truth[3] & ~hidden[3],
        )
    return truth


def check_like(batch: Batch, task: Task, node_class: str, timeout_s: float = TIMEOUT_S) -> Check:
    """Run a task's artefact as a processor of an older class would, and write what came of it.

    Args:
        batch: the batch folder.
        task: whose artefact.
        node_class: one of :data:`CLASSES`.
        timeout_s: seconds after which it is given up.

    Raises:
        UsageError: no processor can stand in for this class.
        CompressError: this one cannot, or the artefact does not run there.
    """
    if node_class not in CLASSES:
        raise UsageError(f"{node_class!r} is none of the classes to stand in for: {', '.join(CLASSES)}")
    program = [sys.executable, "-m", "mlcost_hpc.compress.hidden", node_class]
    return check_apart(program, batch, task, SAMPLES, f"this processor like {node_class}", timeout_s)


_ARCH_PRCTL = 158
_ARCH_CPUID = 0x1012
"""Of asm/prctl.h: allow (1) or forbid (0) CPUID to this thread and those it starts."""

_CPUID = b"\x0f\xa2"
_ASK = bytes.fromhex("53 4989d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")
"""ask(leaf, subleaf, four): push rbx; mov r8,rdx; mov eax,edi; mov ecx,esi; cpuid; store 4; pop rbx; ret."""

_GREGS_OFFSET = 40
_RBX, _RDX, _RAX, _RCX, _RIP = 11, 12, 13, 14, 16
"""Where glibc's ucontext_t has a thread's registers, and which is which."""

_SA_SIGINFO, _SA_NODEFER = 0x4, 0x40000000
_Four = ctypes.c_uint32 * 4
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class _SigAction(ctypes.Structure):
    """glibc's ``struct sigaction`` on x86-64."""

    _fields_ = (
        ("handler", _Handler),
        ("mask", ctypes.c_byte * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


_kept: list[object] = []
"""What the handler needs for as long as the process lives."""


def hide_beyond(node_class: str) -> None:
    """Hide from every library loaded from now on what processors of a class do not have.

    Args:
        node_class: one of :data:`CLASSES`.

    Raises:
        CompressError: this system or processor has no means to, or is itself older than the class.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise CompressError("hiding instructions needs Linux on x86-64")
    libc = ctypes.CDLL(None, use_errno=True)
    ask = _native_cpuid()

    def on_fault(number: int, _info: int, context: int) -> None:
        registers = (ctypes.c_uint64 * 23).from_address(context + _GREGS_OFFSET)
        if ctypes.string_at(registers[_RIP], 2) != _CPUID:
            # Another fault than ours: come back to it without a handler, and end as one does.
            libc.signal(number, None)
            return
        leaf, subleaf = registers[_RAX] & _ALL, registers[_RCX] & _ALL
        libc.syscall(_ARCH_PRCTL, _ARCH_CPUID, 1)
        truth = ask(leaf, subleaf)
        libc.syscall(_ARCH_PRCTL, _ARCH_CPUID, 0)
        registers[_RAX], registers[_RBX], registers[_RCX], registers[_RDX] = answer_as(
            node_class, leaf, subleaf, truth
        )
        registers[_RIP] += len(_CPUID)

    # Ctrl-C ends the process at once: raised within the handler it would leave the instruction permitted.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    action = _SigAction(handler=_Handler(on_fault), flags=_SA_SIGINFO | _SA_NODEFER)
    _kept.append(action)
    if libc.sigaction(int(signal.SIGSEGV), ctypes.byref(action), None) or libc.syscall(
        _ARCH_PRCTL, _ARCH_CPUID, 0
    ):
        raise CompressError(
            "this processor or its kernel cannot hide instructions (no CPUID faulting): "
            "emulate one with --emulate instead"
        )
    seen = class_seen()
    if seen != node_class:
        raise CompressError(f"this processor cannot stand in for {node_class}: what is left of it is {seen}")


def _native_cpuid() -> Callable[[int, int], Registers]:
    """Return a function that asks the processor itself."""
    try:
        memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError as error:
        raise CompressError(f"hiding instructions needs memory for code: {error.strerror}") from None
    memory.write(_ASK)
    _kept.append(memory)
    call = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.POINTER(_Four))(
        ctypes.addressof(ctypes.c_char.from_buffer(memory))
    )

    def ask(leaf: int, subleaf: int) -> Registers:
        registers = _Four()
        call(leaf, subleaf, ctypes.byref(registers))
        return registers[0], registers[1], registers[2], registers[3]

    return ask


def main(argv: list[str] | None = None) -> int:
    """Check one task's artefact as a processor of an older class would; returns the exit code."""
    node_class, *rest = argv or sys.argv[1:]
    try:
        hide_beyond(node_class)
    except CompressError as error:
        print(f"{error}", file=sys.stderr)
        return error.exit_code
    return check_in_this_process(rest)


if __name__ == "__main__":
    sys.exit(main())
