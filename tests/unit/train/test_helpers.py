"""The small helpers that save money."""

import os
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from mlcost_hpc.errors import MlcostError, UsageError
from mlcost_hpc.train import (
    Accumulate,
    BudgetGuard,
    EarlyStopping,
    MixedPrecision,
    ProgressiveSize,
    Run,
    Stopped,
    cost,
    distillation_loss,
    stage,
    staging,
    store,
)
from mlcost_hpc.train.attempts import read_attempts
from mlcost_hpc.train.precision import choose_precision


@pytest.mark.parametrize(
    ("device", "capability", "dtype", "scaling"),
    [
        ("cuda", (9, 0), torch.bfloat16, False),  # H100
        ("cuda", (8, 0), torch.bfloat16, False),  # A100
        ("cuda", (7, 5), torch.float16, True),  # T4
        ("cuda", (7, 0), torch.float16, True),  # V100
        ("cuda", (6, 1), torch.float32, False),  # P40: no tensor cores
        ("cpu", None, torch.float32, False),
    ],
)
def test_precision_follows_what_the_gpu_can_do(device, capability, dtype, scaling):
    """bf16 from Ampere on, fp16 with scaling on Volta and Turing, nothing on older ones."""
    assert choose_precision("auto", device, capability) == (dtype, scaling)


def test_an_unknown_precision_is_refused():
    """The known ones are in the message."""
    with pytest.raises(UsageError, match="auto, fp32, bf16, fp16"):
        choose_precision("fp8", "cuda", (9, 0))


@pytest.mark.parametrize("choice", ["auto", "bf16"])
def test_training_in_mixed_precision_learns(choice):
    """The loss falls, gradients are clipped, the weights stay float32, the state is restored."""
    torch.manual_seed(0)
    model, amp = torch.nn.Linear(8, 1), MixedPrecision(choice, "cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(64, 8)
    losses = []
    for _ in range(30):
        with amp.autocast():
            loss = functional.mse_loss(model(x), x.sum(1, keepdim=True))
        optimizer.zero_grad()
        amp.step(loss, optimizer, clip_norm=1.0)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert model.weight.dtype is torch.float32
    MixedPrecision(choice, "cpu").load_state_dict(amp.state_dict())


class Small(torch.nn.Linear):
    """A model on a GPU that has memory for so many samples."""

    room = 5

    def forward(self, x):
        if len(x) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(x)


def loss_of(model):
    return lambda x, y: functional.mse_loss(model(x), y)


def test_accumulation_finds_the_size_that_fits_and_gives_the_same_gradient():
    """40 samples, room for 5: parts of 5 (by halving), and the gradient of the whole batch."""
    torch.manual_seed(0)
    model = Small(6, 1)
    x, y = torch.randn(40, 6), torch.randn(40, 1)
    accumulate = Accumulate(model)
    loss = accumulate((x, y), loss_of(model))
    assert accumulate.part == 5
    found = model.weight.grad.clone()
    model.room = 99
    model.zero_grad()
    whole = functional.mse_loss(model(x), y)
    whole.backward()
    torch.testing.assert_close(found, model.weight.grad)
    torch.testing.assert_close(loss, whole.detach())


@given(st.integers(1, 40), st.integers(1, 40))
def test_parts_of_any_size_give_the_mean_over_the_batch(size, part):
    """Also when the last part is smaller than the others."""
    model = torch.nn.Linear(2, 1)
    x, y = torch.randn(size, 2), torch.randn(size, 1)
    loss = Accumulate(model, part=part)((x, y), loss_of(model))
    torch.testing.assert_close(loss, functional.mse_loss(model(x), y).detach())


def test_the_size_that_fits_survives_a_restart():
    """A resumed run does not run out of memory again first."""
    model = Small(6, 1)
    accumulate = Accumulate(model)
    accumulate((torch.randn(40, 6), torch.randn(40, 1)), loss_of(model))
    other = Accumulate(model)
    other.load_state_dict(accumulate.state_dict())
    assert other.part == 5


def test_when_not_even_one_sample_fits_it_is_an_error():
    """One clear line instead of an endless search."""
    model = Small(6, 1)
    model.room = 0
    with pytest.raises(MlcostError, match="not even one sample"):
        Accumulate(model)((torch.randn(4, 6), torch.randn(4, 1)), loss_of(model))


def test_early_stopping_waits_for_its_patience():
    """Improvement by less than min_delta, and NaN, count as none; the count survives a restart."""
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    assert [stopping.update(value) for value in (1.0, 0.95, 0.8, float("nan"))] == [False] * 4
    other = EarlyStopping(patience=2, min_delta=0.1)
    other.load_state_dict(stopping.state_dict())
    assert other.update(0.75)
    assert other.best == 0.8


def test_a_run_stopped_early_is_finished(tmp_path):
    """run.stop() ends as finished, with the note, and starting again costs nothing."""
    done = []

    def train():
        with Run(tmp_path, environment={}) as run:
            for step in run.steps(100):
                done.append(step)
                if step == 3:
                    run.stop("good enough")

    train()
    with pytest.raises(Stopped) as stopped:
        train()
    assert stopped.value.code == 0
    assert done == [0, 1, 2, 3]
    assert [attempt.reason for attempt in read_attempts(tmp_path)] == ["finished", "finished"]
    assert store.list_checkpoints(tmp_path / "checkpoints")[0].step == 4


def test_progressive_sizes_depend_on_the_step_only():
    """Each share of the run has its size, and the cost is that of the pixels."""
    sizes = ProgressiveSize(((0.0, 16), (0.5, 24), (0.8, 32)), total=10)
    assert [sizes.size(step) for step in range(10)] == [16] * 5 + [24] * 3 + [32] * 2
    assert sizes.resize(torch.zeros(2, 3, 32, 32), 0).shape == (2, 3, 16, 16)
    full = torch.zeros(2, 3, 32, 32)
    assert sizes.resize(full, 9) is full
    assert sizes.relative_cost() == pytest.approx(0.5 * 0.25 + 0.3 * 0.5625 + 0.2)


@pytest.mark.parametrize("plan", [(), ((0.1, 8),), ((0.0, 8), (0.0, 9)), ((0.0, 8), (1.0, 9))])
def test_a_senseless_plan_of_sizes_is_refused(plan):
    """It must begin at 0 and rise."""
    with pytest.raises(UsageError):
        ProgressiveSize(plan, total=10)


def test_distillation_is_least_where_the_student_agrees():
    """Zero for equal scores, no gradient into the teacher, labels weighed in."""
    scores = torch.randn(8, 5)
    assert distillation_loss(scores, scores).item() == pytest.approx(0, abs=1e-6)
    student = torch.randn(8, 5, requires_grad=True)
    teacher = scores.clone().requires_grad_()
    labels = torch.arange(8) % 5
    distillation_loss(student, teacher, labels).backward()
    assert teacher.grad is None
    assert student.grad is not None
    only_labels = distillation_loss(student, teacher, labels, weight=0.0)
    torch.testing.assert_close(only_labels, functional.cross_entropy(student, labels))


def test_cost_is_exact():
    """$3.60 an hour, 1000 s, 250 of 1000 steps: $1.00 spent, 0.4 cents a step, $3.00 to go."""
    found = cost.compute_cost(3_600_000, 1000.0, 250, 1000)
    assert found == cost.Cost(spent=1_000_000, per_step=4_000, remaining=3_000_000)
    assert found.describe() == "spent $1.0000, $0.004000 a step, $3.0000 to go"
    assert cost.compute_cost(3_600_000, 0.0, 0, 10) == cost.Cost(spent=0, per_step=None, remaining=None)


def test_the_price_comes_from_the_launcher():
    """A price that is none is an error that names the variable."""
    assert cost.price_from({}) is None
    assert cost.price_from({"MLCOST_PRICE_PER_HOUR": "3.25"}) == 3_250_000
    with pytest.raises(UsageError, match="MLCOST_PRICE_PER_HOUR='free'"):
        cost.price_from({"MLCOST_PRICE_PER_HOUR": "free"})


def test_a_spent_budget_saves_and_leaves_with_exit_code_4(tmp_path):
    """It is not requeued; started again it stops at once, for earlier attempts were paid for too."""
    done = []
    for _ in range(2):
        with pytest.raises(Stopped) as stopped, Run(tmp_path, environment={}) as run:  # noqa: PT012
            guard = BudgetGuard(Decimal("0.000001"), per_hour=Decimal(3600))
            guard.check(run)
            for step in run.steps(100):
                done.append(step)
                guard.check(run)
        assert stopped.value.code == 4
    assert len(done) <= 1
    first, second = read_attempts(tmp_path)
    assert (first.reason, second.reason) == ("budget", "budget")
    assert not (tmp_path / "requeue-me").exists()
    assert not (tmp_path / "finished.json").exists()


def test_budget_guard_knows_the_launchers_price():
    """In a job of the launcher the guard needs the limit only; elsewhere it says how to name the price."""
    stops = []
    run = SimpleNamespace(elapsed_s=3600.0, stop_for_budget=stops.append)
    environment = {"MLCOST_PRICE_PER_HOUR": "3.712000"}
    BudgetGuard(Decimal("3.72"), environment=environment).check(run)
    assert stops == []
    BudgetGuard(Decimal("3.71"), environment=environment).check(run)
    assert stops == ["budget spent: 3.71 of 3.71"]
    with pytest.raises(UsageError, match="MLCOST_PRICE_PER_HOUR"):
        BudgetGuard(Decimal(1), environment={})


def test_staging_copies_once_and_again_only_when_the_source_changed(tmp_path):
    """The second call returns the same copy without copying; a changed file makes a new one."""
    source = tmp_path / "shared" / "data"
    (source / "sub").mkdir(parents=True)
    (source / "a.bin").write_bytes(b"1")
    (source / "sub" / "b.bin").write_bytes(b"2")
    local = tmp_path / "local"
    first = stage(source, local)
    assert (first / "sub" / "b.bin").read_bytes() == b"2"
    assert local in first.parents
    inode = (first / "a.bin").stat().st_ino
    again = stage(source, local)
    assert (again / "a.bin").stat().st_ino == inode
    (source / "a.bin").write_bytes(b"123")
    changed = stage(source, local)
    assert changed != first
    assert (changed / "a.bin").read_bytes() == b"123"


def test_staging_a_single_file(tmp_path):
    """The copy keeps the file's name."""
    (tmp_path / "x.csv").write_text("1")
    found = stage(tmp_path / "x.csv", tmp_path / "local")
    assert (found.name, found.read_text()) == ("x.csv", "1")


def test_data_that_does_not_fit_is_used_where_it_is(tmp_path, monkeypatch, capsys):
    """A full local disk costs speed, not the job."""
    (tmp_path / "x.csv").write_text("1")
    monkeypatch.setattr(staging, "_SPARE", 2.0)
    assert stage(tmp_path / "x.csv", tmp_path / "local") == tmp_path / "x.csv"
    assert "does not fit" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["open", "link"])
def test_a_place_prepared_by_somebody_else_is_refused(tmp_path, kind):
    """On a shared /tmp another user could slip in other data."""
    (tmp_path / "x.csv").write_text("1")
    home = tmp_path / "local" / f"mlcost-data-{os.geteuid()}"
    home.parent.mkdir()
    if kind == "open":
        home.mkdir()
        home.chmod(0o777)
    else:
        (tmp_path / "theirs").mkdir()
        home.symlink_to(tmp_path / "theirs")
    with pytest.raises(MlcostError, match="somebody else"):
        stage(tmp_path / "x.csv", tmp_path / "local")


def test_missing_data_is_named():
    """One clear line."""
    with pytest.raises(MlcostError, match="there is no data at /none"):
        stage(Path("/none"))


def test_peak_memory_is_that_of_the_fullest_gpu(monkeypatch):
    """Of two GPUs the one that held most counts; without a GPU, or before one is used, nothing is known."""
    from mlcost_hpc.train.gpu_memory import peak_gpu_memory

    assert peak_gpu_memory() is None
    for name, answer in (("is_available", True), ("is_initialized", True), ("device_count", 2)):
        monkeypatch.setattr(f"torch.cuda.{name}", lambda answer=answer: answer)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda number: (3, 5)[number])
    assert peak_gpu_memory() == 5
