"""Reservations and node events, as sacctmgr of a real 22.05 prints them."""

from __future__ import annotations

from mlcost_hpc.slurm.node_times import (
    Outage,
    parse_association_ids,
    parse_events,
    parse_reservations,
    show_events,
    show_reservations,
)

RESERVATIONS = """\
1|1795598541|1795598661|cpu=128|a100-1|1|SPEC_NODES|school
2|1795599103|1795599223|cpu=32|cpu-1|9,11,12|SPEC_NODES|half
3|1795599103|1795599223|cpu=32|t4-1|5,6|MAINT,SPEC_NODES|window|2
4|1795599103|1795599106|cpu=48|mixed-1||SPEC_NODES|moved
4|1795599106|1795599108|cpu=112|cpu-2,mixed-[1-2]|-7,-13|SPEC_NODES|moved
5|1795599106|1795599108|cpu=0||9|LICENSES|licences
"""
EVENTS = """\
|1795598519|Unknown|a100-[1-2],cpu-1
a100-2|1795598536|1795598544|
cpu-1|1795598600|Unknown|
"""


def test_a_reservation_is_read_with_who_may_use_it() -> None:
    """Ids of associations that may not use it are no holders; MAINT is the site's own."""
    found, rejects = parse_reservations(RESERVATIONS)
    assert rejects == ()
    assert [(one.number, one.nodes, one.associations, one.maintenance) for one in found] == [
        (1, ("a100-1",), (1,), False),
        (2, ("cpu-1",), (9, 11, 12), False),
        (3, ("t4-1",), (5, 6), True),
        (4, ("mixed-1",), (), False),
        (4, ("cpu-2", "mixed-1", "mixed-2"), (), False),
    ]
    assert (found[0].started, found[0].ended, found[1].cpus) == (1795598541, 1795598661, 32)
    assert found[2].name == "window|2"


def test_events_are_the_clusters_nodes_and_their_outages() -> None:
    """A row without a node is the whole cluster's; Unknown is not over yet."""
    found = parse_events(EVENTS)
    (members,) = found.memberships
    assert (members.nodes, members.ended) == (("a100-1", "a100-2", "cpu-1"), None)
    assert found.outages == (
        Outage(node="a100-2", started=1795598536, ended=1795598544),
        Outage(node="cpu-1", started=1795598600, ended=None),
    )


def test_lines_that_cannot_be_read_are_rejects() -> None:
    """One strange line spoils no other."""
    found, rejects = parse_reservations("x|1|2|cpu=1|a|1||n\n1|Unknown|2|cpu=1|a|1||n\n1|2\n" + RESERVATIONS)
    assert (len(found), len(rejects)) == (5, 3)
    assert len(parse_events("|5|6|a[1\na|Unknown|6|\n" + EVENTS).rejects) == 2


def test_associations_have_accounts() -> None:
    """The association of an account and those of its users name the same account."""
    assert parse_association_ids("5|nlp\n9|nlp\n|x\nbad\n") == {5: "nlp", 9: "nlp"}


def test_the_questions_name_cluster_and_time() -> None:
    """Times are UTC seconds, and nothing can be changed."""
    for argv in (show_reservations("alpha", 5, 9), show_events("alpha", 5, 9)):
        assert {"--readonly", "cluster=alpha", "start=uts5", "end=uts9"} <= set(argv)
