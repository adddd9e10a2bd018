"""What is remembered of a cluster between two commands: one JSON file in its folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from virtual_cluster import settings as settings_module
from virtual_cluster.errors import ClusterError
from virtual_cluster.ports import Ports
from virtual_cluster.slurm_version import SlurmVersion, parse_version

if TYPE_CHECKING:
    from virtual_cluster.layout import Layout
    from virtual_cluster.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Record:
    """A cluster as it was last brought up.

    Attributes:
        ports: Its block of ports.
        settings: Its settings.
        version: Its Slurm.
        suite: The Debian release whose root folder it runs in; None for this machine itself.
        hub: The cluster whose slurmdbd and munge it uses; None for its own.
    """

    ports: Ports
    settings: Settings
    version: SlurmVersion
    suite: str | None = None
    hub: str | None = None


def read(layout: Layout) -> Record | None:
    """The record, or None when there is no such cluster.

    Raises:
        ClusterError: The file is there and unreadable.
    """
    try:
        values: dict[str, Any] = json.loads(layout.record.read_text())
        return Record(
            ports=Ports(int(values["port"])),
            settings=settings_module.from_json(values["settings"]),
            version=parse_version(values["slurm"]),
            suite=values.get("suite"),
            hub=values.get("hub"),
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ClusterError(f"{layout.record} is damaged ({error}); `down --purge` removes it") from error


def write(layout: Layout, record: Record) -> None:
    """Keep the record."""
    values = {
        "name": layout.name,
        "port": record.ports.base,
        "slurm": str(record.version),
        "suite": record.suite,
        "hub": record.hub,
        "settings": settings_module.to_json(record.settings),
    }
    temporary = layout.record.with_suffix(".new")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    temporary.replace(layout.record)
