"""The configuration files' text. Pure: the same description gives the same text, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from virtual_cluster.binding import LOOPBACK, Binding
from virtual_cluster.settings import GpuTracking, Preempt, Settings, Switch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePath

    from virtual_cluster.layout import Layout
    from virtual_cluster.ports import Ports
    from virtual_cluster.site import Gpus, NodeGroup, Partition, Site
    from virtual_cluster.slurm_version import SlurmVersion

_DATABASE = "slurm_acct_db"
_HEADER = "# Written by setup_cluster/cluster; a change here is lost at the next `up` or `set`.\n"


class Reader(Enum):
    """Who reads a slurm.conf."""

    NODE = "slurmd"
    OTHERS = "slurmctld and the commands"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the files are written from.

    Attributes:
        site: Nodes, partitions, accounts.
        settings: What the user asked for.
        layout: The cluster's folders.
        ports: The cluster's ports.
        version: Its Slurm.
        binding: What its daemons can bind to.
        munge_socket: Of the cluster itself, or of the one whose accounting it shares.
        slurmdbd_port: Likewise.
    """

    site: Site
    settings: Settings
    layout: Layout
    ports: Ports
    version: SlurmVersion
    binding: Binding
    munge_socket: PurePath
    slurmdbd_port: int


def slurm_conf(facts: Facts, reader: Reader) -> str:
    """slurm.conf; the two readers' differ in nothing but what they bind to."""
    site, settings, layout, ports = facts.site, facts.settings, facts.layout, facts.ports
    lines = [
        f"ClusterName={layout.name}",
        f"SlurmctldHost=localhost({LOOPBACK})",
        f"SlurmctldPort={ports.slurmctld}",
        *_communication(facts.binding, reader),
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        f"AuthInfo=socket={facts.munge_socket},cred_expire={settings.cred_expire}",
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
        *_priority(settings),
        f"KillWait={settings.kill_wait}",
        "MessageTimeout=20",
        "SlurmdTimeout=60",
        "MinJobAge=300",
        "",
        "# preemption",
        f"PreemptType={_PREEMPT_TYPE[settings.preempt]}",
        f"PreemptMode={settings.preempt_mode.upper()}",
        *_user_signal(settings, facts.version),
        "",
        "# accounting",
        *_accounting(facts),
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=2",
        "",
        "# nodes",
        "GresTypes=gpu",
        *_node_lines(site, settings, ports),
        "",
        "# partitions",
        *(_partition_line(partition, site, settings) for partition in site.partitions),
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


def _priority(settings: Settings) -> list[str]:
    # Fair share needs the accounting daemon; slurmctld does not start with it and without that.
    if settings.accounting is Switch.OFF:
        return ["PriorityType=priority/basic"]
    return [
        "PriorityType=priority/multifactor",
        "PriorityWeightAge=100",
        "PriorityWeightFairshare=1000",
        "PriorityWeightPartition=1000",
        "PriorityWeightQOS=10000",
        "PriorityCalcPeriod=1",
    ]


def _accounting(facts: Facts) -> list[str]:
    lines = _private_data(facts)
    if facts.settings.accounting is Switch.OFF:
        return lines
    lines += [
        "AccountingStorageType=accounting_storage/slurmdbd",
        f"AccountingStorageHost={LOOPBACK}",
        f"AccountingStoragePort={facts.slurmdbd_port}",
        f"AccountingStoragePass={facts.munge_socket}",
        "AccountingStorageEnforce=associations,limits,qos",
        "AccountingStoreFlags=job_comment",
    ]
    tracked = _tracked(facts.site, facts.settings)
    return [*lines, f"AccountingStorageTRES={','.join(tracked)}"] if tracked else lines


def _private_data(facts: Facts) -> list[str]:
    """What users see of their own only; slurmctld and slurmdbd each need to be told."""
    private = facts.settings.private_data is Switch.ON
    return ["PrivateData=accounts,events,jobs,reservations,usage,users"] if private else []


def _tracked(site: Site, settings: Settings) -> list[str]:
    """What accounting counts beyond CPUs, memory and nodes."""
    if settings.accounting is Switch.OFF or settings.gpu_tracking is GpuTracking.NONE:
        return []
    types = site.gpu_types() if settings.gpu_tracking is GpuTracking.TYPED else ()
    return ["gres/gpu", *(f"gres/gpu:{kind}" for kind in types)]


def _user_signal(settings: Settings, version: SlurmVersion) -> list[str]:
    if settings.user_signal is Switch.OFF:
        return []
    if version.has_preempt_parameters:
        return ["PreemptParameters=send_user_signal"]
    return ["SlurmctldParameters=preempt_send_user_signal"]


def _node_lines(site: Site, settings: Settings, ports: Ports) -> Iterable[str]:
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
            *_feature_words(group),
            *([] if settings.gpus is Switch.OFF else _gres_words(group)),
            "State=UNKNOWN",
        ]
        yield " ".join(words)


def _feature_words(group: NodeGroup) -> list[str]:
    kinds = ",".join(gpus.type for gpus in group.gpus)
    return [f"Feature=gpu,{kinds}" if kinds else "Feature=cpu"]


def _gres_words(group: NodeGroup) -> list[str]:
    gres = ",".join(f"gpu:{gpus.type}:{gpus.count}" for gpus in group.gpus)
    return [f"Gres={gres}"] if gres else []


def _partition_line(partition: Partition, site: Site, settings: Settings) -> str:
    # slurmctld does not start with a weight for what accounting does not count.
    weights = [
        word for word in partition.billing.split(",") if "GRES" not in word or _tracked(site, settings)
    ]
    yields = partition.preemptible and settings.preempt is Preempt.PARTITION
    words = [
        f"PartitionName={partition.name}",
        f"Nodes={','.join(partition.nodes)}",
        f"Default={'YES' if partition.default else 'NO'}",
        f"DefaultTime={partition.default_time}",
        f"MaxTime={partition.max_time}",
        f"PriorityTier={partition.tier}",
        f"PriorityJobFactor={partition.tier}",
        f'TRESBillingWeights="{",".join(weights)}"',
        "State=UP",
    ]
    if settings.preempt is Preempt.PARTITION:
        words.append(f"PreemptMode={settings.preempt_mode.upper() if yields else 'OFF'}")
    if yields:
        words.append(f"GraceTime={settings.grace}")
    return " ".join(words)


def gres_conf(facts: Facts) -> str:
    """gres.conf: each node's GPUs as files of the cluster's device folder."""
    if facts.settings.gpus is Switch.OFF:
        return _text([])
    lines = [
        f"NodeName={group.name} Name=gpu Type={gpus.type} File={facts.layout.devices}/gpu{_span(gpus)}"
        for group in facts.site.nodes
        for gpus in group.gpus
    ]
    return _text(lines)


def _span(gpus: Gpus) -> str:
    return str(gpus.first) if gpus.count == 1 else f"[{gpus.first}-{gpus.first + gpus.count - 1}]"


def slurmdbd_conf(facts: Facts) -> str:
    """slurmdbd.conf: the accounting daemon logs in to MariaDB as the system user it runs as."""
    return _text(
        [
            "DbdHost=localhost",
            f"DbdAddr={LOOPBACK}",
            f"DbdPort={facts.slurmdbd_port}",
            *([] if facts.binding is Binding.ANY else ["CommunicationParameters=NoInAddrAny"]),
            "SlurmUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={facts.munge_socket}",
            "StorageType=accounting_storage/mysql",
            "StorageHost=localhost",
            "StorageUser=root",
            f"StorageLoc={_DATABASE}",
            *_private_data(facts),
            f"LogFile={facts.layout.log}/slurmdbd.log",
            f"PidFile={facts.layout.run}/slurmdbd.own",
        ]
    )


def cgroup_conf(facts: Facts) -> str:
    """cgroup.conf: no cgroups where Slurm lets one say so, for containers rarely have usable ones."""
    return _text(["CgroupPlugin=disabled"] if facts.version.can_disable_cgroups else [])


def mariadb_conf(facts: Facts) -> str:
    """my.cnf of the private MariaDB: small, no network, no fsync per commit for trials are not kept."""
    layout = facts.layout
    return _text(
        [
            "[mariadbd]",
            "user=root",
            f"datadir={layout.database}",
            f"socket={layout.database_socket}",
            f"pid-file={layout.run}/mariadb.own",
            f"log-error={layout.log}/mariadb.log",
            f"tmpdir={layout.database}",
            # slurmdbd would make its database itself, but some releases of the client library answer every
            # query with an error once a connection has failed because the database is not there.
            f"init-file={layout.etc}/mariadb.sql",
            "skip-networking",
            "skip-log-bin",
            "performance-schema=OFF",
            "innodb-buffer-pool-size=64M",
            "innodb-log-file-size=32M",
            "innodb-flush-log-at-trx-commit=0",
            "innodb-lock-wait-timeout=900",
            "max-connections=64",
            "table-open-cache=400",
            "open-files-limit=2000",
        ]
    )


def mariadb_sql() -> str:
    """What MariaDB runs when it starts."""
    return f"CREATE DATABASE IF NOT EXISTS {_DATABASE};\n"


def _text(lines: list[str]) -> str:
    return _HEADER + "".join(f"{line}\n" for line in lines)
