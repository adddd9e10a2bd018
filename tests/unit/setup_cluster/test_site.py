"""The virtual site as a description."""

from __future__ import annotations

from virtual_cluster import accounting_setup
from virtual_cluster.settings import PreemptMode, Settings
from virtual_cluster.site import ML_SITE, Gpus, NodeGroup


def test_a_range_has_its_members() -> None:
    """A group's name is a host name or a range."""
    assert NodeGroup(name="a100-[1-3]", cpus=1, memory=1).members() == ("a100-1", "a100-2", "a100-3")
    assert NodeGroup(name="h100-1", cpus=1, memory=1).members() == ("h100-1",)


def test_partitions_name_groups_that_exist() -> None:
    """Every partition's nodes are the site's, one partition is the default, one is preemptible."""
    groups = {group.name for group in ML_SITE.nodes}
    assert all(set(partition.nodes) <= groups for partition in ML_SITE.partitions)
    assert [p.name for p in ML_SITE.partitions if p.default] == ["cpu"]
    assert [p.name for p in ML_SITE.partitions if p.preemptible] == ["spot"]


def test_devices_of_a_node_do_not_overlap() -> None:
    """On a node with two GPU types each device has a number of its own."""
    for group in ML_SITE.nodes:
        numbers = [n for gpus in group.gpus for n in range(gpus.first, gpus.first + gpus.count)]
        assert numbers == list(range(len(numbers)))
    assert ML_SITE.device_numbers() == range(8)
    assert Gpus(type="t4", count=1).first == 0


def test_accounts_come_after_their_parents() -> None:
    """The file is read from the top: a parent is there before its children."""
    text = accounting_setup.load_file(ML_SITE, "trial")
    known = {"root"}
    for line in text.splitlines():
        name = line.split("'")[1]
        if line.startswith("Account"):
            known.add(name)
        elif line.startswith("Parent"):
            assert name in known
    assert text.splitlines()[0].startswith("Cluster - 'trial':")


def test_each_user_has_one_default_account() -> None:
    """The first of a user's accounts is its default, the others are not."""
    text = accounting_setup.load_file(ML_SITE, "trial")
    for user in ML_SITE.users:
        lines = [line for line in text.splitlines() if line.startswith(f"User - '{user.name}'")]
        assert len(lines) == len(user.accounts)
        assert sum("DefaultAccount" in line for line in lines) == 1


def test_an_empty_preempt_list_is_not_sent() -> None:
    """Slurm stores an empty list as QOS number 0 and calls every later change a loop."""
    calls = accounting_setup.set_qos(ML_SITE, Settings(grace=7, preempt_mode=PreemptMode.CANCEL))
    words = {call[2]: call[4:] for call in calls}
    assert not any(word.startswith("Preempt=") for word in words["free"])
    assert "Preempt=free,normal" in words["high"]
    assert {"GraceTime=7", "PreemptMode=cancel"} <= set(words["free"])
    assert {"GraceTime=0", "PreemptMode=cluster"} <= set(words["high"])
