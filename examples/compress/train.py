"""Train the models of ``digits_models.py`` on scikit-learn's digits and write a compression plan for them.

python examples/compress/train.py --out build/digits
mlcost compress run build/digits/plan.toml
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
import digits_models

TEST = 540
MODELS = {
    "cnn": (digits_models.cnn, 3),
    "mlp": (digits_models.mlp, 12),
    "transformer": (digits_models.transformer, 8),
}


def images() -> tuple[np.ndarray, np.ndarray]:
    """Return 1797 images as floats in 0..1, (1797, 1, 32, 32), in a fixed random order, and their classes."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    small = digits.images[order].astype(np.float32) / 16
    return small.repeat(4, axis=1).repeat(4, axis=2)[:, None], digits.target[order].astype(np.int64)


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> None:
    """Train with AdamW and a one-cycle learning rate."""
    batches = -(-len(x) // 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * batches)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()


def plan_text(models: list[str], recipes: list[str]) -> str:
    """Return the plan."""
    lines = ['name = "digits"', f"recipes = {recipes!r}".replace("'", '"'), ""]
    for name in models:
        lines += [
            "[[model]]",
            f'name = "{name}"',
            f'factory = "digits_models.py:{name}"',
            f'state = "{name}.pt"',
            'data = "test.npz"',
            'training = "train.npz"',
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Train, write weights, data and plan."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--recipes", nargs="+", default=["int8-dynamic"], help="recipes of the plan")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    x, y = images()
    np.savez(out / "train.npz", image=x[TEST:], labels=y[TEST:])
    np.savez(out / "test.npz", image=x[:TEST], labels=y[:TEST])
    shutil.copy(Path(__file__).parent / "digits_models.py", out)
    for name in arguments.models:
        build, epochs = MODELS[name]
        began = time.monotonic()
        torch.manual_seed(arguments.seed)
        model = build()
        train(model, torch.from_numpy(x[TEST:]), torch.from_numpy(y[TEST:]), epochs)
        with torch.no_grad():
            right = (
                (model(torch.from_numpy(x[:TEST])).argmax(1) == torch.from_numpy(y[:TEST])).double().mean()
            )
        torch.save(model.state_dict(), out / f"{name}.pt")
        weights = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"{name}: {weights / 1e6:.2f} million weights, accuracy {right:.4f}, "
            f"{time.monotonic() - began:.1f} s",
            flush=True,
        )
    (out / "plan.toml").write_text(plan_text(arguments.models, arguments.recipes), encoding="utf-8")
    print(f"wrote {out / 'plan.toml'}")


if __name__ == "__main__":
    main()
