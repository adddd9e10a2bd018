"""What still has to run, and how it is packed."""

from hypothesis import given
from hypothesis import strategies as st

from mlcost_hpc.compress.manifest import Task
from mlcost_hpc.compress.pareto import dominates, front
from mlcost_hpc.compress.progress import missing, pack
from mlcost_hpc.compress.recipes import Recipe
from mlcost_hpc.compress.records import Result


def make_tasks(count: int) -> list[Task]:
    return [Task(id=f"{number:04}", model="m", recipe=Recipe(name="r")) for number in range(count)]


def test_only_what_is_missing_or_may_go_better_is_run() -> None:
    """Finished rows stay, also those that failed for good."""
    rows = {
        "0000": Result(task="0000", model="m", recipe="r", status="ok", reason=""),
        "0001": Result(task="0001", model="m", recipe="r", status="failed", cause="memory", reason=""),
        "0002": Result(task="0002", model="m", recipe="r", status="failed", cause="model", reason=""),
    }
    assert [task.id for task in missing(make_tasks(4), rows)] == ["0001", "0003"]


@given(st.lists(st.text(min_size=1), max_size=300, unique=True), st.integers(1, 9))
def test_packing_keeps_every_task_once_in_order(names: list[str], per: int) -> None:
    """Nothing is lost, and no pack is larger than was asked for."""
    packs = pack(names, per)
    assert [one for names_of_one in packs for one in names_of_one] == names
    assert all(1 <= len(names_of_one) <= per for names_of_one in packs)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=12))
def test_the_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    """Every candidate is on the front or beaten by one that is."""
    best = front(points, lambda point: (float(point[0]), float(point[1])))
    assert bool(best) == bool(points)
    for point in points:
        assert point in best or any(dominates(other, point) for other in best)
    assert not any(dominates(one, other) for one in best for other in best)
