"""TOML files read as records, with errors that name file, key and what was expected."""

from __future__ import annotations

import os
import tomllib
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import msgspec

from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")


def convert_toml(path: Path, shape: type[_T]) -> _T:
    """Read a TOML file as a record; decimals stay exact.

    Raises:
        ConfigError: when the file cannot be read, is no TOML or has another shape (names file and key).
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"{path}: {os.strerror(error.errno or 0)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    try:
        return msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at ")
        key = where.strip("`").removeprefix("$.") or "top level"
        raise ConfigError(f"{path}: {key}: {message[:1].lower()}{message[1:]}") from None
