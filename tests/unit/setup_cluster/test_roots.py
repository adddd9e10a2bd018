"""Root folders of other Debian releases: what is decided before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest
from virtual_cluster import mounts, roots, system_users
from virtual_cluster.errors import ClusterError, UsageError
from virtual_cluster.slurm_version import SlurmVersion, parse_version


@pytest.mark.parametrize(
    ("text", "expected"),
    [("slurm-wlm 22.05.8", (22, 5)), ("slurm 24.11.5-1", (24, 11)), ("26.05", (26, 5))],
)
def test_versions_are_read(text: str, expected: tuple[int, int]) -> None:
    """As Slurm prints them, and as a person types them."""
    assert parse_version(text) == expected
    assert str(SlurmVersion(*expected)) in text


@pytest.mark.parametrize("text", ["", "slurm", "5", "latest"])
def test_no_version_is_an_error(text: str) -> None:
    """A text without a version is refused."""
    with pytest.raises(ClusterError):
        parse_version(text)


def test_an_unknown_version_names_the_known() -> None:
    """Who asks for a Slurm that no Debian release has reads which there are."""
    with pytest.raises(UsageError, match=r"22\.05, 24\.11, 26\.05"):
        roots.suite_for(SlurmVersion(23, 2))


def test_the_mirror_is_the_machines_own() -> None:
    """The root folder is made from the mirror this machine uses, not from its security or other archives."""
    lines = (
        "Google cloud-sdk main https://cloud.example/apt\n"
        "Debian bookworm-security main http://mirror.example/debian-security/\n"
        "Debian bookworm main http://mirror.example/debian/\n"
    )
    assert roots.debian_mirror(lines) == "http://mirror.example/debian/"
    assert roots.debian_mirror("") is None


def test_a_proxy_is_passed_on() -> None:
    """A proxy of apt is used, one switched off is not, and nothing else of the machine's configuration."""
    dump = 'Acquire::http::Proxy "http://proxy.test:3128";\nAcquire::https::Proxy "";\nAPT::Get "";\n'
    assert roots.fetch_settings(dump) == ['Acquire::http::Proxy "http://proxy.test:3128"']


def test_only_testing_may_be_out_of_date() -> None:
    """An index past its date is accepted for testing, where mirrors lag, and for nothing else."""
    for suite in roots.SUITES.values():
        argv = roots.mmdebstrap_argv(suite, Path("/r"), "http://mirror.example/debian/", [])
        assert any("Check-Valid-Until" in word for word in argv) == (suite == "testing")
        assert argv[-3:] == [suite, "/r", "http://mirror.example/debian/"]


def test_a_half_made_root_is_not_one(tmp_path: Path) -> None:
    """Only a folder with its Slurm version written down counts, and its name is its release."""
    (tmp_path / "roots" / "trixie").mkdir(parents=True)
    assert roots.existing_roots(tmp_path) == ()
    (tmp_path / "roots" / "trixie" / ".slurm").write_text("slurm-wlm 24.11.5\n")
    [root] = roots.existing_roots(tmp_path)
    assert (root.suite, root.version) == ("trixie", (24, 11))


def test_folders_are_mounted_after_those_they_are_in() -> None:
    """Hostile paths stay one word, and a folder inside another is mounted after it."""
    deeper = [Path("/tmp", *"abcdefgh"[:depth]) for depth in range(8, 0, -1)]
    script = mounts.holder_script(Path("/r"), [Path("/tmp/a b;rm"), *deeper, Path("/tmp")])
    order = [script.index(f"mount --bind {folder} ") for folder in reversed(deeper)]
    assert order == sorted(order)
    assert script.index("mount --bind /tmp /r/tmp") < script.index(
        "mount --bind '/tmp/a b;rm' '/r/tmp/a b;rm'"
    )
    assert script.rstrip().splitlines()[-1].startswith("exec chroot /r ")


def test_users_of_another_home_are_left_alone() -> None:
    """The last cluster of one home folder does not take the users of another home's clusters with it."""
    assert system_users.made_for("/var/tmp/mlcost/home/mlc-ana", Path("/var/tmp/mlcost"))
    assert not system_users.made_for("/var/tmp/mlcost/home/mlc-ana", Path("/var/tmp/other"))
    assert not system_users.made_for("/home/mlc-ana", Path("/var/tmp/mlcost"))


def test_people_come_before_a_packages_users() -> None:
    """A person's number means that person inside, too; doing it twice changes nothing."""
    machine = (
        "root:x:0:0::/root:/bin/sh\nmlc-ana:x:999:995::/h:/bin/sh\n"
        "munge:x:101:103::/:/x\neve:x:1000:1000::/e:/x\n"
    )
    inside = "root:x:0:0::/root:/bin/bash\nmunge:x:999:999::/:/x\nnobody:x:65534:65534::/:/x\n"
    once = system_users.merged(machine, inside)
    assert once.splitlines() == [
        "root:x:0:0::/root:/bin/bash",
        "mlc-ana:x:999:995::/h:/bin/sh",
        "eve:x:1000:1000::/e:/x",
        "munge:x:999:999::/:/x",
        "nobody:x:65534:65534::/:/x",
    ]
    assert system_users.merged(machine, once) == once
