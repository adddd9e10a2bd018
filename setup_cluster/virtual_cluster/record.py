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


@dataclass(frozen=True)
class Record:
    """A cluster as it was last brought up."""

    ports: Ports
    settings: Settings
    version: SlurmVersion


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
        "settings": settings_module.to_json(record.settings),
    }
    temporary = layout.record.with_suffix(".new")
    temporary.write_text(json.dumps(values, indent=2) + "\n")
    temporary.replace(layout.record)
