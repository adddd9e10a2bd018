"""What the user's associations allow a job, checked against what Slurm said to the same jobs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from mlcost_hpc.errors import NoOfferError, SlurmDownError
from mlcost_hpc.launch.access import User, barred_partitions, enforces
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.limits import limits_on, notes_on, over_limits, wall_of
from mlcost_hpc.launch.need import GIB, Need
from mlcost_hpc.launch.rights import KEEP_S, Rights, read_rights
from mlcost_hpc.launch.shape import Shape
from mlcost_hpc.slurm.associations import parse_account_limits, parse_qos, parse_user
from tests.unit.launch.conftest import HOUR, partition

# As sacctmgr 22.05 printed them; science shares CPUs, and two more QOS.
USER = """\
nlp|nlp||free,high,normal|normal||||||||
nlp|vision||free,high,normal|normal|gres/gpu=2|||||12:00:00||
"""
ACCOUNTS = """\
root||normal||||||||
science|root|normal|||cpu=64|||||
nlp|science|normal||||||||
vision|science|normal|gres/gpu=2||cpu=64,gres/gpu=4||gres/gpu=1000|12:00:00||
"""
QOS = """\
normal||free|requeue|00:00:20|||||||||
high|DenyOnLimit|free,normal|cluster|00:00:00|gres/gpu=4,mem=100G||gres/gpu=8|gres/gpu=100||02:00:00|||gres/gpu=6
big|OverPartQOS||cluster|00:00:00|gres/gpu=16||||||||
small|||cluster|00:00:00|gres/gpu=1|||||01:00:00|||
"""


def ask(argv: Sequence[str]) -> str:
    """Answer as sacctmgr did on a real cluster."""
    return {"user": USER, "associations": ACCOUNTS, "qos": QOS}[argv[5]]


@pytest.fixture
def rights(tmp_path: Path) -> Rights:
    """The rights of a user of two accounts."""
    return read_rights(ask, "ana", "c", tmp_path / "rights.json", now=1000)


def misses(rights: Rights, gpus: int, time_s: int, of_partition: str = "", **need: object) -> list[str]:
    limits = limits_on(rights, Need(gpus=gpus, **need), partition("p", qos=of_partition))
    shape = Shape(nodes=1, gpus=gpus, cpus=4 * gpus, memory=4 * gpus * GIB)
    return [miss.why for miss in over_limits(limits, "a100", shape, time_s)]


def test_an_account_without_limits_allows_everything(rights: Rights) -> None:
    """The default account has none, but what the account above it shares holds for it too."""
    assert misses(rights, 16, 100 * HOUR) == []
    assert misses(rights, 17, HOUR) == ["account science allows a job 64 CPUs; this one takes 68"]


@pytest.mark.parametrize(
    ("gpus", "time_s", "need", "words"),
    [
        (3, HOUR, {"account": "vision"}, "account vision allows a job 2 GPUs; this one takes 3"),
        (1, 13 * HOUR, {"account": "Vision"}, "a time limit of 12:00:00; you asked for 13:00:00"),
        (2, HOUR, {"qos": "high"}, "QOS high allows a job 100 minutes of GPUs; this one can take 120"),
        (1, 3 * HOUR, {"qos": "high"}, "QOS high allows a time limit of 02:00:00"),
        (7, 60, {"qos": "high"}, "QOS high allows a job 6 GPUs; this one takes 7"),
    ],
)  # fmt: skip
def test_what_slurm_refuses_is_a_miss(
    rights: Rights, gpus: int, time_s: int, need: dict[str, str], words: str
) -> None:
    """Each of these Slurm refused or let wait for ever (AssocMaxGRESPerJob, QOSMaxGRESMinutesPerJob, ...)."""
    assert any(words in why for why in misses(rights, gpus, time_s, **need))


def test_the_first_that_has_a_limit_counts(rights: Rights) -> None:
    """A partition's QOS goes before the job's, that before the association; OverPartQOS turns it."""
    assert misses(rights, 2, HOUR, of_partition="small") == [
        "QOS small of p allows a job 1 GPUs; this one takes 2"
    ]
    over = limits_on(rights, Need(gpus=2, qos="big", account="vision"), partition("p", qos="small"))
    assert {item.most for item in over if item.tres == "gres/gpu" and item.whose == "QOS big"} == {16}
    assert wall_of(over) == HOUR


def test_who_is_not_in_the_account_is_barred(rights: Rights) -> None:
    """An account or a QOS that is not the user's bars every partition, where Slurm insists on it."""
    user = User(name="ana", groups=frozenset())
    where = [partition("p")]
    assert barred_partitions(where, Need(), user, rights, {"limits"}) == {}
    stranger = barred_partitions(where, Need(account="bio"), user, rights, {"limits"})
    assert stranger == {"p": "you are not in account bio here (you are in nlp, vision)"}
    assert barred_partitions(where, Need(account="bio"), user, rights, ()) == {}
    qos = barred_partitions(where, Need(qos="gold"), user, rights, {"limits", "qos"})
    assert qos == {"p": "QOS gold is not yours in account nlp (yours: free, high, normal)"}
    assert barred_partitions(where, Need(qos="gold"), user, rights, {"limits"}) == {}


def test_default_account_and_qos_are_known_from_the_associations(rights: Rights) -> None:
    """AllowAccounts and AllowQos are checked for jobs that name neither."""
    user = User(name="ana", groups=frozenset())
    rules = [partition("a", allow_accounts=("vision",)), partition("q", allow_qos=("high",)), partition("ok")]
    found = barred_partitions(rules, Need(), user, rights, {"limits"})
    assert found.keys() == {"a", "q"}
    assert "is not for account nlp" in found["a"]
    assert "does not allow QOS normal" in found["q"]


def test_association_of_a_partition_goes_before_the_general_one(rights: Rights) -> None:
    """A limit in one partition holds there only."""
    text = "nlp|nlp||normal|normal||||||||\nnlp|nlp|h100|normal|normal|gres/gpu=1|||||||\n"
    _, own = parse_user(text)
    narrow = msgspec.structs.replace(rights, associations=own)
    limits = {name: limits_on(narrow, Need(gpus=1), partition(name)) for name in ("h100", "a100")}
    assert [item.most for item in limits["h100"] if item.tres == "gres/gpu"] == [1]
    assert [item.most for item in limits["a100"] if item.tres == "gres/gpu"] == []


def test_rights_are_kept_for_a_quarter_of_an_hour(tmp_path: Path) -> None:
    """Three questions, and none again until they are old."""
    asked: list[str] = []

    def count(argv: Sequence[str]) -> str:
        asked.append(argv[5])
        return ask(argv)

    path = tmp_path / "rights.json"
    for now in (1000, 1000 + KEEP_S - 1, 1000 + KEEP_S):
        read_rights(count, "ana", "c", path, now=now)
    assert asked == ["user", "associations", "qos"] * 2


def test_what_is_not_shown_is_said_and_bars_nobody(tmp_path: Path) -> None:
    """Without an answer, without an association, or without the accounts above: a note, and no guess."""

    def down(argv: Sequence[str]) -> str:
        raise SlurmDownError(argv, 1, "", "Connection refused", daemon="slurmdbd")

    def without(question: str) -> Callable[[Sequence[str]], str]:
        return lambda argv: "" if argv[5] == question else ask(argv)

    silent = read_rights(down, "ana", "c", tmp_path / "a.json", now=1)
    assert "what your associations allow is not known" in silent.note
    assert not (tmp_path / "a.json").exists()
    hidden = read_rights(without("associations"), "ana", "c", tmp_path / "b.json", 1)
    assert "does not show what the accounts above you share (nlp, vision)" in hidden.note
    stranger = read_rights(without("user"), "eve", "c", tmp_path / "d.json", 1)
    assert "no association of eve" in stranger.note
    for known in (silent, stranger):
        assert barred_partitions([partition("p")], Need(account="x"), User(name="u"), known, {"limits"}) == {}
        assert limits_on(known, Need(), partition("p")) == ()
        assert list(notes_on(known, {})) == [known.note]


def test_limits_that_cannot_be_foreseen_are_named(rights: Rights) -> None:
    """A limit on billing is not checked, and that is said."""
    accounts = parse_account_limits("nlp|||||billing=9|||||\n")
    odd = msgspec.structs.replace(rights, accounts=accounts)
    limits = {"p": limits_on(odd, Need(), partition("p"))}
    assert list(notes_on(odd, limits)) == [
        "your limits on billing are not checked: what a job takes of them is not known"
    ]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [({"safe"}, True), ({"limits", "qos"}, True), ({"associations"}, False), ((), False)],
)
def test_limits_count_where_slurm_enforces_them(setting: set[str], expected: bool) -> None:
    """``safe`` implies limits, associations alone do not."""
    assert enforces(setting, "limits") is expected


def test_launcher_leaves_out_what_the_account_forbids(launcher: Launcher, rights: Rights) -> None:
    """The error names the account and what would make it possible; of a range the rest is left out."""
    settings = msgspec.structs.replace(launcher.market.settings, enforce=frozenset({"safe"}))
    launcher.__dict__["market"] = msgspec.structs.replace(launcher.market, settings=settings)
    launcher.__dict__["rights"] = rights
    launcher.user = User(name="ana")
    with pytest.raises(NoOfferError, match=r"account vision allows a job 2 GPUs.*Possible with --gpus 2"):
        launcher.choose(Need(gpus=4, account="vision"))
    assert launcher.choose(Need(gpus=2, account="vision")).ranked
    assert {item.gpus for item in launcher.choose(Need(gpus=1, gpus_max=8, account="vision")).ranked} == {
        1,
        2,
    }


def test_lines_of_other_shapes_are_passed_over() -> None:
    """A warning that sacctmgr prints among its rows is no row."""
    assert parse_qos("sacctmgr: hello\nnormal|||||||||||||\n").keys() == {"normal"}
    assert parse_user("sacctmgr: hello\n") == ("", ())
