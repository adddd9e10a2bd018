"""The name of who runs this process."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from mlcost_hpc.people import user_name

if TYPE_CHECKING:
    import pytest

NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_a_user_without_a_name_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that the system has no name for is no reason to fail."""
    unknown = max(entry.pw_uid for entry in pwd.getpwall()) + 12345
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: unknown)
    assert user_name() == str(unknown)


def test_a_user_with_a_name_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's name comes first, as for other programs."""
    monkeypatch.setenv("LOGNAME", "ana")
    assert user_name() == "ana"
