"""The one interface behind which every compression method stands.

A method takes a :class:`Subject` and returns a new one. It offers *rungs*: its settings from the most to the
least ambitious; the ladder tries the next one when a candidate breaks a limit. Heavy libraries are imported
inside the functions, so that a plan can be checked on a login node that has none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mlcost_hpc.compress.records import STATUSES, Status
from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from mlcost_hpc.compress.feeds import Feeds


class NotApplicableError(CompressError):
    """The method has nothing to do on this model or cannot run on this node; says why."""


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of each method's options; what a plan may write for it."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model on its way through a chain.

    Attributes:
        onnx: the model as an ONNX file.
        module: the same model in torch; None where only the ONNX file is left.
    """

    onnx: Path
    module: nn.Module | None = None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One setting of a method.

    Attributes:
        name: what people read.
        options: the method's options for this rung.
        mends: verdicts on the rung before it for which it is worth trying; what cannot help is not tried.
        refines: the rung before it, made somewhat more right and hardly faster.
    """

    name: str
    options: Any
    mends: frozenset[Status] = frozenset(STATUSES)
    refines: bool = False


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What a method may use.

    Attributes:
        folder: a scratch folder of the task's own.
        calibration: inputs without labels.
        training: inputs with labels, None when the plan has none.
        teacher: returns the original's outputs on ``training`` (cached; first output, rows = samples).
        threads: CPUs to compute with.
        seed: of everything random.
        reduce_range: int8 weights must keep to 7 bits, because a node without VNNI may serve the model.
        processor_flags: flags of this node's processor.
        notes: remarks for the report.
        kept: file -> returns its prepared form and remarks, where these are kept for all tasks of the model.
        prepared: file -> its prepared form, found or made once a task.
        controls: name -> an ONNX file trained the same way without the method, scored beside the candidate.
        cache: what rungs share, by a key of the method's own.
    """

    folder: Path
    calibration: Feeds
    training: Feeds | None
    teacher: Callable[[], Any]
    threads: int
    seed: int
    reduce_range: bool
    processor_flags: frozenset[str]
    notes: list[str] = field(default_factory=list)
    kept: Mapping[Path, Callable[[], tuple[Path, Sequence[str]]]] = field(default_factory=dict)
    prepared: dict[Path, Path] = field(default_factory=dict)
    controls: dict[str, Path] = field(default_factory=dict)
    cache: dict[Any, Any] = field(default_factory=dict)

    def note(self, remark: str) -> None:
        """Add a remark, once."""
        if remark not in self.notes:
            self.notes.append(remark)

    def path(self, name: str) -> Path:
        """Return a path in the scratch folder that no file has yet."""
        count = 0
        while (path := self.folder / f"{name}{count or ''}.onnx").exists():
            count += 1
        return path


@dataclass(frozen=True, kw_only=True)
class Method:
    """A compression method.

    Attributes:
        name: its name in plans.
        options: its options.
        rungs: settings from the most to the least ambitious.
        apply: does the work.
        needs_module: works on the torch module, not on the ONNX file.
    """

    name: str
    options: type[Options]
    rungs: Callable[[Subject, Any, Workshop], Sequence[Rung]]
    apply: Callable[[Subject, Rung, Workshop], Subject]
    needs_module: bool = False


def only_rung(subject: Subject, options: Any, shop: Workshop) -> Sequence[Rung]:  # noqa: ARG001
    """Return the options as the only rung, for methods with nothing to step down to."""
    return (Rung(name="as asked", options=options),)


def need_module(subject: Subject) -> nn.Module:
    """Return the torch module.

    Raises:
        NotApplicableError: only the ONNX file is there.
    """
    if subject.module is None:
        raise NotApplicableError("needs the torch model: give factory and state instead of onnx")
    return subject.module


def need_training(shop: Workshop) -> Feeds:
    """Return the training data.

    Raises:
        NotApplicableError: the plan names none, or it has no labels.
    """
    if shop.training is None:
        raise NotApplicableError("needs training data: give training = a .npz with inputs and labels")
    if shop.training.labels is None:
        raise NotApplicableError("needs training data with labels: the .npz has no array named labels")
    return shop.training
