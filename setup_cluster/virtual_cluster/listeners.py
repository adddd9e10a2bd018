"""Who listens where, from /proc: a daemon is not disturbed by connections that say nothing."""

from __future__ import annotations

from pathlib import Path

_NET = Path("/proc/net")
_TCP_LISTEN = "0A"
_UNIX_ACCEPTS = 0x10000


def on_port(port: int) -> bool:
    """Whether somebody listens on the TCP port."""
    wanted = f":{port:04X}"
    for name in ("tcp", "tcp6"):
        for line in _lines(name):
            words = line.split()
            if words[1].endswith(wanted) and words[3] == _TCP_LISTEN:
                return True
    return False


def on_path(path: Path) -> bool:
    """Whether somebody accepts connections on the unix socket; a left-over file alone does not count."""
    wanted = str(path)
    for line in _lines("unix"):
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[7] == wanted and int(words[3], 16) & _UNIX_ACCEPTS:
            return True
    return False


def _lines(name: str) -> list[str]:
    try:
        return (_NET / name).read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6
        return []
