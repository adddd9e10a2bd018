"""Share of the time that is useful under frequent stops: our interval, a fixed 15 minutes, no saves at all.

Writes build/bench/train_useful_time.json. The policies are the real ones, run against a simulated clock with
stops drawn at random (seeded); costs of saves and restarts are those of a model of 1 GiB.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from mlcost_hpc.train.interval import Adaptive, EverySeconds, SavePolicy, estimate_mtbf

OUT = Path("build/bench")


class Never:
    """No saves: what a script without checkpoints does."""

    def is_due(self, *, step: int, seconds: float) -> bool:  # noqa: ARG002
        """Return False."""
        return False

    def steps_until_due(self, step: int) -> int | None:  # noqa: ARG002
        """Return None: never."""
        return None

    def learn(self, *, save_s: float, write_s: float, mtbf_s: float) -> None:
        """Nothing to learn."""


def simulate(
    make: type[SavePolicy] | object,
    *,
    mtbf_s: float,
    save_s: float,
    restart_s: float,
    hours: float,
    warned: float,
    seed: int,
) -> float:
    """Return the useful share of the time.

    Args:
        make: returns a fresh policy; each attempt has a new one, as a new process has.
        mtbf_s: mean time between stops.
        save_s: cost of a save.
        restart_s: from a stop until training goes on.
        hours: simulated time.
        warned: share of the stops that come with a warning long enough for a save.
        seed: of the stops.
    """
    draw = random.Random(seed)
    step_s, now, saved, end = 1.0, 0.0, 0.0, hours * 3600
    losses = 0
    while now < end:
        policy = make()  # type: ignore[operator]
        policy.learn(save_s=save_s, write_s=save_s, mtbf_s=estimate_mtbf(losses, now))
        stop_at = now + draw.expovariate(1 / mtbf_s)
        is_warned = draw.random() < warned and not isinstance(policy, Never)
        done, since = saved, now
        while now + step_s <= min(stop_at, end):
            now += step_s
            done += step_s
            if policy.is_due(step=int(done), seconds=now - since):
                if now + save_s > stop_at:
                    break
                now += save_s
                saved, since = done, now
                policy.learn(save_s=save_s, write_s=save_s, mtbf_s=estimate_mtbf(losses, now))
        now = max(now, min(stop_at, end))
        if now >= end:
            saved = done  # the horizon is no stop
        elif is_warned:
            saved = done
            now += save_s
        else:
            losses += 1
        now += restart_s
    return saved / end


def main() -> None:
    """Simulate, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=48.0)
    parser.add_argument("--save-s", type=float, default=2.0)
    parser.add_argument("--restart-s", type=float, default=30.0)
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    policies = {"ours": Adaptive, "fixed 15 min": lambda: EverySeconds(900), "none": Never}
    report: dict[str, object] = {
        "hours": options.hours,
        "save_s": options.save_s,
        "restart_s": options.restart_s,
    }
    cases: list[dict[str, object]] = []
    for minutes in (3, 5, 10, 30):
        for warned in (0.0, 0.9):
            shares = {
                name: sum(
                    simulate(
                        make, mtbf_s=minutes * 60, save_s=options.save_s, restart_s=options.restart_s,
                        hours=options.hours, warned=warned, seed=seed,
                    )
                    for seed in range(5)
                ) / 5
                for name, make in policies.items()
            }  # fmt: skip
            cases.append({"stop_every_min": minutes, "warned_share": warned, "useful": shares})
            told = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
            print(f"a stop every {minutes} min, {warned:.0%} warned: {told}")
    report["cases"] = cases
    (OUT / "train_useful_time.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
