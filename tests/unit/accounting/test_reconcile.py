"""The ledger beside Slurm's own sums, from texts as sreport and scontrol print them."""

from __future__ import annotations

from ledger_kit import NOON, Books, row
from mlcost_accounting.ledger.reconciliations import keep_reconciliation, reconciliations
from mlcost_accounting.reconcile import Limits, compare

from mlcost_hpc.slurm.decay import UsageDecay
from mlcost_hpc.slurm.sacctmgr import parse_accounts, sees_all_jobs
from mlcost_hpc.slurm.usage_reports import parse_associations, parse_sreport, sreport_accounts

SREPORT = """\
nlp||cpu|28800
nlp||gres/gpu|7200
nlp|ana|cpu|28800
nlp|ana|gres/gpu|7200
science||cpu|28800
"""
ASSOCIATIONS = """\
Current Association Manager state

ClusterName=alpha Account=nlp UserName= Partition= Priority=0 ID=8
    GrpTRESMins=cpu=N(999),mem=N(1),gres/gpu=N(999)
ClusterName=alpha Account=nlp UserName=ana(1001) Partition= Priority=0 ID=9
    GrpTRESMins=cpu=N(480),mem=N(1129),energy=N(0),gres/gpu=100(120),gres/gpu:a100=N(120)
    GrpTRESRunMins=cpu=N(0),gres/gpu=N(0)
"""


def limits_of(text: str) -> Limits:
    """Return what is counted an hour after noon where nothing decays."""
    return Limits(counted=parse_associations(text), decay=UsageDecay(), factors={}, asked=NOON + 3600)


def test_equal_figures_have_no_reasons(books: Books) -> None:
    """Eight CPUs and two GPUs for an hour on both sides."""
    books.take(row())
    found = compare(books.ledger, "alpha", NOON, NOON + 3600, parse_sreport(SREPORT), limits_of(ASSOCIATIONS))
    assert [
        (line.account, line.resource, line.ledger_s, line.difference_s, line.limits_min) for line in found
    ] == [
        ("nlp", "cpu", 28800, 0, 480),
        ("nlp", "gpu", 7200, 0, 120),
    ]
    assert not any(line.reasons or line.limits_reasons for line in found)


def test_a_difference_names_what_can_be_behind_it(books: Books) -> None:
    """An earlier run that was preempted is in the ledger and named with its size."""
    books.take(row(), row(DBIndex=2, Submit=NOON - 3600, State="PREEMPTED"))
    cpu, gpu = compare(books.ledger, "alpha", NOON, NOON + 3600, parse_sreport(SREPORT), limits_of(""))
    assert (cpu.difference_s, gpu.difference_s) == (28800, 7200)
    assert "requeued" in gpu.reasons[0]
    assert "7200 s" in gpu.reasons[0]


def test_a_window_that_begins_before_the_ledger_says_so(books: Books) -> None:
    """What sreport has more can be of the hour before the ledger's first run; what it has less cannot."""
    books.take(row())
    told = parse_sreport(SREPORT.replace("28800", "57600").replace("7200", "3600"))
    cpu, gpu, *_ = compare(books.ledger, "alpha", NOON - 3600, NOON + 3600, told, limits_of(ASSOCIATIONS))
    assert cpu.reasons == ("the ledger's first run began at 2026-01-01T12:00:00+00:00",)
    assert "first run" not in gpu.reasons[0]
    cpu, *_ = compare(books.ledger, "alpha", NOON, NOON + 3600, told, limits_of(ASSOCIATIONS))
    assert "rolled up" in cpu.reasons[0]


def test_only_the_part_within_the_window_counts(books: Books) -> None:
    """A run over the window's end is cut there."""
    books.take(row(End=NOON + 7200, ElapsedRaw=7200))
    cpu, _ = compare(books.ledger, "alpha", NOON, NOON + 3600, parse_sreport(SREPORT), limits_of(""))
    assert cpu.difference_s == 0


def test_sreport_is_asked_in_full_hours_of_utc() -> None:
    """Times are written as sreport reads them."""
    argv = sreport_accounts("alpha", NOON, NOON + 3600)
    assert "start=2026-01-01T12:00:00" in argv
    assert "end=2026-01-01T13:00:00" in argv


def test_the_tree_of_accounts_comes_from_rows_without_user() -> None:
    """Rows of users do not make accounts."""
    assert parse_accounts("root||\nscience|root|\nnlp|science|\nnlp||ana\n") == {
        "root": "", "science": "root", "nlp": "science",
    }  # fmt: skip


def test_only_operators_see_private_jobs() -> None:
    """An ordinary user sees his own, an operator, an administrator and root all."""
    assert not sees_all_jobs("None\n", 1000)
    assert sees_all_jobs("Operator\n", 1000)
    assert sees_all_jobs("Administrator\n", 1000)
    assert sees_all_jobs("", 0)


def test_the_newest_comparison_of_a_cluster_is_kept(books: Books) -> None:
    """A later one takes the place of the one before; another cluster's stays."""
    books.take(row())
    assert reconciliations(books.ledger) == []
    found = compare(books.ledger, "alpha", NOON, NOON + 3600, {}, limits_of(""))
    keep_reconciliation(books.ledger, "beta", NOON, NOON + 3600, [], NOON + 5000)
    keep_reconciliation(books.ledger, "alpha", NOON, NOON + 3600, [], NOON + 5000)
    keep_reconciliation(books.ledger, "alpha", NOON, NOON + 3600, found, NOON + 6000)
    alpha, beta = reconciliations(books.ledger)
    assert (alpha.at, alpha.lines, beta.lines) == (NOON + 6000, tuple(found), ())
    assert [line.resource for line in alpha.differences] == ["cpu", "gpu"]
