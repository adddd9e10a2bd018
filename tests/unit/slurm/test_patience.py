"""Asking a silent controller again, within bounds."""

from collections.abc import Callable

import pytest

from mlcost_hpc.errors import SlurmCommandError, SlurmTimeoutError
from mlcost_hpc.slurm.patience import PAUSES_S, QUESTION_S, patiently, pauses


def answers(*said: object) -> Callable[[], object]:
    """Return a question that is answered, or raises, in this order."""
    left = iter(said)

    def ask() -> object:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


SILENCE = SlurmTimeoutError(["scontrol"], 30)


def test_silent_controller_is_asked_again() -> None:
    """The first answer counts, after growing pauses."""
    slept: list[float] = []
    assert patiently(answers(SILENCE, SILENCE, "here"), slept.append) == "here"
    assert slept == list(PAUSES_S[:2])


def test_silence_that_lasts_is_the_error() -> None:
    """The tries are bounded, and the last silence is told."""
    slept: list[float] = []
    with pytest.raises(SlurmTimeoutError):
        patiently(answers(*[SILENCE] * 20), slept.append)
    assert len(slept) <= len(PAUSES_S)


def test_slurms_word_is_not_asked_for_again() -> None:
    """A refusal is an answer."""
    with pytest.raises(SlurmCommandError):
        patiently(answers(SlurmCommandError(["scontrol"], 1, "", "no"), "here"), lambda _: None)


def test_slow_silence_ends_sooner() -> None:
    """Where each try takes long itself there are fewer of them."""
    clock = iter([0.0, 20.0, 40.0])
    assert list(pauses(QUESTION_S, lambda: next(clock))) == [PAUSES_S[0]]
