"""Values of the options that say what a job needs."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from mlcost_hpc.catalog import load_catalog
from mlcost_hpc.cli.need_values import parse_deadline, parse_gpus, parse_model, parse_money
from mlcost_hpc.errors import UsageError
from mlcost_hpc.launch.work import parse_work

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def test_gpus_are_a_number_or_a_range() -> None:
    """2 is exactly two, 1-8 a range."""
    assert parse_gpus("2") == (2, None)
    assert parse_gpus("1-8") == (1, 8)


@pytest.mark.parametrize("text", ["", "a", "8-1", "0-4", "-1", "1-", "1.5", "٣-٤x"])
def test_other_gpus_are_refused(text: str) -> None:
    """Anything else is a usage error that shows the forms."""
    with pytest.raises(UsageError, match="range like 1-8"):
        parse_gpus(text)


@pytest.mark.parametrize(
    ("text", "amount", "unit", "model"),
    [
        ("20000steps", 20000, "steps", ""),
        ("2.56e6samples@256", 10000, "steps", ""),
        ("1e21flop", 1e21, "flop", ""),
        ("10h@V100", 10, "hours", "v100"),
        ("2.5h@nvidia_h100_80gb_hbm3", 2.5, "hours", "h100"),
    ],
)
def test_work_is_steps_samples_flop_or_hours_on_a_gpu(
    text: str, amount: float, unit: str, model: str
) -> None:
    """The four ways to say how much there is to do."""
    work = parse_work(text, load_catalog())
    assert (work.amount, work.unit, work.gpu_model) == (amount, unit, model)


@pytest.mark.parametrize(
    "text",
    [
        "10h",
        "10steps@v100",
        "0steps",
        "h@v100",
        "10h@gizmo",
        "many",
        "9samples",
        "9samples@0",
        "9samples@v100",
    ],
)
def test_other_work_is_refused(text: str) -> None:
    """Hours need a GPU that is known, steps none, and there must be something to do."""
    with pytest.raises(UsageError, match="work "):
        parse_work(text, load_catalog())


def test_deadline_is_a_duration_or_a_moment_in_the_sites_zone() -> None:
    """A moment without a zone is in the site's; one with a zone is in its own."""
    assert parse_deadline("2d", NOW, PARIS) == 2 * 86400
    assert parse_deadline("2026-11-25T18:00", NOW, PARIS) == 5 * 3600
    assert parse_deadline("2026-11-25T18:00+00:00", NOW, PARIS) == 6 * 3600


@pytest.mark.parametrize("text", ["yesterday", "2026-11-25T12:00", "0h"])
def test_past_or_unreadable_deadlines_are_refused(text: str) -> None:
    """A deadline must be readable and lie ahead."""
    with pytest.raises(UsageError, match="--deadline"):
        parse_deadline(text, NOW, PARIS)


@pytest.mark.parametrize("text", ["-1", "NaN", "Infinity", "ten"])
def test_money_is_a_plain_amount(text: str) -> None:
    """Negative, endless and unreadable amounts are refused."""
    assert parse_money("--budget", "12.50") == Decimal("12.50")
    with pytest.raises(UsageError, match="--budget"):
        parse_money("--budget", text)


@pytest.mark.parametrize(
    "text", ["parameters=x", "parameters=7e9,colour=red", "parameters=7e9,dtype=fp7", "7e9"]
)
def test_wrong_model_descriptions_are_refused(text: str) -> None:
    """A field that is unknown or cannot be read is named."""
    assert parse_model("parameters=7e9,mode=inference").mode == "inference"
    with pytest.raises(UsageError, match="--model"):
        parse_model(text)
