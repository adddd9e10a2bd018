"""What reports can group runs by."""

from __future__ import annotations

from typing import NamedTuple


class Dims(NamedTuple):
    """What reports can group a run by."""

    cluster: str
    account: str
    user: str
    partition: str
    qos: str
    gpu_model: str
    state: str
    project: str
    pool: str
    wckey: str
    tag: str
