"""Compression methods, one file each, behind the interface of :mod:`mlcost_hpc.compress.methods.base`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcost_hpc.compress.methods import (
    distil,
    half,
    int4,
    int8_dynamic,
    int8_static,
    nncf_int8,
    optimize,
    prune_channels,
    prune_weights,
    qat,
)

if TYPE_CHECKING:
    from mlcost_hpc.compress.methods.base import Method

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        int8_dynamic.METHOD,
        int8_static.METHOD,
        qat.METHOD,
        int4.METHOD,
        half.FP16,
        half.BF16,
        half.FP16_COMPUTE,
        prune_channels.METHOD,
        prune_weights.METHOD,
        distil.METHOD,
        optimize.METHOD,
        nncf_int8.METHOD,
    )
}
"""All methods by name, in the order in which help lists them."""
