"""Deleting and moving checkpoints, and the command for it."""

import csv
import io
import json
from pathlib import Path

import pytest

from mlcost_hpc.cli.main import main
from mlcost_hpc.errors import CheckpointError
from mlcost_hpc.train import Checkpointer, lifecycle, store

DAY = 86400.0


@pytest.fixture
def run(tmp_path):
    """Return a run with the checkpoints of steps 1 to 5, scores 5 to 1."""
    folder = tmp_path / "runs" / "digits"
    keeper = Checkpointer(folder / "checkpoints", keep_last=9)
    for step in range(1, 6):
        keeper.save(step, {"step": step}, score=6.0 - step)
    return folder


def steps(run):
    return [entry.step for entry in store.list_checkpoints(run / "checkpoints")]


def call(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["checkpoints", *map(str, arguments)])
    out, err = capsys.readouterr()
    return stopped.value.code, out, err


def damage(entry):
    path = entry.path / "shared.pt"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("rule", "gone"),
    [
        (lifecycle.Rule(keep_last=2), [1, 2, 3]),
        (lifecycle.Rule(keep_last=2, keep_best=4), [1]),
        (lifecycle.Rule(keep_last=1), [1, 2, 3, 4]),
        (lifecycle.Rule(keep_last=1, older_than_s=DAY), []),
        (lifecycle.Rule(keep_last=9), []),
    ],
)
def test_the_rule_says_what_goes(run, rule, gone):
    """Newest, best and young ones stay."""
    made = lifecycle._made_at(store.list_checkpoints(run / "checkpoints")[0])
    assert [entry.step for entry in lifecycle.plan(run, rule, now=made + 60)] == gone


def test_the_newest_whole_one_stays_though_newer_ones_have_the_right_size(run):
    """Damage that only the checksums show must not make the last good checkpoint go."""
    for entry in store.list_checkpoints(run / "checkpoints")[:3]:
        damage(entry)
    planned = lifecycle.plan(run, lifecycle.Rule(keep_last=1), now=1e12)
    assert 2 not in [entry.step for entry in planned]


def test_nothing_goes_while_nothing_is_whole(run):
    """A run whose checkpoints are all damaged is left for a person."""
    for entry in store.list_checkpoints(run / "checkpoints"):
        damage(entry)
    assert lifecycle.plan(run, lifecycle.Rule(keep_last=1), now=1e12) == []


def test_a_dry_run_changes_nothing(run, capsys):
    """Without --yes the command only shows, and says so."""
    code, out, err = call(capsys, "prune", run, "--format", "csv")
    assert code == 0
    assert [row["step"] for row in csv.DictReader(io.StringIO(out))] == ["1", "2", "3"]
    assert "nothing was changed" in err
    assert steps(run) == [5, 4, 3, 2, 1]


def test_prune_deletes_what_it_showed(run, capsys):
    """With --yes they are gone, and no remains are left."""
    code, out, _ = call(capsys, "prune", run.parent, "--keep-last", 1, "--yes", "--format", "json")
    assert code == 0
    assert {row["state"] for row in json.loads(out)} == {"deleted"}
    assert [path.name for path in (run / "checkpoints").iterdir()] == [store.checkpoint_name(5)]


def test_a_moved_checkpoint_is_still_found(run, tmp_path, capsys):
    """Tier leaves links; a run whose newer checkpoints are damaged restores from the shelf."""
    shelf = tmp_path / "cheap"
    code, _, _ = call(capsys, "tier", run, "--keep-last", 1, "--to", shelf, "--yes")
    assert code == 0
    entries = store.list_checkpoints(run / "checkpoints")
    assert [entry.path.is_symlink() for entry in entries] == [False, True, True, True, True]
    damage(entries[0])
    restored, _ = Checkpointer(run / "checkpoints").restore()
    assert restored.shared == {"step": 4}


def test_a_run_deletes_its_own_moved_checkpoints_too(run, tmp_path, capsys):
    """keep_last reaches what was moved: link and copy go together."""
    call(capsys, "tier", run, "--keep-last", 1, "--to", tmp_path / "cheap", "--yes")
    Checkpointer(run / "checkpoints", keep_last=2).save(6, {})
    assert steps(run) == [6, 5]
    assert list((tmp_path / "cheap").glob("*/*")) == []


@pytest.mark.parametrize("name", ["precious", store.checkpoint_name(0)])
def test_a_planted_link_leads_nowhere(run, tmp_path, capsys, name):
    """A user's link to something else is taken away; what it points to stays."""
    precious = tmp_path / "other" / name
    precious.mkdir(parents=True)
    (precious / "thesis.tex").write_text("x")
    (run / "checkpoints" / store.checkpoint_name(0)).symlink_to(precious)
    code, _, _ = call(capsys, "prune", run, "--yes")
    assert code == 0
    assert steps(run) == [5, 4]
    assert (precious / "thesis.tex").exists()


def test_a_copy_that_arrives_damaged_is_given_up(run, tmp_path, monkeypatch):
    """The original is only taken away once its copy has the right checksums."""

    def copy_badly(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:-1] + b"?")

    monkeypatch.setattr(lifecycle, "_copy_to_disk", copy_badly)
    entry = store.list_checkpoints(run / "checkpoints")[-1]
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        lifecycle.move(entry, tmp_path / "cheap")
    assert steps(run) == [5, 4, 3, 2, 1]
    assert not entry.path.is_symlink()
    assert not [path for path in (tmp_path / "cheap").rglob("*") if path.is_file()]


def test_list_shows_damage_and_hides_terminal_escapes(run, capsys):
    """--verify finds a flipped bit; a hostile folder name cannot steer the terminal."""
    damage(store.list_checkpoints(run / "checkpoints")[0])
    hostile = run.with_name("a\x1b[31mb")
    run.rename(hostile)
    code, out, _ = call(capsys, "list", hostile, "--verify", "--format", "csv")
    assert code == 0
    first, second, *_ = csv.DictReader(io.StringIO(out))
    assert first["state"] == "damaged: shared.pt does not match its checksum"
    assert second["state"] == "whole"
    assert "\x1b" not in out


def test_a_missing_folder_is_one_clear_line(tmp_path, capsys):
    """Exit code 1 and the path."""
    code, _, err = call(capsys, "list", tmp_path / "none")
    assert code == 1
    assert err == f"mlcost: {tmp_path / 'none'} is no folder\n"
