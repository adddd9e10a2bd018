"""A small training run for the tests, started as a process of its own.

    python worker.py FOLDER STEPS [--save-every N] [--hold-at FUNCTION] [--hold-step N] ...

Prints ``step N`` before each step and at the end ``result <sum of all parameters> <random numbers>``. With
``--hold-at`` the process says ``holding`` and waits for ever when the second save reaches that function;
with ``--hold-step`` it says so inside that step and goes on after a line on stdin.
"""

from __future__ import annotations

import argparse
import random
import sys
import threading

import numpy as np
import torch

from mlcost_hpc.train import BatchOrder, Run, checkpoint


def hold_second_call(name: str) -> None:
    home = checkpoint.store if name == "publish" else checkpoint
    function = getattr(home, name)
    calls = 0

    def wrapped(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls > 2:
            print("holding", flush=True)
            threading.Event().wait()
        return function(*arguments, **options)

    setattr(home, name, wrapped)


class Noisy:
    """Samples with random augmentation, which needs the loader's seeds to be right."""

    def __init__(self, data):
        self.data = data

    def __getitem__(self, index):
        return self.data[index] + 0.1 * torch.randn(8) + 0.1 * random.random() + 0.1 * np.random.random()


class Momentum:
    """Gradient descent with momentum: has state like any optimizer, but starts two seconds sooner."""

    def __init__(self, model):
        self.parameters = list(model.parameters())
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]

    def step(self):
        with torch.no_grad():
            for parameter, velocity in zip(self.parameters, self.velocities, strict=True):
                velocity.mul_(0.9).add_(parameter.grad)
                parameter.sub_(velocity, alpha=0.01)

    def state_dict(self):
        return {"velocities": self.velocities}

    def load_state_dict(self, state):
        for velocity, saved in zip(self.velocities, state["velocities"], strict=True):
            velocity.copy_(saved)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("steps", type=int)
    parser.add_argument("--save-every", type=int, default=1000)
    parser.add_argument("--hold-at")
    parser.add_argument("--hold-step", type=int, default=-1)
    parser.add_argument("--loader-workers", type=int, default=0)
    parser.add_argument("--loader-context", default="fork")
    parser.add_argument("--saves", default="auto")
    options = parser.parse_args()
    if options.hold_at:
        hold_second_call(options.hold_at)

    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    data = torch.randn(96, 8)
    model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.Dropout(0.3), torch.nn.Linear(32, 1))
    optimizer = Momentum(model)
    generator = np.random.default_rng(7)
    order = BatchOrder(len(data), 16, seed=7)

    with Run(options.folder, save_every=options.save_every, saves=options.saves) as run:
        run.state(model=model, optimizer=optimizer, order=order, generator=generator)
        run.values["draws"] = 0.0
        batches = run.batches(
            Noisy(data),
            order,
            num_workers=options.loader_workers,
            multiprocessing_context=options.loader_context if options.loader_workers else None,
        )
        for step in run.steps(options.steps):
            print(f"step {step}", flush=True)
            batch = next(batches)
            if step == options.hold_step:
                print("holding", flush=True)
                sys.stdin.readline()
            noise = generator.random() + random.random() + np.random.random()
            run.values["draws"] += noise
            loss = (model(batch) * (1 + 0.01 * noise)).pow(2).mean()
            model.zero_grad()
            loss.backward()
            optimizer.step()
        total = sum(parameter.double().sum().item() for parameter in model.parameters())
        print(f"result {total!r} {run.values['draws']!r} {torch.rand(1).item()!r}", flush=True)


if __name__ == "__main__":
    main()
