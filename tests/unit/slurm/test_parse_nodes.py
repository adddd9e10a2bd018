"""Nodes as scontrol shows them."""

from __future__ import annotations

import pytest

from mlcost_hpc.errors import SlurmAnswerError
from mlcost_hpc.slurm.api import UNTYPED, Node
from mlcost_hpc.slurm.parse_nodes import parse_nodes, parse_states

ONE_LINE = (
    "NodeName=a1 Arch=x86_64 CoresPerSocket=1  CPUAlloc=5 CPUEfctv=8 CPUTot=8 CPULoad=0.14 "
    "AvailableFeatures=nvlink,ib ActiveFeatures=nvlink Gres=gpu:a100:4(S:0-1),gpu:t4:4 GresDrain=N/A "
    "GresUsed=gpu:a100:4(IDX:0-3),gpu:t4:3(IDX:4-6) NodeAddr=127.0.0.1 NodeHostName=localhost Port=17811 "
    "Version=22.05.8 OS=Linux 6.1.0 #1 SMP PREEMPT_DYNAMIC x=1  RealMemory=4000 AllocMem=250 FreeMem=22793 "
    "Sockets=8 Boards=1 State=MIXED ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A "
    "Partitions=a,spot,all,test  BootTime=2026-11-25T05:55:48 CfgTRES=cpu=8,mem=4000M,billing=8 "
    "AllocTRES=cpu=5,mem=250M CapWatts=n/a {rest}\n"
)
NODE = Node(
    name="a1",
    states=frozenset({"MIXED"}),
    cpus=8,
    cpus_allocated=5,
    memory=4000 * 1024**2,
    memory_allocated=250 * 1024**2,
    gpus={"a100": 4, "t4": 4},
    gpus_allocated={"a100": 4, "t4": 3},
    partitions=("a", "spot", "all", "test"),
    features=("nvlink", "ib"),
)


def changed(old: str, new: str) -> str:
    text = ONE_LINE.format(rest="")
    assert old in text
    return text.replace(old, new)


def test_one_line_form() -> None:
    """A node with two GPU types in four partitions is one node."""
    assert parse_nodes(ONE_LINE.format(rest="")) == (NODE,)


def test_multi_line_form_is_the_same() -> None:
    """Scontrol's form for people gives the same record."""
    text = "NodeName=a1" + ONE_LINE.format(rest="").removeprefix("NodeName=a1").replace(" A", "\n   A")
    assert "\n   AvailableFeatures" in text
    assert parse_nodes(f"{text}\n") == (NODE,)


def test_a_reason_cannot_imitate_other_values() -> None:
    """Texts that people write come last and cannot override what Slurm says."""
    text = ONE_LINE.format(rest="Comment=hi Reason=fan Gres=gpu:a100:400 State=IDLE CPUTot=9 [root@now]")
    assert parse_nodes(text) == (NODE,)


def test_a_banner_before_the_answer_is_passed_over() -> None:
    """A login message does not spoil the answer."""
    assert parse_nodes("** Maintenance on Monday **\n" + ONE_LINE.format(rest="")) == (NODE,)


def test_a_node_listed_twice_counts_once() -> None:
    """Nodes are unique by name."""
    assert parse_nodes(ONE_LINE.format(rest="") * 2) == (NODE,)


def test_without_the_node_s_own_word_the_tres_list_tells_gpus_in_use() -> None:
    """Without GresUsed, AllocTRES is read; its untyped GPUs stay untyped on a node of two types."""
    text = changed(" GresUsed=gpu:a100:4(IDX:0-3),gpu:t4:3(IDX:4-6)", "").replace(
        "AllocTRES=cpu=5,mem=250M", "AllocTRES=cpu=5,gres/gpu=3,gres/gpu:t4=1,mem=250M"
    )
    assert parse_nodes(text)[0].gpus_allocated == {"t4": 1, UNTYPED: 2}


def test_a_node_without_gpus() -> None:
    """Gres=(null) is no GPUs, and an empty AllocTRES no use."""
    text = changed("Gres=gpu:a100:4(S:0-1),gpu:t4:4", "Gres=(null)").replace(
        "GresUsed=gpu:a100:4(IDX:0-3),gpu:t4:3(IDX:4-6)", "GresUsed=gpu:0"
    )
    node = parse_nodes(text)[0]
    assert (node.gpus, node.gpus_allocated) == ({}, {})


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("IDLE", {"IDLE"}),
        ("MIXED+DYNAMIC_NORM", {"MIXED", "DYNAMIC_NORM"}),
        ("DOWN*+DRAIN", {"DOWN", "NOT_RESPONDING", "DRAIN"}),
        ("IDLE~", {"IDLE", "POWERED_DOWN"}),
        ("idle*$", {"IDLE", "NOT_RESPONDING", "MAINTENANCE"}),
        ("IDLE+CLOUD+POWERED_DOWN", {"IDLE", "CLOUD", "POWERED_DOWN"}),
        ("HIBERNATING", {"HIBERNATING"}),
    ],
)
def test_states_and_their_marks(text: str, states: set[str]) -> None:
    """Marks mean the same as flag words; words we have never seen are kept."""
    assert parse_states(text) == states


@pytest.mark.parametrize("state", ["DOWN*", "IDLE+DRAIN", "MIXED+RESERVED", "IDLE+MAINT", "IDLE@"])
def test_nodes_that_cannot_take_jobs(state: str) -> None:
    """A node that is down, drained or set aside is not offered to jobs."""
    assert not parse_nodes(changed("State=MIXED", f"State={state}"))[0].accepts_jobs


@pytest.mark.parametrize("state", ["MIXED", "ALLOCATED", "IDLE+CLOUD+POWERED_DOWN", "IDLE+PLANNED"])
def test_nodes_that_can(state: str) -> None:
    """A busy node and one that powers up on demand can run jobs."""
    assert parse_nodes(changed("State=MIXED", f"State={state}"))[0].accepts_jobs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ONE_LINE.format(rest="")[:-40], "cut off"),
        (changed("State=MIXED ", ""), "says nothing of State for NodeName=a1"),
        (changed("CPUTot=8", "CPUTot=acht"), "node a1: CPUTot"),
        ("Knoten nicht gefunden\n", "something else than expected: 'Knoten nicht gefunden'"),
    ],
)
def test_answers_that_are_none(text: str, words: str) -> None:
    """Half an answer, a missing value and another language are errors that quote the text."""
    with pytest.raises(SlurmAnswerError, match=words):
        parse_nodes(text)


@pytest.mark.parametrize("text", ["", "No nodes in the system\n"])
def test_no_nodes(text: str) -> None:
    """A cluster without nodes is an empty answer."""
    assert parse_nodes(text) == ()
