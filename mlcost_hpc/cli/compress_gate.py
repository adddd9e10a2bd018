"""What ``mlcost compress submit`` asks before it sends a batch away: do the published budgets allow it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mlcost_hpc.compress.batch import Batch
    from mlcost_hpc.compress.manifest import Manifest
    from mlcost_hpc.compress.submit import Orders
    from mlcost_hpc.launch.launcher import Launcher


def obey_for_batch(
    launcher: Launcher,
    batch: Batch,
    manifest: Manifest,
    orders: Orders,
    over_budget: str | None,
) -> Orders:
    """Refuse a batch that a hard budget does not allow: all its missing tasks, each until its time limit.

    What models share is made once for many tasks, and is left out.

    Returns:
        The orders; with a comment that records an override where there is one.

    Raises:
        BudgetError: a hard budget refuses, and nobody overrides it.
        NoOfferError: nothing on the cluster fits a task.
    """
    from mlcost_hpc.cli.budget_gate import obey
    from mlcost_hpc.cli.compress_batches import missing
    from mlcost_hpc.compress.submissions import base_memory, read_submitted, states_by_task, under_way
    from mlcost_hpc.compress.submit import ask_states
    from mlcost_hpc.launch.budget_gate import Stake

    todo = missing(batch, manifest)
    if not todo or launcher.gate.published is None:
        return orders
    submitted = read_submitted(batch)
    waiting = under_way(states_by_task(submitted, ask_states(launcher.slurm, submitted)))
    tasks = [task for task in todo if task.id not in waiting]
    if not tasks:
        return orders
    memory = max(orders.need.memory or 0, *(base_memory(manifest, task) for task in tasks))
    best = launcher.choose(msgspec.structs.replace(orders.need, memory=memory)).best
    stake = Stake.of(best, -(-len(tasks) // orders.per_index))
    comment = obey(launcher.gate, orders.need.account, [stake], over_budget)
    if not comment:
        return orders
    return msgspec.structs.replace(orders, options={**orders.options, "comment": comment})
