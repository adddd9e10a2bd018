"""The product and its dependencies for the Python inside a cluster's root folder.

One virtual environment a Debian release and checkout, shared by their clusters, at the same path inside and
outside. The checkout is installed editable: the environment belongs to that one source tree, and is made
again only when its dependencies change.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from virtual_cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from virtual_cluster.system import System

_FOREIGN = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "LD_PRELOAD")


@dataclass(frozen=True)
class Product:
    """A virtual environment with the checkout installed.

    Attributes:
        folder: The environment.
        checkout: The source tree.
    """

    folder: Path
    checkout: Path

    @property
    def programs(self) -> Path:
        """The folder for PATH."""
        return self.folder / "bin"

    def installed_extras(self) -> frozenset[str] | None:
        """The extras that are installed; None when nothing is, or dependencies have changed since."""
        try:
            stamp = json.loads((self.folder / ".installed").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return frozenset(stamp["extras"]) if stamp["of"] == self._dependencies() else None

    def install(
        self,
        system: System,
        environment: Mapping[str, str],
        extras: Iterable[str],
        say: Callable[[str], None],
    ) -> None:
        """Install the checkout with these extras and those it has, unless that is done.

        Raises:
            ClusterError: pip failed; its words are in the message.
        """
        present = self.installed_extras()
        wanted = frozenset(extras) | (present or frozenset())
        if wanted == present:
            return
        _remove_abandoned(self.folder.parent)
        named = f"[{','.join(sorted(wanted))}]" if wanted else ""
        say(f"installing the product{named} for this cluster's Python in {self.folder}")
        python = str(self.programs / "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        constraints = ["--constraint", str(self.checkout / "constraints.txt")]
        calls = (
            ["python3", "-m", "venv", str(self.folder)],
            [*pip, *constraints, "--editable", f"{self.checkout}{named}"],
        )
        inside = inside_environment(environment, self.folder.parent)
        for argv in calls:
            done = subprocess.run(
                system.command(argv), env=inside, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                words = (done.stdout + done.stderr).strip().splitlines()[-20:]
                raise ClusterError(f"`{' '.join(argv)}` failed:\n  " + "\n  ".join(words))
        stamp = {"checkout": str(self.checkout), "of": self._dependencies(), "extras": sorted(wanted)}
        (self.folder / ".installed").write_text(json.dumps(stamp) + "\n")

    def _dependencies(self) -> str:
        digest = hashlib.sha256()
        for name in ("pyproject.toml", "constraints.txt"):
            digest.update((self.checkout / name).read_bytes())
        return digest.hexdigest()


def environment_of(venvs: Path, suite: str, checkout: Path) -> Path:
    """The folder of the environment of a Debian release and a checkout."""
    return venvs / f"{suite}-{hashlib.sha256(str(checkout).encode()).hexdigest()[:8]}"


def remove_environments(venvs: Path, suite: str) -> None:
    """Remove every checkout's environment of a Debian release: its Python goes."""
    for folder in venvs.glob(f"{suite}-*"):
        shutil.rmtree(folder)


def _remove_abandoned(venvs: Path) -> None:
    """Remove the environments whose checkout is gone, so that trials in temporary clones leave nothing."""
    for stamp in venvs.glob("*/.installed"):
        checkout = json.loads(stamp.read_text()).get("checkout")
        if checkout is None or not Path(checkout).is_dir():
            shutil.rmtree(stamp.parent)


def inside_environment(environment: Mapping[str, str], venvs: Path) -> dict[str, str]:
    """The caller's environment without what points at the caller's own Python.

    pip's cache is beside the environments: what was built once is there when a root folder is made anew.
    """
    kept = {key: value for key, value in environment.items() if key not in _FOREIGN}
    return {**kept, "PIP_CACHE_DIR": str(venvs / ".cache")}
