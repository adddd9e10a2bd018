"""Ports by name."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_cluster.errors import ClusterError
from virtual_cluster.ports import Ports, choose, is_free


def all_free(port: int) -> bool:
    return True


def test_a_name_has_its_place() -> None:
    """The same name gets the same ports while they are free."""
    assert choose("trial", 8, [], all_free) == choose("trial", 8, [], all_free)


@given(st.lists(st.text("abcdefgh-", min_size=1, max_size=12), min_size=1, max_size=40, unique=True))
def test_clusters_side_by_side_never_share_a_port(names: list[str]) -> None:
    """However names fall, each cluster's ports are its own."""
    taken: list[int] = []
    for name in names:
        taken.append(choose(name, 38, taken, all_free).base)
    used = [port for base in taken for port in Ports(base).first(38)]
    assert len(used) == len(set(used))


def test_a_port_in_use_moves_the_whole_block() -> None:
    """One port that somebody listens on is enough to go on to the next block."""
    first = choose("trial", 8, [], all_free)
    second = choose("trial", 8, [], lambda port: port != first.slurmd(7))
    assert second.base != first.base


def test_no_block_left_is_an_error() -> None:
    """When nothing is free, it says so."""
    with pytest.raises(ClusterError, match="no 10 free ports"):
        choose("trial", 8, [], lambda _: False)


def test_a_listener_on_any_address_counts() -> None:
    """A port is not free when somebody listens on loopback, and free again afterwards."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)
