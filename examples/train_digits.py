"""Train a small network on scikit-learn's handwritten digits; it may be stopped and resumed at any step.

    mlcost submit ... -- python examples/train_digits.py --steps 2000

The final loss of an interrupted and resumed run is bit for bit that of an undisturbed one with the same seed.
"""

from __future__ import annotations

import argparse
import time

import torch
from sklearn.datasets import load_digits
from torch import nn

from mlcost_hpc.train import BatchOrder, Run


def load() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 1797 images as floats in 0..1, shape (1797, 64), and their classes, shape (1797,)."""
    digits = load_digits()
    return torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)


def build(width: int) -> nn.Module:
    """Return a small classifier; dropout makes the result depend on the random numbers as well."""
    return nn.Sequential(
        nn.Linear(64, width),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


def main() -> None:
    """Train, print the loss now and then, and end with the loss and accuracy over all images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="training steps (default: 2000)")
    parser.add_argument("--batch", type=int, default=64, help="images per step (default: 64)")
    parser.add_argument("--width", type=int, default=128, help="size of the hidden layers (default: 128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", default="runs/digits", help="run folder outside the launcher")
    parser.add_argument("--save-every", default="auto", help='steps ("500"), a time ("10m") or "auto"')
    parser.add_argument(
        "--step-time",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="sleep until a step has taken this long, to make a demonstration last (default: full speed)",
    )
    arguments = parser.parse_args()
    save_every = int(arguments.save_every) if arguments.save_every.isdigit() else arguments.save_every

    torch.manual_seed(arguments.seed)
    images, labels = load()
    model = build(arguments.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.steps)
    order = BatchOrder(len(images), arguments.batch, seed=arguments.seed)

    with Run(arguments.dir, save_every=save_every) as run:
        run.state(model=model, optimizer=optimizer, schedule=schedule, data=order)
        for step in run.steps(arguments.steps):
            began = time.monotonic()
            batch = order.batch(step)
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 100 == 0 or step == arguments.steps - 1:
                print(f"step {step} loss {loss.item():.6f}", flush=True)
            time.sleep(max(0.0, began + arguments.step_time - time.monotonic()))

        model.eval()
        with torch.no_grad():
            scores = model(images)
            loss = nn.functional.cross_entropy(scores, labels)
            accuracy = (scores.argmax(1) == labels).double().mean()
        print(f"final loss {loss.item()!r} accuracy {accuracy.item():.4f}", flush=True)


if __name__ == "__main__":
    main()
