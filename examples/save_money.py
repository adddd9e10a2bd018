"""What each cost helper saves, measured on the handwritten digits in a minute on a laptop.

python examples/save_money.py [early|resize|distill|accumulate|stage|precision|budget ...]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from mlcost_hpc.money import to_micros
from mlcost_hpc.train import (
    Accumulate,
    BatchOrder,
    BudgetGuard,
    EarlyStopping,
    MixedPrecision,
    ProgressiveSize,
    Run,
    Stopped,
    distillation_loss,
    stage,
)
from mlcost_hpc.train.cost import compute_cost

if TYPE_CHECKING:
    from mlcost_hpc.train.precision import Choice


def load() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return training images (1200, 64), their classes, and 597 images and classes for validation."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    mixed = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, labels = images[mixed], labels[mixed]
    return images[:1200], labels[:1200], images[1200:], labels[1200:]


def build(width: int) -> nn.Module:
    """Return a classifier with two layers."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))


def accuracy(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the share of right answers."""
    with torch.no_grad():
        return (model(images).argmax(1) == labels).double().mean().item()


def early() -> str:
    """Stop when the validation loss no longer falls."""
    x, y, vx, vy = load()
    order = BatchOrder(len(x), 64)
    results = {}
    for name, patience in (("all steps", 10**9), ("early", 5)):
        model, stopping = build(128), EarlyStopping(patience, min_delta=1e-3)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        steps = 0
        for step in range(2000):
            batch = order.batch(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            steps = step + 1
            if steps % 50 == 0:
                with torch.no_grad():
                    loss = functional.cross_entropy(model(vx), vy).item()
                if stopping.update(loss):
                    break
        results[name] = (steps, accuracy(model, vx, vy))
    (all_steps, full), (few, stopped) = results["all steps"], results["early"]
    return f"early stopping: {few} of {all_steps} steps, accuracy {stopped:.3f} instead of {full:.3f}"


def resize() -> str:
    """Train a small convolutional network on small pictures first."""
    x, y, vx, vy = load()
    x, vx = (functional.interpolate(t.reshape(-1, 1, 8, 8), size=(32, 32), mode="bilinear") for t in (x, vx))
    order = BatchOrder(len(x), 64)
    results = []
    for plan in (((0.0, 32),), ((0.0, 16), (0.5, 24), (0.8, 32))):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 10),
        )  # fmt: skip
        sizes = ProgressiveSize(plan, total=150)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        began = time.process_time()
        for step in range(150):
            batch = order.batch(step)
            optimizer.zero_grad()
            functional.cross_entropy(model(sizes.resize(x[batch], step)), y[batch]).backward()
            optimizer.step()
        results.append((time.process_time() - began, accuracy(model, vx, vy), sizes.relative_cost()))
    (full_s, full, _), (some_s, some, expected) = results
    return (
        f"progressive sizes: {some_s / full_s:.0%} of the time (pixels say {expected:.0%}), "
        f"accuracy {some:.3f} instead of {full:.3f}"
    )


def distill() -> str:
    """Teach a model of a fiftieth of the size, from 200 labels and a teacher's word on the rest."""
    x, y, vx, vy = load()
    teacher = build(256)
    optimizer = torch.optim.Adam(teacher.parameters(), lr=3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        functional.cross_entropy(teacher(x), y).backward()
        optimizer.step()
    students = []
    for with_teacher in (False, True):
        student = build(6)
        optimizer = torch.optim.Adam(student.parameters(), lr=1e-2)
        for _ in range(600):
            optimizer.zero_grad()
            if with_teacher:
                loss = distillation_loss(student(x), teacher(x), temperature=3.0)
            else:
                loss = functional.cross_entropy(student(x[:200]), y[:200])
            loss.backward()
            optimizer.step()
        students.append(accuracy(student, vx, vy))
    size = sum(p.numel() for p in student.parameters()) / sum(p.numel() for p in teacher.parameters())
    alone, taught = students
    return (
        f"distillation: a student of {size:.1%} of the teacher's size reaches {taught:.3f} "
        f"instead of {alone:.3f} (teacher {accuracy(teacher, vx, vy):.3f})"
    )


def accumulate() -> str:
    """Train with a batch of 256 where only 40 samples fit at a time."""
    x, y, _, _ = load()

    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = build(64)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 40:
                raise torch.OutOfMemoryError("as a small GPU would say")
            return self.inner(images)

    small, large = Narrow(), build(64)
    parts = Accumulate(small)
    loss = parts((x[:256], y[:256]), lambda a, b: functional.cross_entropy(small(a), b))
    whole = functional.cross_entropy(large(x[:256]), y[:256])
    whole.backward()
    pairs = zip(small.parameters(), large.parameters(), strict=True)
    worst = max(
        (a.grad - b.grad).abs().max().item() for a, b in pairs if a.grad is not None and b.grad is not None
    )
    return (
        f"accumulation: found parts of {parts.part} for a batch of 256; loss {loss.item():.6f} and "
        f"{whole.item():.6f}, gradients differ by at most {worst:.0e}"
    )


def stage_data() -> str:
    """Copy a data set of 2,000 files to the local disk once, then use it again."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "shared", "data")
        source.mkdir(parents=True)
        for number in range(2000):
            (source / f"{number}.bin").write_bytes(b"x" * 4096)
        seconds = []
        for _ in range(2):
            began = time.monotonic()
            stage(source, Path(folder, "local"))
            seconds.append(time.monotonic() - began)
    return f"staging: first job {seconds[0]:.2f} s, later jobs on the node {seconds[1]:.2f} s"


def precision() -> str:
    """Train in what the GPU is fastest in; without one, show that bf16 learns as well."""
    x, y, vx, vy = load()
    has_gpu = torch.cuda.is_available()
    device = "cuda" if has_gpu else "cpu"
    x, y, vx, vy = (tensor.to(device) for tensor in (x, y, vx, vy))
    order = BatchOrder(len(x), 256)
    results = []
    choices: tuple[Choice, Choice] = ("fp32", "auto" if has_gpu else "bf16")
    for choice in choices:
        amp, model = MixedPrecision(choice), build(4096 if has_gpu else 128).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        began = time.monotonic()
        for step in range(150):
            batch = order.batch(step)
            with amp.autocast():
                loss = functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            amp.step(loss, optimizer)
        if has_gpu:
            torch.cuda.synchronize()
        results.append((time.monotonic() - began, accuracy(model, vx, vy), amp.precision.dtype))
    (plain_s, plain, _), (mixed_s, mixed, dtype) = results
    speed = f"{plain_s / mixed_s:.1f} times as fast" if has_gpu else "no GPU here to be faster on"
    return f"mixed precision: {dtype}, {speed}, accuracy {mixed:.3f} instead of {plain:.3f}"


def budget() -> str:
    """Stop a run when its money is spent, and say what a step costs."""
    x, y, vx, vy = load()
    order = BatchOrder(len(x), 64)
    model = build(128)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    price = Decimal(3600)  # 1.00 a second, so that the money is soon spent
    guard = BudgetGuard(Decimal(3), per_hour=price)
    code, step = None, 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            with Run(folder, environment={}) as run:
                run.state(model=model, optimizer=optimizer)
                for step in run.steps(10**6):
                    batch = order.batch(step)
                    optimizer.zero_grad()
                    functional.cross_entropy(model(x[batch]), y[batch]).backward()
                    optimizer.step()
                    guard.check(run)
        except Stopped as stopped:
            code = stopped.code
        found = compute_cost(to_micros(price), run.elapsed_s, step + 1, 10**6)
    return (
        f"budget: stopped after step {step + 1} with exit code {code}, saved; {found.describe()}; "
        f"accuracy {accuracy(model, vx, vy):.3f}"
    )


PARTS = {
    "early": early,
    "resize": resize,
    "distill": distill,
    "accumulate": accumulate,
    "stage": stage_data,
    "precision": precision,
    "budget": budget,
}


def main() -> None:
    """Run the chosen parts, all of them by default, and print one line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    unknown = sorted(set(chosen) - set(PARTS))
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}")
    for name in chosen:
        print(PARTS[name](), flush=True)


if __name__ == "__main__":
    main()
