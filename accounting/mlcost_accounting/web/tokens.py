"""Access tokens: shown once, kept as hashes in a private file.

A token is 32 random bytes, so a plain SHA-256 of it cannot be searched through; no slow hash is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from filelock import FileLock

from mlcost_hpc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "mlcost_"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept.

    Attributes:
        user: whose it is.
        name: what it is for; unique for a user.
        digest: SHA-256 of the token, hexadecimal.
        expires: UTC; None = never.
    """

    user: str
    name: str
    digest: str
    expires: datetime | None = None


class TokenFile:
    """The tokens of a site.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self) -> list[Token]:
        """Return all tokens.

        Raises:
            ConfigError: when the file is no token file, or others may read or write it.
        """
        try:
            mode = self.path.stat().st_mode
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror}") from None
        if mode & 0o077:
            raise ConfigError(f"{self.path} must be private: chmod 600 {self.path}")
        try:
            return msgspec.json.decode(content, type=list[Token])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise ConfigError(f"{self.path}: this is no token file: {error}") from None

    def issue(self, user: str, name: str, days: int | None, now: datetime) -> str:
        """Make a token and return it; it can never be read again.

        Raises:
            UsageError: when the user has one of that name.
        """
        token = _PREFIX + secrets.token_urlsafe(32)
        expires = None if days is None else now.astimezone(UTC) + timedelta(days=days)
        with self._lock():
            tokens = self.all()
            if any((kept.user, kept.name) == (user, name) for kept in tokens):
                raise UsageError(
                    f"{user} has a token {name!r} already: revoke it first, or take another name"
                )
            self._write([*tokens, Token(user=user, name=name, digest=digest_of(token), expires=expires)])
        return token

    def revoke(self, user: str, name: str) -> None:
        """Take a token away.

        Raises:
            UsageError: when there is none of that name.
        """
        with self._lock():
            tokens = self.all()
            kept = [token for token in tokens if (token.user, token.name) != (user, name)]
            if len(kept) == len(tokens):
                raise UsageError(f"{user} has no token {name!r}")
            self._write(kept)

    def user_of(self, token: str, now: datetime) -> str:
        """Return whose token it is; empty when it is nobody's or has expired."""
        digest = digest_of(token)
        found = ""
        for kept in self.all():
            # All are compared, each in constant time: how long it takes tells nothing.
            if hmac.compare_digest(kept.digest, digest) and (kept.expires is None or now < kept.expires):
                found = kept.user
        return found

    def _lock(self) -> FileLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(f"{self.path}.lock", mode=0o600)

    def _write(self, tokens: list[Token]) -> None:
        fresh = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(tokens)))
        fresh.replace(self.path)


def digest_of(token: str) -> str:
    """Return the hash under which a token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()
