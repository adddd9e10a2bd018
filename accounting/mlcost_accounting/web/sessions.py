"""Signed-in browsers: a random cookie for each, kept in memory only: a restart signs everybody out."""

from __future__ import annotations

import secrets
import threading
from typing import NamedTuple

COOKIE = "mlcost_session"
LASTS_S = 12 * 3600
_MOST = 10_000


class _Session(NamedTuple):
    token: str
    expires: float


class Sessions:
    """The signed-in browsers of one process; safe to use from several threads.

    A session remembers the token it began with, and the token is looked up at every request: a revoked token
    ends its sessions at once.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    def begin(self, token: str, now: float) -> str:
        """Return the cookie of a new session."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions = {key: value for key, value in self._sessions.items() if value.expires > now}
            while len(self._sessions) >= _MOST:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[cookie] = _Session(token, now + LASTS_S)
        return cookie

    def token_of(self, cookie: str, now: float) -> str:
        """Return the token a session began with; empty when there is no such session."""
        with self._lock:
            session = self._sessions.get(cookie)
        return session.token if session is not None and session.expires > now else ""

    def end(self, cookie: str) -> None:
        """Sign a browser out."""
        with self._lock:
            self._sessions.pop(cookie, None)
