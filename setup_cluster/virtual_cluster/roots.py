"""Root folders with the packages of other Debian releases, for Slurm versions this machine does not have."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError, UsageError
from virtual_cluster.product import remove_environments
from virtual_cluster.slurm_version import SlurmVersion, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SUITES = {SlurmVersion(22, 5): "bookworm", SlurmVersion(24, 11): "trixie", SlurmVersion(26, 5): "testing"}
"""Which Debian release has which Slurm."""

_PACKAGES = (
    "slurm-wlm", "slurmdbd", "slurm-client", "munge", "mariadb-server",
    "python3", "python3-venv", "ca-certificates",
)  # fmt: skip
_NO_DOCUMENTS = tuple(f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("man", "doc", "locale"))
_INSTALL_SYSTEM = Path(__file__).resolve().parents[1] / "install-system"


@dataclass(frozen=True)
class Root:
    """A root folder; it is complete when the file ``.slurm`` with its Slurm version is there."""

    suite: str
    folder: Path

    @property
    def version(self) -> SlurmVersion | None:
        """The Slurm inside; None when the folder is not complete."""
        try:
            return parse_version((self.folder / ".slurm").read_text())
        except FileNotFoundError:
            return None


def root_of(home: Path, suite: str) -> Root:
    """The root folder of a Debian release, made or not."""
    return Root(suite, home / "roots" / suite)


def existing_roots(home: Path) -> tuple[Root, ...]:
    """Every complete root folder."""
    found = (Root(path.name, path) for path in sorted((home / "roots").glob("*")) if path.is_dir())
    return tuple(root for root in found if root.version)


def suite_for(version: SlurmVersion) -> str:
    """The Debian release with that Slurm.

    Raises:
        UsageError: No release has it.
    """
    try:
        return SUITES[version]
    except KeyError:
        known = ", ".join(map(str, SUITES))
        raise UsageError(f"no Debian release with Slurm {version} is known here (known: {known})") from None


def make(root: Root, wanted: SlurmVersion, say: Callable[[str], None]) -> None:
    """Make the root folder unless it is complete; one half made by an interrupted run is made again.

    Raises:
        ClusterError: mmdebstrap failed, or the Debian release has moved on to another Slurm.
    """
    if root.version is None:
        _make(root, say)
    if root.version != wanted:
        raise ClusterError(
            f"Debian {root.suite} has Slurm {root.version}, not {wanted}; `cluster roots remove "
            f"{root.suite}` and another `up` fetch what it has now"
        )


def remove(root: Root, home: Path) -> None:
    """Remove a root folder and the virtual environments of its Python. No cluster may run in it."""
    # Its mounts are in the clusters' own namespaces: what is seen here is the folder's own content only.
    shutil.rmtree(root.folder)
    root.folder.with_name(f"{root.suite}.log").unlink(missing_ok=True)
    remove_environments(home / "venvs", root.suite)


def mmdebstrap_argv(suite: str, target: Path, mirror: str | None, acquire: Iterable[str]) -> list[str]:
    """The command that makes a root folder.

    Args:
        suite: The Debian release.
        target: The folder to make.
        mirror: Address of a Debian mirror; None for mmdebstrap's own.
        acquire: apt's settings for fetching, e.g. a proxy.
    """
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--dpkgopt=force-unsafe-io", *_NO_DOCUMENTS]
    argv += [f"--aptopt={setting}" for setting in acquire]
    if suite == "testing":
        # Its index is valid for a week only, and a mirror may be behind.
        argv.append('--aptopt=Acquire::Check-Valid-Until "false"')
    argv += [f"--include={','.join(_PACKAGES)}", suite, str(target)]
    return [*argv, mirror] if mirror else argv


def debian_mirror(index_targets: str) -> str | None:
    """The mirror this machine uses, from apt's lines ``ORIGIN CODENAME COMPONENT ADDRESS``."""
    for line in index_targets.splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "Debian" and words[1].isalpha() and words[2] == "main":
            return words[3]
    return None


def fetch_settings(apt_config: str) -> list[str]:
    """Proxy settings, from the lines of ``apt-config dump``, as apt options."""
    lines = (line.removesuffix(";") for line in apt_config.splitlines())
    return [line for line in lines if "::proxy" in line.lower() and not line.endswith('""')]


def _make(root: Root, say: Callable[[str], None]) -> None:
    _install_mmdebstrap()
    target = root.folder.with_name(f".{root.suite}.new")
    root.folder.parent.mkdir(mode=0o755, exist_ok=True)
    for folder in (target, root.folder):
        if folder.exists():
            shutil.rmtree(folder)
    mirror = debian_mirror(
        _output("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(COMPONENT) $(REPO_URI)")
    )
    say(f"making the root folder of Debian {root.suite}: once, one to two minutes")
    argv = mmdebstrap_argv(root.suite, target, mirror, fetch_settings(_output("apt-config", "dump")))
    log = root.folder.with_name(f"{root.suite}.log")
    with log.open("w") as stream, subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            stream.write(line)
            if line.startswith("I: "):
                say(f"  {line.removeprefix('I: ').strip()}")
    if process.returncode != 0:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ClusterError(f"mmdebstrap failed; the end of {log}:\n  {tail}")
    version = _output("chroot", str(target), "/usr/sbin/slurmctld", "-V")
    (target / ".slurm").write_text(version)
    target.rename(root.folder)


def _install_mmdebstrap() -> None:
    if (
        shutil.which("mmdebstrap") is None
        and subprocess.run([_INSTALL_SYSTEM, "roots"], check=False).returncode
    ):
        raise ClusterError("mmdebstrap is needed for another Slurm version than this machine's")


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}` failed: {done.stderr.strip()}")
    return done.stdout
