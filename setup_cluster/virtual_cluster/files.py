"""A cluster's folders and files on disk."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING

from virtual_cluster import accounting_setup, conf

if TYPE_CHECKING:
    from pathlib import Path

    from virtual_cluster.conf import Facts

_NULL_DEVICE = os.makedev(1, 3)


def write(facts: Facts) -> None:
    """Make folders, key and fake devices where they are missing, and write the configuration anew."""
    layout, site = facts.layout, facts.site
    configuration = (layout.etc, layout.node_conf.parent)
    public = (*configuration, layout.run, layout.log, layout.state, layout.spool, layout.devices)
    for folder in (*public, *(layout.spool / node for node in site.node_names())):
        folder.mkdir(mode=0o755, exist_ok=True)
    layout.munge.mkdir(mode=0o700, exist_ok=True)
    for number in site.device_numbers():
        device = layout.devices / f"gpu{number}"
        if not device.exists():
            os.mknod(device, stat.S_IFCHR | 0o666, _NULL_DEVICE)
    key = layout.munge / "munge.key"
    if not key.exists():
        _replace(key, secrets.token_bytes(128), 0o400)
    for name, text in _texts(facts).items():
        _replace(layout.etc / name, text.encode(), 0o600 if name == "slurmdbd.conf" else 0o644)


def _texts(facts: Facts) -> dict[str, str]:
    gres, cgroup = conf.gres_conf(facts), conf.cgroup_conf(facts)
    return {
        "slurm.conf": conf.slurm_conf(facts, conf.Reader.OTHERS),
        "gres.conf": gres,
        "cgroup.conf": cgroup,
        "node/slurm.conf": conf.slurm_conf(facts, conf.Reader.NODE),
        "node/gres.conf": gres,
        "node/cgroup.conf": cgroup,
        "slurmdbd.conf": conf.slurmdbd_conf(facts),
        "mariadb.cnf": conf.mariadb_conf(facts),
        "mariadb.sql": conf.mariadb_sql(),
        "accounts.load": accounting_setup.load_file(facts.site, facts.layout.name),
    }


def _replace(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
    temporary.chmod(mode)
    temporary.replace(path)
