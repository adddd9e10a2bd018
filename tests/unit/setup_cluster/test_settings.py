"""Settings: their texts and what a change costs."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_cluster import settings
from virtual_cluster.errors import UsageError
from virtual_cluster.settings import GpuTracking, Preempt, PreemptMode, Settings, Switch

ANY = st.builds(
    Settings,
    grace=st.integers(0, 86_400),
    user_signal=st.sampled_from(Switch),
    kill_wait=st.integers(0, 86_400),
    cred_expire=st.integers(5, 86_400),
    preempt=st.sampled_from(Preempt),
    preempt_mode=st.sampled_from(PreemptMode),
    gpu_tracking=st.sampled_from(GpuTracking),
)


@given(ANY)
def test_a_record_gives_the_same_settings_back(value: Settings) -> None:
    """Settings survive being written down and read."""
    assert settings.from_json(settings.to_json(value)) == value


def test_a_record_of_another_release_is_read() -> None:
    """Unknown keys are left out, missing ones get their default."""
    assert settings.from_json({"grace": 3, "of_tomorrow": "yes"}) == replace(Settings(), grace=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grace=0", ("grace", 0)),
        ("user-signal=on", ("user_signal", Switch.ON)),
        ("preempt-mode=cancel", ("preempt_mode", PreemptMode.CANCEL)),
    ],
)
def test_assignments(text: str, expected: tuple[str, object]) -> None:
    """NAME=VALUE with the names of the command line."""
    assert settings.parse_assignment(text) == expected


@pytest.mark.parametrize(
    "text",
    ["grace", "grace=-1", "grace=1.5", "grace=²", "cred-expire=4", "user-signal=yes", "speed=9", "__doc__=x"],
)
def test_wrong_assignments_are_usage_errors(text: str) -> None:
    """A wrong name or value is refused before anything changes."""
    with pytest.raises(UsageError):
        settings.parse_assignment(text)


def test_every_setting_is_explained() -> None:
    """The command line offers each setting, with help."""
    assert list(settings.HELP) == list(asdict(Settings()))


def test_what_a_change_costs() -> None:
    """A grace time or kill wait is only read again; a preemption type needs new daemons."""
    plain = Settings()
    assert not settings.needs_restart(plain, replace(plain, grace=0, kill_wait=1))
    assert settings.needs_restart(plain, replace(plain, grace=0, preempt=Preempt.QOS))
    assert settings.needs_restart(plain, replace(plain, cred_expire=60))
