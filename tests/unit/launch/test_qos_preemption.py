"""Who can be preempted where jobs preempt by QOS, and what the launcher makes of it."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.cli.explain import explain_choice
from mlcost_hpc.cli.offers import preempted
from mlcost_hpc.errors import NoOfferError
from mlcost_hpc.launch.access import User
from mlcost_hpc.launch.api import Executor
from mlcost_hpc.launch.fallback import sure_place
from mlcost_hpc.launch.interruption import expect_interruptions
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need, Work
from mlcost_hpc.launch.offers import Offer
from mlcost_hpc.launch.past import by_partition
from mlcost_hpc.launch.preflight import preflight
from mlcost_hpc.launch.qos_preemption import find_fate
from mlcost_hpc.launch.rights import Rights, read_rights
from mlcost_hpc.launch.script import equal_partitions
from mlcost_hpc.rates import QosRate
from mlcost_hpc.slurm.associations import Qos, parse_account_limits, parse_qos, parse_user
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.launch.conftest import CARD, NODES, PARTITIONS
from tests.unit.launch.test_forecast import sample

# As sacctmgr 26.05 printed them for a site of the virtual cluster.
QOS = """\
normal||free|requeue|00:00:20|||||||||
free|||requeue|00:00:20|||||||||
high||free,normal|cluster|00:00:00|||||||||
"""
ACCOUNTS = """\
root||normal||||||||
science|root|normal||||||||
nlp|science|normal||||||||
vision|science|normal||||||||
"""
USER = "nlp|nlp||free,high,normal|normal||||||||\nnlp|vision||free,normal|free||||||||\n"


def rights(user: str = USER, accounts: str = ACCOUNTS, qos: str = QOS) -> Rights:
    default, associations = parse_user(user)
    return Rights(
        default_account=default,
        associations=associations or None,
        accounts=parse_account_limits(accounts),
        qos=parse_qos(qos),
        taken=1,
    )


@pytest.fixture
def by_qos(launcher: Launcher) -> Launcher:
    """A launcher of the user ana where jobs preempt by QOS; nobody enforces associations."""
    config = {"ClusterName": "c", "PreemptType": "preempt/qos", "PreemptMode": "CANCEL"}
    launcher.slurm = FakeSlurm(partitions=PARTITIONS, nodes=NODES, config=config)
    launcher.user = User(name="ana", groups=frozenset())
    launcher.__dict__["rights"] = rights()
    return launcher


def seen(launcher: Launcher, **need: object) -> set[tuple[str, bool, str, int]]:
    """QOS, whether it is a victim, mode and grace time of all offers."""
    offers = launcher.offers_for(Need(**need))
    return {(item.qos, item.preemptible, item.preempt_mode, item.grace_time_s) for item in offers}


def test_a_job_has_the_fate_of_its_qos_in_every_partition(by_qos: Launcher) -> None:
    """By default QOS, by --qos, by the account's default; those of partitions do not count."""
    assert seen(by_qos) == {("normal", True, "REQUEUE", 20)}
    assert seen(by_qos, qos="free") == {("free", True, "REQUEUE", 20)}
    assert seen(by_qos, account="vision") == {("free", True, "REQUEUE", 20)}
    assert seen(by_qos, qos="High") == {("high", False, "OFF", 0)}


def plain(mode: str = "CLUSTER", *preempts: str) -> Qos:
    return Qos(preempts=preempts, preempt_mode=mode, grace_time_s=7)


@pytest.mark.parametrize(
    ("own", "cluster", "expected"),
    [
        ("REQUEUE", "CANCEL", "REQUEUE"),
        ("CLUSTER", "CANCEL", "CANCEL"),
        ("CLUSTER", "GANG,SUSPEND", "SUSPEND"),
        ("CLUSTER", "OFF", "OFF"),
        ("WITHIN,REQUEUE", "CANCEL", "REQUEUE"),
        # Tried on 26.05: alone they say whom, but not how, and the job stays.
        ("WITHIN", "REQUEUE", "OFF"),
        ("PRIORITY", "REQUEUE", "OFF"),
    ],
)
def test_mode_is_the_qos_own_or_the_clusters(own: str, cluster: str, expected: str) -> None:
    """``CLUSTER`` (what sacctmgr makes of ``off`` as well) inherits; ``OFF`` leaves a job alone."""
    every = {"low": plain(own), "high": plain("CLUSTER", "low")}
    found = find_fate("low", every, cluster)
    assert (found.preemptors[0], found.mode, found.grace_s) == ("high", expected, 7)
    assert found.is_preemptible is (expected != "OFF")


def test_a_preemptor_is_no_victim_for_preempting() -> None:
    """Who preempts others, itself in the list too, is left alone; jobs of one QOS only WITHIN it."""
    every = {"low": plain(), "high": plain("CLUSTER", "low", "high"), "club": plain("WITHIN,REQUEUE")}
    assert find_fate("low", every, "REQUEUE").preemptors == ("high",)
    assert find_fate("high", every, "REQUEUE").mode == "OFF"
    assert find_fate("club", every, "CANCEL")[1:3] == (("club",), "REQUEUE")
    assert find_fate("high", every, "WITHIN,REQUEUE")[1:3] == (("high",), "REQUEUE")


def test_default_qos_is_found_as_slurmctld_finds_it(by_qos: Launcher) -> None:
    """The association's own, its only one, the root account's, ``normal``: tried on 22.05, not enforcing."""

    def found(user: str, accounts: str = ACCOUNTS) -> set[str]:
        by_qos.__dict__["rights"] = rights(user, accounts)
        return {item.qos for item in by_qos.offers_for(Need())}

    of_root = ACCOUNTS.replace("root||normal", "root||high")
    assert found("nlp|nlp||free,high|free||||||||\n", of_root) == {"free"}
    assert found("nlp|nlp||free|||||||||\n", of_root) == {"free"}
    assert found("nlp|nlp||free,high|||||||||\n", of_root) == {"high"}
    assert found("", of_root) == {"high"}
    assert found("", ACCOUNTS.replace("root||normal", "root||")) == {"normal"}


def test_refusing_preemption_names_the_qos_and_a_way_out(by_qos: Launcher) -> None:
    """No partition helps: the nearest miss is the QOS, and which of the user's own would do."""
    with pytest.raises(NoOfferError) as caught:
        by_qos.choose(Need(gpus=1, preemptible=False))
    assert "jobs in QOS normal can be preempted, which you do not allow" in str(caught.value)
    assert str(caught.value).endswith("Possible with --preemptible or --qos high")
    with pytest.raises(NoOfferError, match=r"QOS free can be .*Possible with --preemptible$"):
        by_qos.choose(Need(gpus=1, preemptible=False, account="vision"))
    assert by_qos.choose(Need(gpus=1, preemptible=False, qos="high")).ranked


def test_notes_say_by_whom_how_and_what_else_there_is(by_qos: Launcher) -> None:
    """One note for all partitions."""
    [note] = by_qos.choose(Need(gpus=1)).notes
    assert note == (
        "jobs of QOS normal can be preempted by those of high (requeue, 20 s of grace); "
        "of your QOS these cannot be preempted: high"
    )
    assert by_qos.choose(Need(gpus=1, qos="high")).notes == ("jobs of QOS high cannot be preempted",)


def test_association_of_a_partition_has_its_own_default(by_qos: Launcher) -> None:
    """The fates differ by partition, the notes say where, and such places are not one job's."""
    own = f"{USER}nlp|nlp|h100|high|high||||||||\n"
    by_qos.__dict__["rights"] = rights(own)
    choice = by_qos.choose(Need(gpus=1))
    assert {item.offer.partition: item.offer.preemptible for item in choice.ranked} == {
        "a100": True, "spot": True, "h100": False,
    }  # fmt: skip
    assert choice.notes[0] == "in h100: jobs of QOS high cannot be preempted"
    assert choice.notes[1].startswith("in a100, cpu, spot: jobs of QOS normal can be preempted by")


def test_places_of_different_qos_are_not_given_to_slurm_together(by_qos: Launcher) -> None:
    """One job has one QOS: which one would depend on where it starts."""
    by_qos.card = msgspec.structs.replace(CARD, partition={})
    need = Need(gpus=1, gpu_types=("h100",))
    assert sorted(equal_partitions(by_qos.choose(need))) == ["h100", "spot"]
    by_qos.__dict__["rights"] = rights(f"{USER}nlp|nlp|h100|free|free||||||||\n")
    assert len(equal_partitions(by_qos.choose(need))) == 1


def test_a_waiting_job_keeps_its_qos_so_no_partition_is_surer(by_qos: Launcher) -> None:
    """Moving it elsewhere would not save it: nothing is planned for a deadline."""
    by_qos.__dict__["rights"] = rights(f"{USER}nlp|nlp|h100|high|high||||||||\n")
    work = Work(amount=1, unit="hours", gpu_model="h100")
    choice = by_qos.choose(Need(gpus=1, gpu_types=("h100",), work=work, deadline_s=1e6))
    assert choice.best.offer.partition == "spot"
    assert sure_place(choice) is None
    assert by_qos.script(["true"], choice, name="n", run_dir=Path("/r")).replan == ""


def test_rate_of_preemptions_is_that_of_the_qos() -> None:
    """What happened to jobs of other QOS says nothing about this one."""
    runs = [sample(preempted=True, qos="free")] * 50 + [sample(qos="normal")] * 100
    here = by_partition(runs)["spot"]
    offer = Offer(partition="spot", gpu_type="h100", preemptible=True, preempt_mode="REQUEUE", qos="normal")
    stops = expect_interruptions(offer, here)
    assert stops.preemptions_per_hour == pytest.approx(1 / 124)
    assert stops.basis == "0 preemptions in 100 h of QOS normal"
    by_tier = expect_interruptions(msgspec.structs.replace(offer, qos=""), here)
    assert by_tier.preemptions_per_hour == pytest.approx(51 / 174)
    assert here.stops["h100"].runs == 150


def test_price_is_that_of_the_default_qos(by_qos: Launcher) -> None:
    """A card that prices QOS prices the one the job will have, named or not."""
    by_qos.card = msgspec.structs.replace(CARD, qos={"normal": QosRate(multiplier=CARD.cpu_hour)})
    dear = msgspec.structs.replace(by_qos.card, qos={})
    cheap = by_qos.choose(Need(gpus=1)).best.per_hour
    assert cheap == by_qos.choose(Need(gpus=1, qos="normal")).best.per_hour
    by_qos.card = dear
    assert cheap < by_qos.choose(Need(gpus=1)).best.per_hour


def test_warnings_before_submitting_name_the_qos(by_qos: Launcher) -> None:
    """Cancelled without grace time: the warning is about the QOS, wherever the job goes."""
    by_qos.__dict__["rights"] = rights(qos=QOS.replace("normal||free|requeue|00:00:20", "normal|||cluster|"))
    best = by_qos.choose(Need(gpus=1)).best
    [warning] = preflight(best.offer, by_qos.market.settings, save_s=1).warnings
    assert warning.startswith("preempted jobs in QOS normal are cancelled without grace")


def test_suspending_qos_has_to_be_asked_for(by_qos: Launcher) -> None:
    """A place where jobs are suspended is taken only when it is named, and here the QOS is the place."""
    by_qos.__dict__["rights"] = rights(qos=QOS.replace("normal||free|requeue", "normal|||suspend"))
    with pytest.raises(NoOfferError, match=r"QOS normal are suspended.*Possible with --qos normal"):
        by_qos.choose(Need(gpus=1, partitions=("spot",)))
    assert by_qos.choose(Need(gpus=1, qos="normal")).best.offer.preempt_mode == "SUSPEND"


def test_what_is_not_known_is_said_and_not_guessed(by_qos: Launcher) -> None:
    """Without an answer, or with a QOS that Slurm does not show: a note, no fate, and a warning."""
    silent = Rights(note="what your associations allow is not known: slurmdbd is down")
    for known, need, why in (
        (silent, Need(gpus=1), silent.note),
        (Rights(), Need(gpus=1), "Slurm was not asked for your QOS"),
        (rights(), Need(gpus=1, qos="gold", account="nlp"), "Slurm shows no QOS gold"),
        (rights("", "", QOS), Need(gpus=1), "Slurm does not show your default QOS"),
    ):
        by_qos.__dict__["rights"] = known
        assert {item.can_be_preempted for item in by_qos.offers_for(need)} == {None}
        [note] = by_qos.choose(need).notes
        assert note.endswith(f"is not known and not priced in: {why}")
    choice = by_qos.choose(Need(gpus=1))
    [warning] = preflight(choice.best.offer, by_qos.market.settings, save_s=1).warnings
    assert "whether this one can be preempted is not known" in warning
    assert preempted(choice.best.offer) == "?"
    assert "preempted  not known" in explain_choice(choice, "USD")
    script = by_qos.script(["true"], choice, name="n", run_dir=Path("/r"))
    assert script.preemptible  # a template that is ready for it does no harm
    assert "(perhaps preemptible)" in script.headline


def test_nothing_is_asked_or_said_where_partitions_preempt(launcher: Launcher) -> None:
    """Elsewhere the QOS of a job decides nothing here."""
    launcher.__dict__["rights"] = rights()
    assert launcher.offers_for(Need()) == launcher.offers
    assert launcher.choose(Need(gpus=1)).notes == ()


def test_executor_knows_the_qos_in_either_place(by_qos: Launcher, tmp_path: Path) -> None:
    """Submitit's own parameter, and sbatch's option among the additional ones."""
    executor = Executor(tmp_path / "runs", by_qos)
    executor.update_parameters(gpus_per_node=1, preemptible=False, slurm_qos="high")
    assert executor.need.qos == "high"
    executor.update_parameters(slurm_qos=None, slurm_additional_parameters={"qos": "high"})
    assert by_qos.choose(executor.need).best.offer.qos == "high"


def test_rights_are_asked_for_where_nobody_enforces_them(
    by_qos: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default QOS is the association's even then; a kept answer of an earlier version is not used."""
    by_qos.look_again()
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("user", USER), ("associations", ACCOUNTS), ("qos", QOS)):
        (folder / name).write_text(text)
    (folder / "sacctmgr").write_text(f'#!/bin/sh\ncat "{folder}/$5"\n')
    (folder / "sacctmgr").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    kept = tmp_path / "state" / "rights" / "c.ana.json"
    kept.parent.mkdir(parents=True)
    earlier = {
        "default_account": "nlp",
        "accounts": {},
        "qos": {"normal": {"limits": {}}},
        "taken": int(time.time()),
    }
    kept.write_text(json.dumps(earlier))
    assert seen(by_qos) == {("normal", True, "REQUEUE", 20)}
    assert read_rights(lambda _: "", "ana", "c", kept).qos["high"].preempts == ("free", "normal")
