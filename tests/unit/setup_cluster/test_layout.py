"""Where a cluster's files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from virtual_cluster.errors import ClusterError, UsageError
from virtual_cluster.layout import Layout, existing, home_folder, layout_of, make_home


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "a_b", "a/b", "..", "-x", "a" * 21, "roots", "home", "venvs", "a b"]
)
def test_names_that_are_refused(name: str) -> None:
    """A name is safe in paths, in Slurm and in the database, or it is refused."""
    with pytest.raises(UsageError):
        layout_of(Path("/var/tmp/mlcost"), name)


def test_sockets_fit_the_limit_of_the_kernel() -> None:
    """With the longest home and name every socket's path has at most 107 bytes, munge's lock included."""
    layout = layout_of(home_folder({"MLCOST_CLUSTER_HOME": "/" + "h" * 59}), "a" * 20)
    for path in (layout.munge_socket, layout.database_socket):
        assert len(os.fsencode(path)) <= 107


@pytest.mark.parametrize("home", ["relative", "/" + "h" * 60, "/with space", "/a,b", "/a=b", "/a#b"])
def test_homes_that_are_refused(home: str) -> None:
    """A home folder whose path Slurm's configuration cannot hold is refused."""
    with pytest.raises(UsageError):
        home_folder({"MLCOST_CLUSTER_HOME": home})


def test_the_default_home_is_short() -> None:
    """Without the variable, or with an empty one, it is below /var/tmp."""
    assert home_folder({}) == home_folder({"MLCOST_CLUSTER_HOME": ""}) == Path("/var/tmp/mlcost")


def test_existing_clusters_are_those_with_a_record(tmp_path: Path) -> None:
    """A folder without a record is no cluster."""
    (tmp_path / "roots").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "cluster.json").touch()
    assert existing(tmp_path) == (Layout("one", tmp_path / "one"),)


@pytest.mark.skipif(os.geteuid() != 0, reason="the folder of another user can be made by root only")
def test_a_home_of_another_user_is_refused(tmp_path: Path) -> None:
    """A folder, or a link, that somebody else could have prepared is not used."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    writable = tmp_path / "writable"
    writable.mkdir()
    writable.chmod(0o777)
    for home in (foreign, link, writable):
        with pytest.raises(ClusterError):
            make_home(home)
    make_home(tmp_path / "own")
