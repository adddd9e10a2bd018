"""The configuration files' text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from virtual_cluster import conf
from virtual_cluster.binding import Binding
from virtual_cluster.conf import Facts, Reader
from virtual_cluster.layout import Layout
from virtual_cluster.ports import Ports
from virtual_cluster.settings import GpuTracking, Preempt, PreemptMode, Settings, Switch
from virtual_cluster.site import ML_SITE
from virtual_cluster.slurm_version import SlurmVersion

GOLDEN = Path(__file__).parents[2] / "golden" / "cluster"
LAYOUT = Layout("mlcost", Path("/var/tmp/mlcost/mlcost"))
PLAIN = Facts(
    site=ML_SITE,
    settings=Settings(),
    layout=LAYOUT,
    ports=Ports(25_000),
    version=SlurmVersion(22, 5),
    binding=Binding.HOST_NAME,
    munge_socket=LAYOUT.munge_socket,
    slurmdbd_port=25_001,
)
OTHER = replace(
    PLAIN,
    version=SlurmVersion(26, 5),
    settings=Settings(
        grace=0,
        user_signal=Switch.ON,
        kill_wait=3,
        cred_expire=9,
        preempt=Preempt.QOS,
        preempt_mode=PreemptMode.CANCEL,
    ),
)
TEXTS = {
    "slurm-22.05.conf": conf.slurm_conf(PLAIN, Reader.OTHERS),
    "slurm-26.05-qos.conf": conf.slurm_conf(OTHER, Reader.OTHERS),
    "gres.conf": conf.gres_conf(PLAIN),
    "slurmdbd.conf": conf.slurmdbd_conf(PLAIN),
    "cgroup-22.05.conf": conf.cgroup_conf(PLAIN),
    "cgroup-26.05.conf": conf.cgroup_conf(OTHER),
    "mariadb.cnf": conf.mariadb_conf(PLAIN),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_whole_text_is_what_golden_holds(name: str) -> None:
    """Each file is, as a whole, the one in tests/golden/cluster; remove that to have it written anew."""
    golden = GOLDEN / name
    if not golden.exists():
        golden.write_text(TEXTS[name])
        pytest.fail(f"{golden} was missing and is written; look at it and run again")
    assert TEXTS[name] == golden.read_text()


def words(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))


@pytest.mark.parametrize("version", [SlurmVersion(22, 5), SlurmVersion(24, 11), SlurmVersion(26, 5)])
def test_the_user_signal_is_spelled_as_the_version_reads_it(version: SlurmVersion) -> None:
    """22.05 does not start with PreemptParameters; later versions have the switch there."""
    facts = replace(PLAIN, version=version, settings=Settings(user_signal=Switch.ON))
    found = words(conf.slurm_conf(facts, Reader.OTHERS))
    old = version == (22, 5)
    assert found.get("SlurmctldParameters") == ("preempt_send_user_signal" if old else None)
    assert found.get("PreemptParameters") == (None if old else "send_user_signal")


@pytest.mark.parametrize(
    ("binding", "reader", "expected"),
    [
        (Binding.HOST_NAME, Reader.OTHERS, "NoCtldInAddrAny,NoInAddrAny"),
        (Binding.HOST_NAME, Reader.NODE, "NoCtldInAddrAny,NoInAddrAny"),
        (Binding.OWN_NAME, Reader.OTHERS, "NoCtldInAddrAny"),
        (Binding.OWN_NAME, Reader.NODE, "NoCtldInAddrAny,NoInAddrAny"),
        (Binding.ANY, Reader.NODE, None),
    ],
)
def test_who_binds_where(binding: Binding, reader: Reader, expected: str | None) -> None:
    """Commands bind to the host name's address only where that is loopback, daemons wherever possible."""
    text = conf.slurm_conf(replace(PLAIN, binding=binding), reader)
    assert words(text).get("CommunicationParameters") == expected


@pytest.mark.parametrize(
    ("settings", "tracked"),
    [
        (Settings(), "gres/gpu,gres/gpu:t4,gres/gpu:v100,gres/gpu:a100,gres/gpu:h100"),
        (Settings(gpu_tracking=GpuTracking.UNTYPED), "gres/gpu"),
        (Settings(gpu_tracking=GpuTracking.NONE), None),
        (Settings(accounting=Switch.OFF), None),
    ],
)
def test_no_weight_for_what_is_not_tracked(settings: Settings, tracked: str | None) -> None:
    """The controller refuses a billing weight of a resource that accounting does not count."""
    text = conf.slurm_conf(replace(PLAIN, settings=settings), Reader.OTHERS)
    assert words(text).get("AccountingStorageTRES") == tracked
    assert ("GRES/gpu=" in text) == (tracked is not None)


def test_without_accounting_nothing_asks_for_it() -> None:
    """Without slurmdbd there is no accounting storage, no limit to enforce and no fair share."""
    text = conf.slurm_conf(replace(PLAIN, settings=Settings(accounting=Switch.OFF)), Reader.OTHERS)
    assert "AccountingStorage" not in text
    assert words(text)["PriorityType"] == "priority/basic"


def test_without_gpus_nodes_stay_and_gres_goes() -> None:
    """A site without GPUs has the same nodes and partitions."""
    facts = replace(PLAIN, settings=Settings(gpus=Switch.OFF))
    text = conf.slurm_conf(facts, Reader.OTHERS)
    assert " Gres=" not in text
    assert text.count("NodeName=") == len(ML_SITE.nodes)
    assert "NodeName" not in conf.gres_conf(facts)


def test_a_shared_accounting_is_the_other_clusters() -> None:
    """A cluster that shares another's accounting talks to that one's slurmdbd with that one's munge."""
    facts = replace(PLAIN, munge_socket=Path("/else/munge.sock"), slurmdbd_port=1234)
    found = words(conf.slurm_conf(facts, Reader.OTHERS))
    assert found["AccountingStoragePort"] == "1234"
    assert found["AuthInfo"] == "socket=/else/munge.sock,cred_expire=5"


def test_only_the_preemptible_partition_yields() -> None:
    """Under partition preemption every partition but spot has PreemptMode OFF, and only spot a grace time."""
    lines = [line for line in TEXTS["slurm-22.05.conf"].splitlines() if line.startswith("PartitionName=")]
    for line in lines:
        spot = line.startswith("PartitionName=spot ")
        assert ("PreemptMode=REQUEUE GraceTime=20" in line) == spot
        assert ("PreemptMode=OFF" in line) != spot
