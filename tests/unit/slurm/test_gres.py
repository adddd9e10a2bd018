"""GPUs in the generic resources of a node."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import UNTYPED
from mlcost_hpc.slurm.gres import gpus_of_tres, parse_gpus
from mlcost_hpc.units import parse_tres


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:a100:4", {"a100": 4}),
        ("gpu:4", {UNTYPED: 4}),
        ("gpu:2080:2(S:0)", {"2080": 2}),
        ("gpu:model_a:4(S:0-3)", {"model_a": 4}),
        ("gpu:a100:2(S:0,2),gpu:t4:1(S:1)", {"a100": 2, "t4": 1}),
        ("gpu:a100:2(S:0),gpu:a100:2(S:1)", {"a100": 4}),
        ("gpu:1g.10gb:7", {"1g.10gb": 7}),
        ("gpu:nvidia_a100_80gb_pcie_1g.10gb:14(S:0-1)", {"nvidia_a100_80gb_pcie_1g.10gb": 14}),
        ("gpu:nvidia-h100-80gb-hbm3:8", {"nvidia-h100-80gb-hbm3": 8}),
        ("gpu:a100:no_consume:4", {"a100": 4}),
        ("gpu:a100", {"a100": 1}),
        ("gpu", {UNTYPED: 1}),
        ("mps:400,gpu:v100:2,craynetwork:4,shard:8", {"v100": 2}),
        ("(null)", {}),
        ("", {}),
    ],
)
def test_gpus_a_node_has(text: str, gpus: dict[str, int]) -> None:
    """Every way of writing them down gives the count by type."""
    assert parse_gpus(text) == gpus


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("gpu:a100:2(IDX:0-1),gpu:t4:3(IDX:4-6)", {"a100": 2, "t4": 3}),
        ("gpu:a100:2(IDX:0,3)", {"a100": 2}),
        ("gpu:a100:0(IDX:N/A)", {}),
        ("gpu:0", {}),
        ("gpu:(null):2(IDX:0-1)", {UNTYPED: 2}),
        ("gpu:(null):0(IDX:N/A)", {}),
    ],
)
def test_gpus_in_use(text: str, gpus: dict[str, int]) -> None:
    """Device numbers are not counts, and types of which none is in use are left out."""
    assert parse_gpus(text) == gpus


def test_a_count_that_is_none_is_refused() -> None:
    """A count that cannot be read is an error and not zero GPUs."""
    with pytest.raises(SlurmAnswerError, match="many"):
        parse_gpus("gpu:a100:many")


@pytest.mark.parametrize(
    ("tres", "present", "gpus"),
    [
        ("gres/gpu=2", {"a100": 8}, {"a100": 2}),
        ("gres/gpu=2", {"a100": 4, "t4": 4}, {UNTYPED: 2}),
        ("gres/gpu=3,gres/gpu:t4=3", {"a100": 4, "t4": 4}, {"t4": 3}),
        ("cpu=2", {"a100": 8}, {}),
    ],
)
def test_gpus_in_use_from_a_tres_list(tres: str, present: dict[str, int], gpus: dict[str, int]) -> None:
    """Untyped use on a node with one type is use of that type."""
    assert gpus_of_tres(parse_tres(tres), present) == gpus
