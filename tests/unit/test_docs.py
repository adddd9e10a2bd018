"""The documentation agrees with the program."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlcost_hpc import __version__
from mlcost_hpc.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def test_generated_pages_are_what_the_program_says() -> None:
    """`make docs` would change nothing."""
    # In a process of its own: click keeps a command's help option as its first caller made it.
    script = ROOT / "docs" / "generate.py"
    done = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), f"{done.stdout}run make docs\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_resolve(page: Path) -> None:
    """No page links to a file that is not there."""
    links = re.findall(r"\[[^\]]*\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_command_is_in_the_readme_or_a_guide() -> None:
    """A command nobody tells about is a command nobody finds."""
    prose = "".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "cli.md")
    assert [name for name in COMMANDS if f"mlcost {name}" not in prose] == []


def test_the_changelog_knows_this_version() -> None:
    """The version of the package has an entry in the changelog."""
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_projects_version_is_written_once() -> None:
    """pyproject.toml and the package agree."""
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
