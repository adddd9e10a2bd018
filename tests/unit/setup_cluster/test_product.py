"""The product's environments for the Pythons of root folders: whose they are, and when they go."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual_cluster.product import Product, environment_of, remove_environments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class _OnlyFolders:
    """A system on which every command makes one folder, and remembers nothing else."""

    folder: Path

    def command(self, _argv: Sequence[str]) -> list[str]:
        return ["mkdir", "-p", str(self.folder)]


def _checkout(folder: Path) -> Path:
    folder.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).write_text("")
    return folder


def _install(venvs: Path, checkout: Path) -> Product:
    product = Product(environment_of(venvs, "trixie", checkout), checkout)
    product.install(_OnlyFolders(product.folder), {}, ["train"], lambda _words: None)
    return product


def test_two_checkouts_have_two_environments(tmp_path: Path) -> None:
    """An editable installation points at one source tree: another checkout never gets to use it."""
    venvs = tmp_path / "venvs"
    one = _install(venvs, _checkout(tmp_path / "one"))
    two = Product(environment_of(venvs, "trixie", tmp_path / "two"), _checkout(tmp_path / "two"))
    assert one.installed_extras() == {"train"}
    assert two.installed_extras() is None


def test_an_environment_goes_with_its_checkout(tmp_path: Path) -> None:
    """The environment of a clone that was removed is removed by the next installation; others stay."""
    venvs = tmp_path / "venvs"
    gone = _install(venvs, _checkout(tmp_path / "gone"))
    kept = _install(venvs, _checkout(tmp_path / "kept"))
    shutil.rmtree(gone.checkout)
    _install(venvs, _checkout(tmp_path / "new"))
    assert not gone.folder.exists()
    assert kept.installed_extras() == {"train"}


def test_changed_dependencies_ask_for_a_new_installation(tmp_path: Path) -> None:
    """What was installed for an older list of dependencies does not count as installed."""
    product = _install(tmp_path / "venvs", _checkout(tmp_path / "one"))
    (product.checkout / "constraints.txt").write_text("torch==2.13.0\n")
    assert product.installed_extras() is None


def test_a_release_goes_with_all_its_environments(tmp_path: Path) -> None:
    """Removing a root folder removes the environments of its Python, whosever they are, and no other's."""
    venvs = tmp_path / "venvs"
    product = _install(venvs, _checkout(tmp_path / "one"))
    other = venvs / "testing-00000000"
    other.mkdir()
    remove_environments(venvs, "trixie")
    assert not product.folder.exists()
    assert other.exists()
