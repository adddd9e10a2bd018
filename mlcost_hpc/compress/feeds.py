"""Samples for a model: evaluation, calibration and training data from ``.npz`` files, or made up.

Each array's first axis counts samples. Where an array has as many axes as the model's input, that axis is the
model's batch; where it has one more, each sample is one call (models without a batch axis).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from mlcost_hpc.errors import CompressError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from mlcost_hpc.compress.onnxfile import Port

    Array = np.ndarray[Any, Any]

LABELS = "labels"
RANDOM = "random inputs"
_GUESSED_IMAGE = 224
_GUESSED_LENGTH = 64


@dataclass(frozen=True, kw_only=True)
class Feeds:
    """Samples.

    Attributes:
        name: where they are from.
        arrays: input name -> array, first axis = samples.
        labels: one entry a sample, None without labels.
        batched: several samples can go into one call.
        extra: further arrays of the file, for a metric of the user's own.
    """

    name: str
    arrays: Mapping[str, Array]
    labels: Array | None
    batched: bool
    extra: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def at(self, start: int, size: int) -> dict[str, Array]:
        """Return one call's inputs: ``size`` samples from ``start``, going round when there are fewer."""
        if not self.batched:
            place = start % len(self)
            # A slice and a reshape, since indexing would turn a scalar input into no array at all.
            return {
                name: array[place : place + 1].reshape(array.shape[1:]) for name, array in self.arrays.items()
            }
        rows = [(start + offset) % len(self) for offset in range(size)]
        return {name: array[rows] for name, array in self.arrays.items()}

    def calls(self, size: int) -> Iterator[dict[str, Array]]:
        """Yield the inputs of all samples, each once, at most ``size`` a call."""
        if not self.batched:
            yield from (self.at(index, 1) for index in range(len(self)))
            return
        for start in range(0, len(self), size):
            yield {name: array[start : start + size] for name, array in self.arrays.items()}

    def slice(self, start: int, stop: int) -> Feeds:
        """Return the samples ``start`` to ``stop``."""
        return Feeds(
            name=self.name,
            arrays={name: array[start:stop] for name, array in self.arrays.items()},
            labels=None if self.labels is None else self.labels[start:stop],
            batched=self.batched,
            extra={name: array[start:stop] for name, array in self.extra.items()},
        )


def load_feeds(path: Path, ports: Sequence[Port]) -> Feeds:
    """Return the samples of a ``.npz`` file for a model with these inputs.

    Raises:
        CompressError: the file cannot be read, an input is missing, or an array has a wrong shape or type.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise CompressError(f"{path.name} is no .npz file of plain arrays: {error}") from error
    feeds = _feeds(path.name, content, ports)
    cast = {port.name: feeds.arrays[port.name].astype(port.dtype, copy=False) for port in ports}
    return replace(feeds, arrays=cast)


def check_feeds(path: Path, ports: Sequence[Port]) -> None:
    """Check a ``.npz`` file for a model with these inputs by the headers of its arrays alone.

    Raises:
        CompressError: the file cannot be read, an input is missing, or an array has a wrong shape or type.
    """
    import numpy as np

    content: dict[str, Array] = {}
    try:
        with ZipFile(path) as file:
            for member in file.namelist():
                with file.open(member) as array:
                    shape, dtype = _read_header(array)
                # An array of the right shape and type that takes no memory.
                content[member.removesuffix(".npy")] = np.broadcast_to(np.zeros((), dtype), shape)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise CompressError(f"{path.name} is no .npz file of plain arrays: {error}") from error
    _feeds(path.name, content, ports)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an array in NumPy's file format.

    Raises:
        ValueError: it is no such array, or one of pickled objects.
    """
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    return shape, dtype


def _feeds(name: str, content: Mapping[str, Array], ports: Sequence[Port]) -> Feeds:
    """Return the samples in a file's arrays, in the types of the file."""
    arrays = {port.name: _fitting(name, _pick(name, content, port, ports), port) for port in ports}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise CompressError(f"{name}: the inputs have different numbers of samples, or none")
    length = lengths.pop()
    labels = content.get(LABELS)
    if labels is not None and (not labels.ndim or len(labels) != length):
        raise CompressError(f"{name}: {len(labels) if labels.ndim else 1} labels for {length} samples")
    ranks = {arrays[port.name].ndim == len(port.shape) for port in ports}
    if len(ranks) != 1:
        raise CompressError(f"{name}: some arrays have the model's batch as first axis, others do not")
    known = {LABELS, *arrays}
    extra = {
        key: array
        for key, array in content.items()
        if key not in known and array.ndim and len(array) == length
    }
    return Feeds(name=name, arrays=arrays, labels=labels, batched=ranks.pop(), extra=extra)


def random_feeds(ports: Sequence[Port], count: int, seed: int) -> Feeds:
    """Return made-up samples: they show whether outputs stay close, not whether they are right."""
    import numpy as np

    random = np.random.default_rng(seed)
    batched = all(port.shape and port.shape[0] in (None, 1) for port in ports)
    arrays: dict[str, Array] = {}
    for port in ports:
        shape = [_guess(port, axis) for axis in range(len(port.shape))]
        shape = [count, *shape[1:]] if batched else [count, *shape]
        kind = np.dtype(port.dtype)
        if kind.kind == "f":
            arrays[port.name] = random.standard_normal(shape).astype(kind)
        elif "mask" in port.name.lower() or kind.kind == "b":
            arrays[port.name] = np.ones(shape, kind)
        else:
            arrays[port.name] = random.integers(0, 100, shape).astype(kind)
    return Feeds(name=RANDOM, arrays=arrays, labels=None, batched=batched, extra={})


def _guess(port: Port, axis: int) -> int:
    """Return the size of an axis, guessed where the model takes any."""
    size = port.shape[axis]
    if size is not None:
        return size
    if axis == 0:
        return 1
    return _GUESSED_IMAGE if len(port.shape) == 4 else _GUESSED_LENGTH


def _pick(file: str, content: Mapping[str, Array], port: Port, ports: Sequence[Port]) -> Array:
    if port.name in content:
        return content[port.name]
    others = [name for name in content if name != LABELS]
    if len(ports) == 1 and len(others) == 1:
        return content[others[0]]
    raise CompressError(
        f"{file}: no array for the model's input {port.name!r} (has: {', '.join(sorted(content)) or 'none'})"
    )


def _fitting(file: str, array: Array, port: Port) -> Array:
    """Return the array, after checking its shape and type."""
    import numpy as np

    wanted = np.dtype(port.dtype)
    castable = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}.get(wanted.kind, "")
    if array.dtype != wanted and array.dtype.kind not in castable:
        raise CompressError(f"{file}: {port.name} has type {array.dtype}, the model takes {wanted}")
    rank = len(port.shape)
    if array.ndim not in (rank, rank + 1):
        raise CompressError(f"{file}: {port.name} has shape {array.shape}, the model takes {_show(port)}")
    sample = array.shape[1:]
    expected = port.shape[1:] if array.ndim == rank else port.shape
    if any(size is not None and size != have for size, have in zip(expected, sample, strict=True)):
        raise CompressError(f"{file}: {port.name} has shape {array.shape}, the model takes {_show(port)}")
    return array


def _show(port: Port) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in port.shape) + ")"
