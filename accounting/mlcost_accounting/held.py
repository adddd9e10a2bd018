"""What a run held: Slurm's resource lists with the GPU models of the catalogue (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_hpc.catalog import normalise
from mlcost_hpc.rates import Resources
from mlcost_hpc.slurm.values import parse_tres_cached

if TYPE_CHECKING:
    from mlcost_hpc.catalog import Catalog

UNTYPED_GPU = "untyped"
"""The model under which GPUs are reported whose type nobody says."""


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a run held.

    Attributes:
        resources: amounts, for pricing.
        gpus: number of GPUs of all models (a MIG slice counts as one).
        gpu_model: the model; several joined with ``+``; empty without GPUs.
    """

    resources: Resources
    gpus: int
    gpu_model: str


class Holdings:
    """Reads resource lists, each different one once.

    Args:
        catalog: the GPU models and their names.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[tuple[str, int, str], Held] = {}

    def read(self, allocated: str, node_count: int, default_model: str = "") -> Held:
        """Return what an AllocTRES text means.

        Args:
            allocated: the text; empty = nothing.
            node_count: nodes, where the text does not count them.
            default_model: model of GPUs whose type is not said.

        Raises:
            UnitError: when the text is no TRES list.
        """
        key = (allocated, node_count, default_model)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._read(allocated, node_count, default_model)
        return found

    def _read(self, allocated: str, node_count: int, default_model: str) -> Held:
        tres = parse_tres_cached(allocated)
        gpus: dict[str, int] = {}
        for gres_type, count in tres.gpu_types.items():
            known = self._catalog.find(gres_type)
            model = normalise(gres_type) if known is None else known.key
            gpus[model] = gpus.get(model, 0) + count
        if tres.untyped_gpus > 0:
            gpus[default_model] = gpus.get(default_model, 0) + tres.untyped_gpus
        gpus = {model: count for model, count in gpus.items() if count}
        other = {name: int(value) for name, value in tres.other.items() if value.isdecimal()}
        resources = Resources(
            cpus=tres.cpus, memory=tres.memory, gpus=gpus, nodes=tres.nodes or node_count, other=other
        )
        model = "+".join(sorted(name or UNTYPED_GPU for name in gpus))
        return Held(resources=resources, gpus=sum(gpus.values()), gpu_model=model)
