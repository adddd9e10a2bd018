"""What counts against limits beside what the runs make of it; texts as a Slurm 22.05 printed them."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec
import pytest
from ledger_kit import NOON, Books, row
from mlcost_accounting.reconcile import Comparison, Limits, compare, hours_before

from mlcost_hpc.slurm.decay import UsageDecay, parse_usage_factors, read_usage_decay
from mlcost_hpc.slurm.usage_reports import Counted, parse_associations

CONFIG = {
    "PriorityType": "priority/multifactor", "PriorityDecayHalfLife": "7-00:00:00",
    "PriorityCalcPeriod": "00:01:00", "PriorityUsageResetPeriod": "NONE",
}  # fmt: skip
FACTORS = "normal|1.000000\nfree|0.000000\nhigh|1.000000\n"
# After the jobs below, 26 s after the last one ended; accounts without use are left out.
ASSOCIATIONS = """\
ClusterName=recon Account=nlp UserName=root(0) Partition= Priority=0 ID=8
    UsageRaw/Norm/Efctv=875.92/0.40/1.00
    GrpTRESMins=cpu=N(11),mem=N(22328),energy=N(0),node=N(0),billing=N(14),gres/gpu=N(1),gres/gpu:h100=N(1)
ClusterName=recon Account=vision UserName=root(0) Partition= Priority=0 ID=10
    UsageRaw/Norm/Efctv=276.70/0.13/1.00
    GrpTRESMins=cpu=N(6),mem=N(13463),energy=N(0),node=N(0),billing=N(4),gres/gpu=N(0),gres/gpu:t4=N(0)
ClusterName=recon Account=robotics UserName=root(0) Partition= Priority=0 ID=13
    UsageRaw/Norm/Efctv=1035.86/0.47/1.00
    GrpTRESMins=cpu=N(59),mem=N(119450),energy=N(0),node=N(1),billing=N(16),gres/gpu=N(0)
"""
ASKED = 1_795_606_627
JOBS = """\
vision|normal|1795606330|1795606350|20|00:00:00|billing=8,cpu=1,gres/gpu:t4=1,gres/gpu=1,mem=2000M,node=1
nlp|normal|1795606330|1795606345|15|00:00:00|cpu=1,mem=2000M,node=1
nlp|normal|1795606330|1795606345|15|00:00:00|billing=3,cpu=1,gres/gpu:a100=1,gres/gpu=1,mem=2000M,node=1
vision|free|1795606434|1795606444|10|00:00:00|billing=4,cpu=16,mem=32000M,node=1
vision|normal|1795606434|1795606446|12|00:00:00|billing=9,cpu=32,mem=62.50G,node=1
nlp|normal|1795606434|1795606454|12|00:00:08|billing=41,cpu=32,gres/gpu:h100=4,gres/gpu=4,mem=62.50G,node=1
robotics|normal|1795606489|1795606601|3|00:01:49|billing=9,cpu=32,mem=62.50G,node=1
"""
RECORDED = Limits(
    counted=parse_associations(ASSOCIATIONS),
    decay=read_usage_decay(CONFIG),
    factors=parse_usage_factors(FACTORS),
    asked=ASKED,
)
ROUNDED = "rounding down to whole minutes: less than 1 min"


def recorded_jobs() -> list[str]:
    names = ("Account", "QOS", "Start", "End", "ElapsedRaw", "Suspended", "AllocTRES")
    return [
        row(
            DBIndex=number, JobIDRaw=number, JobID=number, User="root", Cluster="recon",
            Submit=ASKED - 900, Eligible=ASKED - 900, **dict(zip(names, line.split("|"), strict=True)),
        )
        for number, line in enumerate(JOBS.splitlines(), 1)
    ]  # fmt: skip


def found_by(books: Books, limits: Limits) -> dict[tuple[str, str], Comparison]:
    found = compare(books.ledger, "recon", ASKED // 3600 * 3600, ASKED // 3600 * 3600 + 3600, {}, limits)
    return {(line.account, line.resource): line for line in found}


def one_run(
    books: Books, decay: UsageDecay, minutes: int, asked: int, reset: int = 0, **run: object
) -> Comparison:
    """Return the CPU line of one run of 8 CPUs for an hour from noon."""
    books.take(row(**run), seen=NOON + 3600)
    limits = Limits(
        counted={"nlp": {"ana": Counted(minutes={"cpu": minutes, "gpu": 0})}},
        decay=decay, factors={"half": Fraction(1, 2)}, asked=asked, reset=reset,
    )  # fmt: skip
    return next(
        line
        for line in compare(books.ledger, "alpha", NOON, NOON + 3600, {}, limits)
        if line.resource == "cpu"
    )


def test_what_a_cluster_counted_follows_from_its_runs(books: Books) -> None:
    """Suspended time counts, a free QOS does not, and each association is rounded down: nothing is left."""
    books.take(*recorded_jobs(), seen=ASKED)
    found = found_by(books, RECORDED)
    assert {key: (line.limits_min, line.limits_reasons) for key, line in found.items()} == {
        ("nlp", "cpu"): (11, ("suspended time counts: +4.27 min", ROUNDED)),
        ("nlp", "gpu"): (1, (ROUNDED,)),
        ("robotics", "cpu"): (59, ("suspended time counts: +58.13 min", ROUNDED)),
        ("robotics", "gpu"): (0, ()),
        ("vision", "cpu"): (6, ("UsageFactor of the QOS: -2.67 min", ROUNDED)),
        ("vision", "gpu"): (0, (ROUNDED,)),
    }
    assert not any(line.limits_unexplained_s for line in found.values())


def test_a_run_that_the_ledger_lacks_is_unexplained(books: Books) -> None:
    """Six minutes are counted and only the job of 20 s is known."""
    books.take(*recorded_jobs()[:4], seen=ASKED)
    line = found_by(books, RECORDED)["vision", "cpu"]
    assert line.limits_unexplained_s == pytest.approx(340, abs=1)
    assert line.limits_reasons[0] == "unexplained for root: +5.67 min"


def test_use_before_the_ledger_begins_is_explained_up_to_what_sreport_had_of_it(books: Books) -> None:
    """Two CPU hours, a half-life old, may be an hour of what is counted beyond the ledger's run, no more."""
    week, hour = 7 * 86400, 3600
    books.take(row(), seen=NOON + hour)
    limits = Limits(
        counted={"nlp": {"ana": Counted(minutes={"cpu": 480 + 60, "gpu": 0})}},
        decay=msgspec.structs.replace(read_usage_decay(CONFIG), half_life_s=week),
        factors={}, asked=NOON + hour,
    )  # fmt: skip
    assert hours_before(books.ledger, "alpha", NOON - week + 1, NOON + hour) == (NOON - week, NOON)

    def compared(earlier: int, begins: int = NOON) -> Comparison:
        known = msgspec.structs.replace(limits, earlier={"nlp": {"cpu": earlier}}, begins=begins)
        return compare(books.ledger, "alpha", NOON, NOON + hour, {}, known)[0]

    enough = compared(2 * hour)
    assert enough.limits_unexplained_s == 0
    assert enough.limits_reasons[0].startswith("use before the ledger begins: +6")
    assert compared(hour // 2).limits_unexplained_s == pytest.approx(hour / 2, abs=90)
    assert "unexplained for ana" in " ".join(compared(hour // 2).limits_reasons)
    # Seven days later half of it is left.
    assert compared(hour, NOON - week).limits_unexplained_s == pytest.approx(hour / 2, abs=90)
    # What the ledger itself knows of those hours is no use before it.
    assert compared(8 * hour, NOON + hour).limits_unexplained_s > hour / 2


def test_no_hours_are_asked_before_a_ledger_that_is_as_old_as_what_counts(books: Books) -> None:
    """Nor those of the hour that runs; a ledger without runs has all hours before it."""
    assert hours_before(books.ledger, "alpha", NOON, NOON + 1800) is None
    assert hours_before(books.ledger, "alpha", NOON - 3600, NOON + 1800) == (NOON - 3600, NOON)
    books.take(row())
    assert hours_before(books.ledger, "alpha", NOON, NOON + 7200) is None
    assert hours_before(books.ledger, "alpha", 0, NOON + 7200) == (86400, NOON)


def test_a_run_that_the_controller_lacks_is_unexplained(books: Books) -> None:
    """The same use counted as if nothing had run is less than rounding allows."""
    books.take(*recorded_jobs(), seen=ASKED)
    none = parse_associations(ASSOCIATIONS.replace("cpu=N(6)", "cpu=N(5)"))
    line = found_by(books, msgspec.structs.replace(RECORDED, counted=none))["vision", "cpu"]
    assert line.limits_unexplained_s == -44
    assert line.limits_reasons[0] == "unexplained for root: -0.73 min"


def test_a_half_life_later_half_is_left(books: Books) -> None:
    """480 minutes, seven days old, are 240, and the decay is named with its size."""
    week = 7 * 86400
    line = one_run(books, read_usage_decay(CONFIG), 240, NOON + 1800 + week)
    assert line.limits_unexplained_s == 0
    assert line.limits_expected_s / 60 == pytest.approx(240, abs=0.1)
    assert line.limits_reasons[0] == "decay with a half-life of 604800 s: -239.96 min"
    line = one_run(books, read_usage_decay(CONFIG), 250, NOON + 1800 + week)
    assert line.limits_unexplained_s > 540


def test_the_factor_of_the_qos_scales(books: Books) -> None:
    """A QOS of factor 1/2 counts half."""
    line = one_run(books, UsageDecay(), 240, NOON + 7200, QOS="half")
    assert (line.limits_unexplained_s, line.limits_reasons[0]) == (0, "UsageFactor of the QOS: -240.00 min")


def test_only_use_since_the_reset_counts(books: Books) -> None:
    """Half of the run was before it."""
    decay = UsageDecay(reset_period="DAILY")
    line = one_run(books, decay, 240, NOON + 7200, reset=NOON + 1800)
    assert (line.limits_expected_s, line.limits_unexplained_s) == (240 * 60, 0)


def test_a_running_job_may_be_counted_to_the_last_sum_or_beyond_the_ledger(books: Books) -> None:
    """Ten minutes after the ledger read an open run, its count may be anything between."""
    for minutes, allowed in ((430, False), (441, True), (560, True), (561, False)):
        line = one_run(
            books, UsageDecay(), minutes, NOON + 4200, End="Unknown", State="RUNNING", ElapsedRaw=3600
        )
        assert (line.limits_unexplained_s == 0) is allowed, minutes


def test_a_user_without_association_is_named(books: Books) -> None:
    """What the controller forgot with an association is no unexplained difference."""
    books.take(*recorded_jobs(), seen=ASKED)
    line = found_by(books, msgspec.structs.replace(RECORDED, counted={}))["nlp", "gpu"]
    assert (line.limits_min, line.limits_unexplained_s) == (0, 0)
    assert line.limits_reasons == ("root has no association that is shown: -1.58 min",)


def test_without_multifactor_nothing_is_compared(books: Books) -> None:
    """Slurm adds usage up only for that plugin."""
    books.take(*recorded_jobs(), seen=ASKED)
    plain = msgspec.structs.replace(RECORDED, decay=read_usage_decay({"PriorityType": "priority/basic"}))
    assert {line.limits_reasons for line in found_by(books, plain).values()} == {
        ("not compared: without priority/multifactor Slurm adds nothing up",)
    }


@pytest.mark.parametrize(
    ("period", "day"),
    [
        ("DAILY", "2026-11-25"), ("WEEKLY", "2026-11-22"), ("MONTHLY", "2026-11-01"),
        ("QUARTERLY", "2026-10-01"), ("YEARLY", "2026-01-01"),
    ],
)  # fmt: skip
def test_usage_begins_anew_at_midnight(period: str, day: str) -> None:
    """Weeks begin on Sunday; the zone is the site's."""
    zone = ZoneInfo("Europe/Helsinki")
    reset = UsageDecay(reset_period=period).last_reset(ASKED, zone)
    assert datetime.fromtimestamp(reset, zone).isoformat()[:19] == f"{day}T00:00:00"


def test_no_reset_is_known_for_none_and_now() -> None:
    """The one never happens, the other at a time that is told nowhere."""
    assert [
        UsageDecay(reset_period=period).last_reset(ASKED, ZoneInfo("UTC")) for period in ("NONE", "NOW")
    ] == [0, 0]
