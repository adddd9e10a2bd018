"""GPU models: what each one is, and which Slurm GRES type names mean it.

The data is in ``catalog.toml`` beside this file, with its sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache, lru_cache
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
        usd_hour: lowest and highest list price of one GPU-hour in public clouds, US dollars; None = unknown.
        aliases: GRES type names, as sites spell them, in lower case.
    """

    key: str
    name: str
    memory_gib: int
    tflops: Mapping[str, float]
    bandwidth_gbs: float
    watts: int
    usd_hour: tuple[Decimal, Decimal] | None = None
    aliases: tuple[str, ...] = ()

    @property
    def training_tflops(self) -> float:
        """Peak of the data type a mixed-precision training would use: bf16, else fp16, else fp32."""
        return next(self.tflops[dtype] for dtype in ("bf16", "fp16", "fp32") if dtype in self.tflops)


class Catalog(msgspec.Struct, frozen=True):
    """All GPU models, found by the GRES type names of a site.

    Attributes:
        models: key -> model.
        names: normalised GRES type name -> key, of a model or of a slice of one.
    """

    models: Mapping[str, GpuModel]
    names: Mapping[str, str]

    def find(self, gres_type: str) -> GpuModel | None:
        """Return the model that a GRES type name or a key means, None when it is not known.

        A MIG slice (``a100_3g.20gb``, ``nvidia_h100_80gb_hbm3_1g.10gb``) is a model of its own, made from
        the whole GPU: see :func:`slice_of`.
        """
        word = normalise(gres_type)
        for name in (word, _BOARD.sub("", word)):
            key = self.names.get(name)
            if key is not None:
                return self.models.get(key) or self._find_slice(normalise(key))
        return self._find_slice(word)

    def _find_slice(self, word: str) -> GpuModel | None:
        match = _SLICE.fullmatch(word)
        if match is None:
            return None
        compute, memory = int(match["compute"]), int(match["memory"])
        bases = [self.find(f"{match['base']}{size}") for size in ("", "-40gb", "-80gb")]
        # The number of memory slices is not in the name. The GPU is the one on which this is the usual size,
        # else one on which it is possible: an A100 of 40 GB can also give 1g.10gb.
        for fits in (_is_usual, _is_possible):
            for base in bases:
                if base is not None and fits(compute, _slices(base.memory_gib, memory)):
                    return slice_of(base, compute, memory)
        return None


def slice_of(gpu: GpuModel, compute: int, memory_gib: int) -> GpuModel:
    """Return a MIG slice: so many sevenths of a GPU's computing, and part of its memory and bandwidth.

    NVIDIA divides computing into seven parts and memory, with its bandwidth, into eight.
    """
    share = min(1.0, _slices(gpu.memory_gib, memory_gib) / 8)
    return GpuModel(
        key=f"{gpu.key}-{compute}g.{memory_gib}gb",
        name=f"{gpu.name}, {compute}/7 of it (MIG)",
        memory_gib=memory_gib,
        tflops={dtype: peak * compute / 7 for dtype, peak in gpu.tflops.items()},
        bandwidth_gbs=gpu.bandwidth_gbs * share,
        watts=gpu.watts * compute // 7,
    )


def _slices(whole_gib: int, part_gib: int) -> int:
    """Return how many eighths of a GPU's memory a slice has; 0 when it is none of its sizes.

    Names give rounded sizes: an eighth of 94 GiB is called 12gb, of 141 GiB 18gb, of 40 GiB 5gb.
    """
    return next((count for count in (1, 2, 4, 8) if abs(whole_gib * count / 8 - part_gib) <= count * 0.5), 0)


def _is_usual(compute: int, eighths: int) -> bool:
    return {1: 1, 2: 2, 3: 4, 4: 4, 7: 8}.get(compute) == eighths


def _is_possible(compute: int, eighths: int) -> bool:
    return compute <= 7 and eighths >= compute


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gpu: tuple[GpuModel, ...]


@lru_cache(maxsize=4096)
def normalise(gres_type: str) -> str:
    """Return a GRES type name without what sites vary: case, ``-``/``_``/blanks, the maker's name."""
    word = re.sub(r"[-_ .]+", "-", gres_type.strip().lower())
    return re.sub(r"^(nvidia|amd|geforce|tesla|quadro)-", "", re.sub(r"^(nvidia|amd)-", "", word))


# What some sites add to a model's name and others do not.
_BOARD = re.compile(r"-(sxm\d?|pcie|hbm\d?e?|nvlink|nvl|ampere|hopper)(?=-|$)")
_SLICE = re.compile(r"(?P<base>[a-z0-9-]+?)-?(?P<compute>\d)g-(?P<memory>\d+)gb(-me)?")


@cache
def builtin_models() -> tuple[GpuModel, ...]:
    """Return the models of the packaged catalogue."""
    return convert_toml(Path(__file__).with_name("catalog.toml"), _File).gpu


def load_catalog(aliases: Mapping[str, str] | None = None, site: Path | None = None) -> Catalog:
    """Return the catalogue with what a site adds and changes.

    Args:
        aliases: GRES type name of the site -> model key.
        site: file of the same form as ours; its models come on top.

    Raises:
        ConfigError: when the file is wrong, or an alias names a model that is not in the catalogue.
    """
    own = () if site is None else convert_toml(site, _File).gpu
    models = {model.key: model for model in (*builtin_models(), *own)}
    names: dict[str, str] = {}
    for model in models.values():
        for name in (model.key, *model.aliases):
            names[normalise(name)] = model.key
    for alias, key in (aliases or {}).items():
        if key not in models and Catalog(models=models, names=names).find(key) is None:
            raise ConfigError(f"gpu_aliases.{alias}: {key!r} is not a GPU model; known: {', '.join(models)}")
        names[normalise(alias)] = key
    return Catalog(models=models, names=names)
