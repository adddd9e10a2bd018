"""Compression methods, one file each, behind the interface of :mod:`mlcost_hpc.compress.methods.base`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods import int8_dynamic

if TYPE_CHECKING:
    from mlcost_hpc.compress.methods.base import Method

METHODS: dict[str, Method] = {method.name: method for method in (int8_dynamic.METHOD,)}
"""All methods by name, in the order in which help lists them."""
