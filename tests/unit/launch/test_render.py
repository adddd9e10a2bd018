"""Batch scripts as text."""

import shlex
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.catalog import Catalog
from mlcost_hpc.config import load_settings
from mlcost_hpc.errors import ConfigError, UsageError
from mlcost_hpc.launch.array import ArrayOrder
from mlcost_hpc.launch.assemble import assemble
from mlcost_hpc.launch.launcher import Launcher
from mlcost_hpc.launch.need import Need
from mlcost_hpc.launch.render import Templates, quote_comment, quote_sbatch, quote_shell
from mlcost_hpc.launch.script import JobScript
from mlcost_hpc.slurm.fake import FakeSlurm
from tests.unit.launch.conftest import GIB

GOLDEN = Path(__file__).parents[2] / "golden"
RUN = Path("/runs/it's 50% mine")


def script(launcher: Launcher, kind: str) -> JobScript:
    need = Need(gpus=2, gpu_memory=60 * GIB, time_s=7200, account="nlp", qos="high")
    if kind in ("torchrun", "ranks"):
        choice = launcher.choose(Need(gpus=2, nodes=1, time_s=600, gpu_types=("h100",)))
        processes = "torchrun" if kind == "torchrun" else "per-gpu"
        words = ["python", "ddp.py"]
        return launcher.script(words, choice, name=kind, run_dir=RUN, processes=processes)
    if kind == "train":
        command = ("python", "train.py", "--name", "a 'b' $c")
        return launcher.script(command, launcher.choose(need), name="tr ain", run_dir=RUN)
    choice = launcher.choose(Need(cpus=2, time_s=600))
    order = ArrayOrder(
        command=("python", "-m", "thing"), tasks=10, name="array", run_dir=RUN, throttle=4,
        dependency="afterok:5", comment="x#y",
    )  # fmt: skip
    return launcher.array_script(order, choice)


@pytest.mark.parametrize("kind", ["train", "array", "torchrun", "ranks"])
def test_script_is_as_recorded(launcher: Launcher, kind: str) -> None:
    """The whole text of a batch script is what tests/golden holds."""
    text = launcher.render(script(launcher, kind))
    path = GOLDEN / f"{kind}.sbatch"
    if not path.exists():
        path.write_text(text)
    assert text == path.read_text(), f"delete {path} and run this test again to record the new text"


@pytest.mark.parametrize("kind", ["train", "array", "torchrun", "ranks"])
def test_script_is_valid_bash(launcher: Launcher, kind: str) -> None:
    """Bash can read what the templates write."""
    text = launcher.render(script(launcher, kind))
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(st.text(st.characters(exclude_categories=("C",)), min_size=1))
def test_shell_words_come_back_whole(text: str) -> None:
    """Any printable text survives the shell as one word."""
    assert shlex.split(quote_shell(text)) == [text]


@given(st.text())
def test_comment_never_ends_its_line(text: str) -> None:
    """No text in a comment can begin a new line of the script."""
    assert len(f"x{quote_comment(text)}x".splitlines()) == 1


def test_sbatch_values_are_quoted_by_its_own_rules() -> None:
    """Inside sbatch's single quotes a backslash escapes; plain words stay plain."""
    assert quote_sbatch("it's a\\b") == "'it\\'s a\\\\b'"
    assert quote_sbatch("a100:2") == "a100:2"


def test_sites_template_wins(launcher: Launcher, tmp_path: Path) -> None:
    """A template in the site's folder replaces ours, and can extend the others."""
    (tmp_path / "train.sbatch.j2").write_text(
        '{% extends "base.sbatch.j2" %}{% block setup %}\nmodule load cuda\n{% endblock %}'
    )
    text = Templates(tmp_path).render(script(launcher, "train"))
    assert "module load cuda\n" in text
    assert "#SBATCH --partition=spot\n" in text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("{{ name }}", "without a filter"),
        ("{{ nmae | shell }}", "'nmae' is undefined"),
        ("{% if %}", "line 1"),
    ],
)
def test_wrong_site_template_is_refused(launcher: Launcher, tmp_path: Path, body: str, words: str) -> None:
    """An unquoted value, a misspelt name or a syntax error in a site's template is one clear error."""
    (tmp_path / "train.sbatch.j2").write_text(body)
    with pytest.raises(ConfigError, match=words):
        Templates(tmp_path).render(script(launcher, "train"))


def test_missing_template_is_named(launcher: Launcher) -> None:
    """A template that is not there is named."""
    wanted = msgspec.structs.replace(script(launcher, "train"), template="gone.j2")
    with pytest.raises(ConfigError, match=r"gone\.j2"):
        Templates().render(wanted)


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\x1b[2Jb"])
def test_control_characters_in_a_name_are_refused(launcher: Launcher, name: str) -> None:
    """A job name that would begin a new line of the script is refused."""
    choice = launcher.choose(Need())
    with pytest.raises(UsageError, match="control character"):
        launcher.script(["true"], choice, name=name, run_dir=Path("/r"))


def test_options_without_a_value_stand_alone(launcher: Launcher) -> None:
    """``--exclusive`` is no ``--exclusive=``, which sbatch refuses; values are quoted as everywhere."""
    order = ArrayOrder(
        command=("python",), tasks=2, name="a", run_dir=RUN, extra={"exclusive": "", "constraint": "a&b c"}
    )
    text = launcher.render(launcher.array_script(order, launcher.choose(Need(cpus=2, time_s=600))))
    assert "\n#SBATCH --exclusive\n" in text
    assert f"\n#SBATCH --constraint={quote_sbatch('a&b c')}\n" in text


def test_options_cannot_smuggle_lines_in(launcher: Launcher) -> None:
    """A value with a line break would be a line of the script."""
    order = ArrayOrder(
        command=("python",), tasks=2, name="a", run_dir=RUN, extra={"constraint": "x\n#SBATCH --qos=y"}
    )
    with pytest.raises(UsageError, match="value of --constraint"):
        launcher.array_script(order, launcher.choose(Need(cpus=2, time_s=600)))


def test_budgets_of_the_settings_are_in_the_script(
    slurm: FakeSlurm, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often a job is requeued is the site's or the user's word."""
    path = tmp_path / "mlcost.toml"
    path.write_text("[requeue]\nerrors = 0\npreemptions = 7\n")
    monkeypatch.setenv("MLCOST_STATE", str(tmp_path / "state"))
    launcher = assemble(load_settings(path), slurm, catalog)
    choice = launcher.choose(Need(gpus=1, time_s=36000))
    text = launcher.render(launcher.script(["true"], choice, name="job", run_dir=tmp_path))
    assert "budget=0" in text
    assert "budget=7" in text
