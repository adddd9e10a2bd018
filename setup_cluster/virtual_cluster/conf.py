"""The configuration files' text. Pure: the same description gives the same text, byte for byte."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from virtual_cluster.binding import LOOPBACK, Binding
from virtual_cluster.settings import Preempt, Settings, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from virtual_cluster.layout import Layout
    from virtual_cluster.ports import Ports
    from virtual_cluster.site import Gpus, NodeGroup, Partition, Site
    from virtual_cluster.slurm_version import SlurmVersion

_HEADER = "# Written by setup_cluster/cluster; a change here is lost at the next `up` or `set`.\n"


class Reader(Enum):
    """Who reads a slurm.conf."""

    NODE = "slurmd"
    OTHERS = "slurmctld and the commands"


def slurm_conf(
    site: Site,
    settings: Settings,
    layout: Layout,
    ports: Ports,
    version: SlurmVersion,
    binding: Binding,
    reader: Reader,
) -> str:
    """slurm.conf; the two readers' differ in nothing but what they bind to."""
    tracked = ",".join(["gres/gpu", *(f"gres/gpu:{kind}" for kind in site.gpu_types())])
    lines = [
        f"ClusterName={layout.name}",
        f"SlurmctldHost=localhost({LOOPBACK})",
        f"SlurmctldPort={ports.slurmctld}",
        *_communication(binding, reader),
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={layout.munge_socket},cred_expire={settings.cred_expire}",
        f"StateSaveLocation={layout.state}",
        f"SlurmdSpoolDir={layout.spool}/%n",
        f"SlurmctldPidFile={layout.run}/slurmctld.own",
        f"SlurmdPidFile={layout.run}/slurmd-%n.own",
        f"SlurmctldLogFile={layout.log}/slurmctld.log",
        f"SlurmdLogFile={layout.log}/slurmd-%n.log",
        # More CPUs and memory than the host has: nodes take the numbers of this file as they are.
        "SlurmdParameters=config_overrides",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "MpiDefault=none",
        "MailProg=/bin/true",
        "ReturnToService=2",
        "DebugFlags=NO_CONF_HASH",
        "",
        "# scheduling: everything short, so that a trial takes seconds",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core_Memory",
        "DefMemPerCPU=2000",
        "SchedulerType=sched/backfill",
        (
            "SchedulerParameters=bf_interval=2,bf_resolution=10,bf_continue,sched_interval=2,"
            "batch_sched_delay=0,sched_min_interval=100000"
        ),
        "PriorityType=priority/multifactor",
        "PriorityWeightAge=100",
        "PriorityWeightFairshare=1000",
        "PriorityWeightPartition=1000",
        "PriorityWeightQOS=10000",
        "PriorityCalcPeriod=1",
        f"KillWait={settings.kill_wait}",
        "MessageTimeout=20",
        "SlurmdTimeout=60",
        "MinJobAge=300",
        "",
        "# preemption",
        f"PreemptType={_PREEMPT_TYPE[settings.preempt]}",
        f"PreemptMode={settings.preempt_mode.upper()}",
        *_user_signal(settings, version),
        "",
        "# accounting",
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={LOOPBACK}",
        f"AccountingStoragePort={ports.slurmdbd}",
        f"AccountingStoragePass={layout.munge_socket}",
        f"AccountingStorageTRES={tracked}",
        "AccountingStorageEnforce=associations,limits,qos",
        "AccountingStoreFlags=job_comment",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=2",
        "",
        "# nodes",
        "GresTypes=gpu",
        *_node_lines(site, ports),
        "",
        "# partitions",
        *(_partition_line(partition, settings) for partition in site.partitions),
    ]
    return _text(lines)


def _communication(binding: Binding, reader: Reader) -> list[str]:
    # Both words mean: bind to the address the host name resolves to, not to every address.
    if binding is Binding.ANY:
        return []
    if binding is Binding.OWN_NAME and reader is Reader.OTHERS:
        return ["CommunicationParameters=NoCtldInAddrAny"]
    return ["CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"]


_PREEMPT_TYPE = {Preempt.PARTITION: "preempt/partition_prio", Preempt.QOS: "preempt/qos"}


def _user_signal(settings: Settings, version: SlurmVersion) -> list[str]:
    if settings.user_signal is Switch.OFF:
        return []
    if version.has_preempt_parameters:
        return ["PreemptParameters=send_user_signal"]
    return ["SlurmctldParameters=preempt_send_user_signal"]


def _node_lines(site: Site, ports: Ports) -> Iterable[str]:
    index = 0
    for group in site.nodes:
        size = len(group.members())
        first, last = ports.slurmd(index), ports.slurmd(index + size - 1)
        index += size
        port = f"[{first}-{last}]" if size > 1 else str(first)
        words = [
            f"NodeName={group.name}",
            "NodeHostname=localhost",
            f"NodeAddr={LOOPBACK}",
            f"Port={port}",
            f"CPUs={group.cpus}",
            "Boards=1",
            "SocketsPerBoard=2",
            f"CoresPerSocket={group.cpus // 2}",
            "ThreadsPerCore=1",
            f"RealMemory={group.memory}",
            f"Weight={group.weight}",
            *_gpu_words(group),
            "State=UNKNOWN",
        ]
        yield " ".join(words)


def _gpu_words(group: NodeGroup) -> list[str]:
    if not group.gpus:
        return ["Feature=cpu"]
    features = ",".join(["gpu", *(gpus.type for gpus in group.gpus)])
    gres = ",".join(f"gpu:{gpus.type}:{gpus.count}" for gpus in group.gpus)
    return [f"Feature={features}", f"Gres={gres}"]


def _partition_line(partition: Partition, settings: Settings) -> str:
    yields = partition.preemptible and settings.preempt is Preempt.PARTITION
    words = [
        f"PartitionName={partition.name}",
        f"Nodes={','.join(partition.nodes)}",
        f"Default={'YES' if partition.default else 'NO'}",
        f"DefaultTime={partition.default_time}",
        f"MaxTime={partition.max_time}",
        f"PriorityTier={partition.tier}",
        f"PriorityJobFactor={partition.tier}",
        f'TRESBillingWeights="{partition.billing}"',
        "State=UP",
    ]
    if settings.preempt is Preempt.PARTITION:
        words.append(f"PreemptMode={settings.preempt_mode.upper() if yields else 'OFF'}")
    if yields:
        words.append(f"GraceTime={settings.grace}")
    return " ".join(words)


def gres_conf(site: Site, layout: Layout) -> str:
    """gres.conf: each node's GPUs as files of the cluster's device folder."""
    lines = [
        f"NodeName={group.name} Name=gpu Type={gpus.type} File={layout.devices}/gpu{_span(gpus)}"
        for group in site.nodes
        for gpus in group.gpus
    ]
    return _text(lines)


def _span(gpus: Gpus) -> str:
    return str(gpus.first) if gpus.count == 1 else f"[{gpus.first}-{gpus.first + gpus.count - 1}]"


def slurmdbd_conf(layout: Layout, ports: Ports, binding: Binding) -> str:
    """slurmdbd.conf: the accounting daemon logs in to MariaDB as the system user it runs as."""
    return _text(
        [
            "DbdHost=localhost",
            f"DbdAddr={LOOPBACK}",
            f"DbdPort={ports.slurmdbd}",
            *([] if binding is Binding.ANY else ["CommunicationParameters=NoInAddrAny"]),
            "SlurmUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={layout.munge_socket}",
            "StorageType=accounting_storage/mysql",
            "StorageHost=localhost",
            "StorageUser=root",
            "StorageLoc=slurm_acct_db",
            f"LogFile={layout.log}/slurmdbd.log",
            f"PidFile={layout.run}/slurmdbd.own",
        ]
    )


def cgroup_conf(version: SlurmVersion) -> str:
    """cgroup.conf: no cgroups where Slurm lets one say so, for containers rarely have usable ones."""
    return _text(["CgroupPlugin=disabled"] if version.can_disable_cgroups else [])


def mariadb_conf(layout: Layout) -> str:
    """my.cnf of the private MariaDB: small, no network, no fsync per commit for trials are not kept."""
    return _text(
        [
            "[mariadbd]",
            "user=root",
            f"datadir={layout.database}",
            f"socket={layout.database_socket}",
            f"pid-file={layout.run}/mariadb.own",
            f"log-error={layout.log}/mariadb.log",
            f"tmpdir={layout.database}",
            "skip-networking",
            "skip-log-bin",
            "performance-schema=OFF",
            "innodb-buffer-pool-size=64M",
            "innodb-log-file-size=32M",
            "innodb-flush-log-at-trx-commit=0",
            "innodb-lock-wait-timeout=900",
            "max-connections=64",
        ]
    )


def _text(lines: list[str]) -> str:
    return _HEADER + "".join(f"{line}\n" for line in lines)
