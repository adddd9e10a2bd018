"""Who runs this process."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """Return the user's name; the number where it has none, as in a container with a foreign user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError before Python 3.13
        return str(os.getuid())
