"""Columns in which few values repeat: what depends on a value is worked out once for it (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Codes = np.ndarray[tuple[int], np.dtype[np.int64]]

_T = TypeVar("_T")
_U = TypeVar("_U")
_LARGEST = 2**62


class Repeated(Generic[_T]):
    """A column as its different values, and for each row which of them it has.

    Args:
        values: the values; two may be equal.
        codes: for each row the position of its value.
    """

    __slots__ = ("codes", "values")

    def __init__(self, values: Sequence[_T], codes: Codes) -> None:
        self.values = values
        self.codes = codes

    @classmethod
    def of(cls, column: Iterable[_T]) -> Repeated[_T]:
        """Return a column of values that can be keys of a mapping."""
        known: dict[_T, int] = {}
        codes = [known.setdefault(value, len(known)) for value in column]
        return cls(list(known), np.array(codes, dtype=np.int64))

    @classmethod
    def constant(cls, value: _T, rows: int) -> Repeated[_T]:
        """Return a column of one value."""
        return cls([value], np.zeros(rows, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> _T:
        return self.values[int(self.codes[row])]

    def __iter__(self) -> Iterator[_T]:
        return map(self.values.__getitem__, self.codes.tolist())

    def take(self, rows: Codes) -> Repeated[_T]:
        """Return the column of some rows."""
        return Repeated(self.values, self.codes[rows])

    def only(self, rows: Codes) -> Repeated[_T]:
        """Return the column of some rows, without the values that no longer occur."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return Repeated([self.values[code] for code in used.tolist()], codes)

    def distinct(self) -> Repeated[_T]:
        """Return the column with equal values under one code."""
        values = Repeated.of(self.values)
        return Repeated(values.values, values.codes[self.codes])

    def map(self, function: Callable[[_T], _U]) -> Repeated[_U]:
        """Return the column of what a function says of each value."""
        return Repeated(list(map(function, self.values)), self.codes)

    def numbers(self, function: Callable[[_T], int]) -> Codes:
        """Return each row's number as a function tells it of its value."""
        return np.array(list(map(function, self.values)), dtype=np.int64)[self.codes]


def together(columns: Sequence[Repeated[Any]]) -> Repeated[tuple[Any, ...]]:
    """Return columns of one length as one column of the combinations that occur."""
    codes: Codes = np.zeros(len(columns[0]), dtype=np.int64)
    size = 1
    for column in columns:
        size *= len(column.values) or 1
        if size > _LARGEST:
            codes = np.unique(codes, return_inverse=True)[1]
            size = (len(codes) + 1) * len(column.values)
        codes = codes * len(column.values) + column.codes
    _, rows, codes = np.unique(codes, return_index=True, return_inverse=True)
    return Repeated(list(zip(*(column.take(rows) for column in columns), strict=True)), codes)
