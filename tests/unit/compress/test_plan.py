"""Plans, recipes and manifests."""

from pathlib import Path

import pytest

from mlcost_hpc.compress.manifest import Manifest, expand
from mlcost_hpc.compress.plan import Plan, load_plan
from mlcost_hpc.errors import ConfigError

MODEL = '[[model]]\nname = "linear"\nonnx = "linear.onnx"\ndata = "data.npz"\n'
RECIPE = 'name = "p"\nrecipes = ["r"]\n[[recipe]]\nname = "r"\nsteps = [{{method = "int8-dynamic", {}}}]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


def plan_of(folder: Path, head: str = 'name = "p"\nrecipes = ["int8-dynamic"]\n', model: str = MODEL) -> Plan:
    return load_plan(write(folder, head + model))


def manifest_of(folder: Path, **text: str) -> Manifest:
    return expand(plan_of(folder, **text), folder / "plan.toml")


def test_a_plan_becomes_one_task_a_model_and_recipe(tmp_path: Path, labelled: Path) -> None:
    """Tasks carry absolute paths, so that they run anywhere on the cluster."""
    manifest = manifest_of(tmp_path)
    assert [(task.model, task.recipe.name) for task in manifest.tasks] == [("linear", "int8-dynamic")]
    assert manifest.models[0].spec.onnx == str(tmp_path / "linear.onnx")


@pytest.mark.parametrize(
    ("head", "model", "words"),
    [
        (
            'name = "p"\n',
            MODEL.replace("linear.onnx", "gone.onnx"),
            "model 'linear': onnx: gone.onnx is not a file",
        ),
        ('name = "p"\nrecipes = ["int9"]\n', MODEL, "'int9' is no method"),
        ('name = "../p"\n', MODEL, "'../p' is no name"),
        ('name = "p"\n', MODEL + MODEL, "model: 'linear' is there twice"),
        ('name = "p"\n', "", "there is no model"),
        ('name = "p"\n', '[[model]]\nname = "m"\n', "give either onnx, or factory and state"),
        ('name = "p"\n', MODEL + 'metric = "best"\n', "metric: 'best' is not file.py:function"),
        ('name = "p"\ntreads = 1\n', MODEL, "treads"),
        (
            RECIPE.format("wight = 1"),
            MODEL,
            "wight",
        ),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_queued(
    tmp_path: Path, labelled: Path, head: str, model: str, words: str
) -> None:
    """Each mistake is named with its place."""
    with pytest.raises(ConfigError, match=r"plan\.toml") as caught:
        plan_of(tmp_path, head, model)
    assert words in str(caught.value)


def test_all_missing_files_are_named_at_once(tmp_path: Path, labelled: Path) -> None:
    """Nobody has to mend a plan one file at a time."""
    with pytest.raises(ConfigError) as caught:
        plan_of(tmp_path, model=MODEL.replace("linear.onnx", "a.onnx").replace("data.npz", "b.npz"))
    assert "a.onnx is not a file" in str(caught.value)
    assert "b.npz is not a file" in str(caught.value)


def test_the_same_inputs_give_the_same_task(tmp_path: Path, labelled: Path) -> None:
    """A task's id does not depend on when or in what order a plan is written."""
    first = manifest_of(tmp_path).tasks[0].id
    more = MODEL.replace('"linear"', '"again"') + MODEL
    assert first in {task.id for task in manifest_of(tmp_path, model=more).tasks}


@pytest.mark.parametrize(
    "head",
    [
        'name = "p"\nrecipes = ["int8-dynamic"]\nthreads = 2\n',
        'name = "p"\nrecipes = ["int8-dynamic"]\n[limits]\nmax_loss = 0.5\n',
        'name = "p"\nrecipes = ["int8-dynamic"]\nseed = 1\n',
        RECIPE.format("per_channel = true"),
    ],
)
def test_a_setting_that_changes_results_changes_the_task(tmp_path: Path, labelled: Path, head: str) -> None:
    """Old results are never taken for what was asked now."""
    assert manifest_of(tmp_path).tasks[0].id != manifest_of(tmp_path, head=head).tasks[0].id


def test_other_bytes_in_the_model_are_another_task(tmp_path: Path, labelled: Path) -> None:
    """A model that was trained again is compressed again, under the same name."""
    first = manifest_of(tmp_path).tasks[0].id
    with (tmp_path / "linear.onnx").open("ab") as file:
        file.write(b"\0")
    assert manifest_of(tmp_path).tasks[0].id != first
