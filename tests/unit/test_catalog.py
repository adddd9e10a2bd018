"""The GPU catalogue."""

from pathlib import Path

import pytest

from mlcost_hpc.catalog import builtin_models, load_catalog
from mlcost_hpc.errors import ConfigError


@pytest.mark.parametrize(
    ("gres_type", "key"),
    [
        ("a100", "a100-40gb"),
        ("nvidia_a100_80gb_pcie", "a100-80gb"),
        ("NVIDIA_A100-SXM4-80GB", "a100-80gb"),
        ("NVlink_A100_40GB", "a100-40gb"),
        ("nvidia_h100_80gb_hbm3", "h100"),
        ("h100_pcie", "h100-pcie"),
        ("2080", "rtx-2080ti"),
        ("nvidia_geforce_rtx_2080_ti", "rtx-2080ti"),
        ("rtx_a6000", "rtx-a6000"),
        ("nvidia_rtx_6000_ada_generation", "rtx-6000-ada"),
        ("tesla_v100-sxm2-32gb", "v100-32gb"),
        ("Tesla-T4", "t4"),
        ("mi250", "mi250x-gcd"),
        ("l40s", "l40s"),
        ("a100_3g.20gb", "a100-40gb-3g.20gb"),
        ("nvidia_a100_1g.5gb", "a100-40gb-1g.5gb"),
        ("a100_1g.10gb", "a100-80gb-1g.10gb"),
        ("nvidia_a100_80gb_pcie_3g.40gb", "a100-80gb-3g.40gb"),
        ("h100_1g.10gb", "h100-1g.10gb"),
        ("nvidia_h100_80gb_hbm3_2g.20gb", "h100-2g.20gb"),
        ("h200_1g.18gb", "h200-1g.18gb"),
        ("h100_nvl_1g.12gb", "h100-nvl-1g.12gb"),
    ],
)
def test_names_of_real_sites_are_understood(gres_type: str, key: str) -> None:
    """GRES type names as sites spell them lead to the model."""
    model = load_catalog().find(gres_type)
    assert model is not None
    assert model.key == key


@pytest.mark.parametrize("gres_type", ["", "gizmo", "1g.10gb", "a100_9g.5gb", "a100_3g.7gb", "shard"])
def test_unknown_names_stay_unknown(gres_type: str) -> None:
    """A name that means no model, or a slice that no GPU has, is not guessed."""
    assert load_catalog().find(gres_type) is None


def test_slice_has_its_share_of_the_gpu() -> None:
    """3g.20gb of an A100 40 GB is 3/7 of its speed, half of its memory and bandwidth."""
    whole, part = load_catalog().find("a100"), load_catalog().find("a100_3g.20gb")
    assert whole is not None
    assert part is not None
    assert part.tflops["bf16"] == pytest.approx(whole.tflops["bf16"] * 3 / 7)
    assert part.bandwidth_gbs == pytest.approx(whole.bandwidth_gbs / 2)
    assert part.memory_gib == 20


def test_every_name_means_one_model() -> None:
    """No alias is written down for two models."""
    names = [name for model in builtin_models() for name in (model.key, *model.aliases)]
    assert len(names) == len(set(names))


def test_figures_are_plausible() -> None:
    """Every model has fp32, lower precisions are not slower, and prices are a span."""
    for model in builtin_models():
        assert model.tflops["fp32"] > 0
        assert model.training_tflops >= model.tflops["fp32"], model.key
        assert model.usd_hour is not None
        assert 0 < model.usd_hour[0] < model.usd_hour[1], model.key
        assert 100 < model.bandwidth_gbs < 10000
        assert 50 < model.watts <= 1200


def test_gpus_before_ampere_have_no_bf16() -> None:
    """Mixed precision on V100 and T4 is fp16: bf16 is missing there."""
    catalog = load_catalog()
    assert [key for key in ("t4", "v100", "rtx-2080ti") if "bf16" in catalog.models[key].tflops] == []


def test_site_alias_wins() -> None:
    """A site may say that its a100 has 80 GB, and what its bare MIG names mean."""
    catalog = load_catalog({"a100": "a100-80gb", "1g.10gb": "a100-80gb-1g.10gb"})
    assert [catalog.find(name).key for name in ("a100", "1g.10gb")] == [  # type: ignore[union-attr]
        "a100-80gb", "a100-80gb-1g.10gb",
    ]  # fmt: skip


def test_alias_to_nowhere_is_refused() -> None:
    """An alias for a model that is not there names it."""
    with pytest.raises(ConfigError, match="'a1000' is not a GPU model"):
        load_catalog({"x": "a1000"})


def test_site_adds_and_changes_models(tmp_path: Path) -> None:
    """A site's file adds models and replaces ours of the same key."""
    path = tmp_path / "gpus.toml"
    path.write_text(
        '[[gpu]]\nkey = "gizmo"\nname = "Gizmo"\nmemory_gib = 7\ntflops = { fp32 = 1 }\n'
        'bandwidth_gbs = 1\nwatts = 1\naliases = ["gz"]\n'
    )
    model = load_catalog(site=path).find("GZ")
    assert model is not None
    assert (model.key, model.training_tflops) == ("gizmo", 1)
