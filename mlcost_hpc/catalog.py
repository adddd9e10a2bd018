"""GPU models: what each one is, and which Slurm GRES type names mean it.

The data is in ``catalog.toml`` beside this file, with its sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from mlcost_hpc.errors import ConfigError
from mlcost_hpc.tomlfile import convert_toml


class GpuModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU model.

    Attributes:
        key: its name in rate cards and on reports, for instance ``a100-80gb``.
        name: the maker's name.
        memory_gib: usable memory, GiB.
        tflops: peak dense TFLOPS by data type (``fp32``, ``tf32``, ``fp16``, ``bf16``, ``fp8``, ``int8`` in
            TOPS); a type that the hardware lacks is missing.
        bandwidth_gbs: memory bandwidth, GB/s.
        watts: board power limit, W.
        aliases: GRES type names, as sites spell them, in lower case.
    """

    key: str
    name: str
    memory_gib: int
    tflops: Mapping[str, float]
    bandwidth_gbs: float
    watts: int
    aliases: tuple[str, ...] = ()

    @property
    def training_tflops(self) -> float:
        """Peak of the data type a mixed-precision training would use: bf16, else fp16, else fp32."""
        return next(self.tflops[dtype] for dtype in ("bf16", "fp16", "fp32") if dtype in self.tflops)


class Catalog(msgspec.Struct, frozen=True):
    """All GPU models, found by the GRES type names of a site.

    Attributes:
        models: key -> model.
        names: normalised GRES type name -> key.
    """

    models: Mapping[str, GpuModel]
    names: Mapping[str, str]

    def find(self, gres_type: str) -> GpuModel | None:
        """Return the model that a GRES type name means, None when it is not known."""
        key = self.names.get(normalise(gres_type))
        return None if key is None else self.models[key]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gpu: tuple[GpuModel, ...]


def normalise(gres_type: str) -> str:
    """Return a GRES type name without what sites vary: case, ``-``/``_``/blanks, the maker's name."""
    word = re.sub(r"[-_ .]+", "-", gres_type.strip().lower())
    return re.sub(r"^(nvidia|amd|geforce|tesla|quadro)-", "", re.sub(r"^(nvidia|amd)-", "", word))


@cache
def builtin_models() -> tuple[GpuModel, ...]:
    """Return the models of the packaged catalogue."""
    return convert_toml(Path(__file__).with_name("catalog.toml"), _File).gpu


def load_catalog(aliases: Mapping[str, str] | None = None) -> Catalog:
    """Return the catalogue with a site's own aliases (GRES type name -> model key) on top.

    Raises:
        ConfigError: when an alias names a model that is not in the catalogue.
    """
    models = {model.key: model for model in builtin_models()}
    names: dict[str, str] = {}
    for model in models.values():
        for name in (model.key, *model.aliases):
            names[normalise(name)] = model.key
    for alias, key in (aliases or {}).items():
        if key not in models:
            raise ConfigError(f"gpu_aliases.{alias}: {key!r} is not a GPU model; known: {', '.join(models)}")
        names[normalise(alias)] = key
    return Catalog(models=models, names=names)
