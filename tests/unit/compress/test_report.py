"""Report rows, page, files, and the copied winners."""

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import pandas as pd
import pytest

from mlcost_hpc.compress.batch import Batch
from mlcost_hpc.compress.best import copy_best
from mlcost_hpc.compress.check import Check
from mlcost_hpc.compress.economics import Prices
from mlcost_hpc.compress.export import write_report
from mlcost_hpc.compress.manifest import expand
from mlcost_hpc.compress.page import render
from mlcost_hpc.compress.plan import load_plan
from mlcost_hpc.compress.records import Latency, Measurement, Place, Result, Score, Spread, Status
from mlcost_hpc.compress.report import COLUMNS, PAGE_COLUMNS, Extras, for_people, places, rows
from mlcost_hpc.compress.standing import choose_best
from mlcost_hpc.compress.summary import summarize
from mlcost_hpc.compress.task import do_task
from mlcost_hpc.errors import CompressError, UsageError


def result(
    recipe: str,
    status: Status = "ok",
    size: int = 250,
    speed: float = 2.0,
    after: float = 0.99,
    model: str = "m",
) -> Result:
    one = Spread(p10=0.01, p50=0.01, p90=0.01, calls=9)
    other = Spread(p10=0.01 / speed, p50=0.01 / speed, p90=0.01 / speed, calls=9)
    return Result(
        task=f"{model}-{recipe}",
        model=model,
        recipe=recipe,
        status=status,
        reason="because",
        size_before=1000,
        size_after=size,
        latency=(Latency(batch=10, before=one, after=other, speedup=speed),),
        score=Score(
            metric="accuracy",
            before=0.99,
            after=after,
            relative_error=0.0,
            largest_difference=0.0,
            samples=9,
            data="d",
        ),
        place=Place(host="n", processor="p", node_class="avx2", flags=(), threads=2),
    )


def test_the_front_holds_only_candidates_within_the_limits() -> None:
    """The smallest and fastest file is not on the front when its answers are wrong."""
    found = [
        result("a"),
        result("b", "wrong", size=10, speed=9.0),
        result("c", size=200, speed=1.0),
        result("d", size=300),
    ]
    assert {row["recipe"] for row in rows(found, {}) if row["pareto"]} == {"a", "c"}


def test_rows_are_in_the_plans_order_best_first() -> None:
    """Models as in the plan; in each ok before wrong before failed, faster before slower."""
    found = [
        Result(task="x", model="m", recipe="x", status="failed", reason="r"),
        result("slow", speed=1.2),
        result("fast"),
        result("bad", "wrong"),
        result("first", model="a"),
    ]
    assert [row["recipe"] for row in rows(found, {"a": 0, "m": 1})] == ["first", "fast", "slow", "bad", "x"]


def test_costs_and_payback_are_in_the_row() -> None:
    """A million predictions are priced at two cores; the batch of the model must be paid back."""
    prices = Prices(currency="USD", core_hour={"cpu": Decimal("0.36")})
    spent = {"m-a": Decimal("0.10"), "m-b": Decimal("0.10")}
    row = rows([result("a"), result("b", "wrong")], {}, Extras(prices=prices, spent=spent))[0]
    # 1 ms a sample x 2 cores x 0.0001 a second = 0.0000002; a million of them 0.2.
    assert (row["cost_before"], row["cost_after"]) == (Decimal("0.2"), Decimal("0.1"))
    assert row["pays_back"] == 2_000_000
    lines = summarize([result("a")], spent, prices).lines()
    assert "4.0x smaller" in lines[1]
    assert "the batch cost 0.2000 USD" in lines


def test_another_processors_verdict_is_in_the_row() -> None:
    """A file that answers differently elsewhere is called out."""
    check = Check(task="m-a", node_class="avx512", host="n", relative_error=0.3, agreement=0.9)
    assert rows([result("a")], {}, Extras(checks={"m-a": [check]}))[0]["checked_on"] == "avx512 DIFFERS (0.3)"


def test_the_page_escapes_every_text() -> None:
    """Names and reasons come from files of others: none of it is markup."""
    hostile = result("</td><script>alert(1)</script>", model="<b>m")
    page = render("<i>", ["<u>"], [for_people(row) for row in rows([hostile], {})], PAGE_COLUMNS)
    for tag in ("<script", "<b>", "<i>", "<u>"):
        assert tag not in page
    assert page.count("<svg") == 1


@pytest.mark.parametrize("name", ["r.parquet", "r.txt"])
def test_reports_are_written_by_ending(tmp_path: Path, name: str) -> None:
    """A known ending gives a readable file, another is wrong usage."""
    table = rows([result("a")], {})
    if name.endswith("txt"):
        with pytest.raises(UsageError, match=r"must end in one of \.parquet, \.json"):
            write_report(tmp_path / name, table, list(COLUMNS), {".json": lambda: ""})
    else:
        write_report(tmp_path / name, table, list(COLUMNS), {})
        assert pd.read_parquet(tmp_path / name)["recipe"].tolist() == ["a"]


@pytest.fixture
def batch(tmp_path: Path, labelled: Path) -> Batch:
    """A finished batch of one task."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'name = "p"\nrecipes = ["r"]\nbatches = [1]\n[limits]\nmin_speedup = 0.01\nmax_loss = 0.2\n'
        '[[recipe]]\nname = "r"\nsteps = [{method = "int8-dynamic", per_channel = true}]\n'
        '[[model]]\nname = "linear"\nonnx = "linear.onnx"\ndata = "data.npz"\n'
    )
    made = Batch(tmp_path / "batch")
    manifest = expand(load_plan(plan), plan)
    made.write_manifest(manifest)
    assert do_task(made, manifest, manifest.tasks[0]).status == "ok"
    return made


def test_the_winners_card_is_a_plan_that_gives_the_same_task(batch: Batch, tmp_path: Path) -> None:
    """What is copied out can be made again: model, recipe, options, limits and settings are in it."""
    manifest = batch.manifest()
    winners = choose_best(batch.results(manifest.tasks), "speed")
    [folder] = copy_best(batch, manifest, winners, tmp_path / "best")
    again = expand(load_plan(folder / "plan.toml"), folder / "plan.toml")
    assert [task.id for task in again.tasks] == [task.id for task in manifest.tasks]
    card = (folder / "card.md").read_text()
    assert winners["linear"].artefact_sha256 in card
    assert (folder / "model.onnx").stat().st_size == winners["linear"].size_after


def test_an_artefact_that_was_changed_is_not_handed_out(batch: Batch, tmp_path: Path) -> None:
    """The numbers of a card belong to exactly one file."""
    manifest = batch.manifest()
    winners = choose_best(batch.results(manifest.tasks), "size")
    with (batch.folder / winners["linear"].artefact).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CompressError, match="its checksum differs"):
        copy_best(batch, manifest, winners, tmp_path / "best")


def test_every_place_has_its_price_and_its_speed() -> None:
    """A million predictions at each partition: its own price, and the speed that was measured there."""
    row = result("a", speed=2.0)
    fast = Spread(p10=0.001, p50=0.001, p90=0.001, calls=9)
    there = Measurement(
        task="m-a",
        place=Place(host="n", processor="p", node_class="amx", flags=(), threads=2, partition="new"),
        latency=(Latency(batch=10, before=fast, after=fast, speedup=1.0),),
        load_s=0.1,
        seconds=1.0,
        finished=1.0,
    )
    prices = Prices(currency="USD", core_hour={"old": Decimal("0.36"), "new": Decimal("0.72")})
    extras = Extras(prices=prices, measurements={"m-a": [there]})
    first, second = places([row], extras)
    # 10 ms for 10 samples on two cores at 0.36: 1000 s x 2 x 0.0001 a second
    assert (first["place"], first["before"], first["after"]) == ("old", "0.2000 USD", "0.1000 USD")
    assert (first["speed_of"], first["saved"]) == ("avx2 (elsewhere)", "50 %")
    assert (second["speed_of"], second["before"], second["saved"]) == ("amx", "0.0400 USD", "0 %")
    served = rows([row], {}, extras)[0]["served_at"]
    assert served == "old (avx2): 0.200000 -> 0.100000; new (amx): 0.040000 -> 0.040000"
    page = render("b", [], [], PAGE_COLUMNS, [{"model": "<m>"}], {"model": "model"})
    assert "by hardware" in page
    assert "<m>" not in page


def test_the_cards_command_makes_the_same_file_again(batch: Batch, tmp_path: Path) -> None:
    """Following the card gives the same bytes and the same score, whatever the speed of that day is."""
    manifest = batch.manifest()
    winners = choose_best(batch.results(manifest.tasks), "speed")
    [folder] = copy_best(batch, manifest, winners, tmp_path / "best")
    [command] = [line[2:] for line in (folder / "card.md").read_text().splitlines() if line.startswith("$ ")]
    assert command == "mlcost compress run plan.toml"
    subprocess.run(
        [sys.executable, "-m", "mlcost_hpc.cli.main", *command.split()[1:]], cwd=folder, check=True
    )
    [again] = Batch(folder / "plan-batch").results(manifest.tasks)
    assert again.artefact_sha256 == winners["linear"].artefact_sha256
    assert again.score == winners["linear"].score


def test_what_is_not_faster_saves_nothing() -> None:
    """Costs go by the speed-up, not by two medians of which one met a busy neighbour."""
    row = result("a", speed=1.0)
    noisy = msgspec.structs.replace(row.latency[0], after=Spread(p10=0.01, p50=0.02, p90=0.03, calls=9))
    row = msgspec.structs.replace(row, latency=(noisy,))
    prices = Prices(currency="USD", core_hour={"": Decimal("0.36")})
    assert places([row], Extras(prices=prices))[0]["saved"] == "0 %"
