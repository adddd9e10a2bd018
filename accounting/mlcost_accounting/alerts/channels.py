"""Where alerts go, as settings: mail, a Slack-compatible webhook, a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from mlcost_hpc.errors import ConfigError
from mlcost_hpc.tomlfile import convert_toml

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["mail", "webhook", "command"]
_ADDRESS = msgspec.Meta(pattern=r"^[^\s@<>,;]+@[^\s@<>,;]+$")


class Channel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to tell somebody.

    Attributes:
        name: its name.
        kind: what it is.
        only: targets it is for (``account nlp``); empty = all.
        to, sender: addresses (mail).
        host, port: mail server.
        security: ``starttls``, ``tls`` (from the first byte) or ``none``.
        user, password_file: login at the mail server; the password is the file's first line.
        url_file: file whose first line is the webhook's address; it is a secret.
        argv: the command; it reads the event as JSON from its standard input.
        timeout_s: seconds after which a try is given up.
    """

    name: str
    kind: Kind
    only: tuple[str, ...] = ()
    to: tuple[Annotated[str, _ADDRESS], ...] = ()
    sender: Annotated[str, _ADDRESS] = "mlcost@localhost"
    host: str = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 25
    security: Literal["starttls", "tls", "none"] = "none"
    user: str = ""
    password_file: str = ""
    url_file: str = ""
    argv: tuple[str, ...] = ()
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=300)] = 20.0

    def check(self) -> None:
        """Raise when something that its kind needs is missing, or a password would be sent in the clear.

        Raises:
            ConfigError: naming what is missing.
        """
        key = {"mail": "to", "webhook": "url_file", "command": "argv"}[self.kind]
        if not getattr(self, key):
            raise ConfigError(f"alert channel {self.name!r}: a {self.kind} channel needs {key}")
        if self.user and self.security == "none":
            raise ConfigError(
                f'alert channel {self.name!r}: a login needs security = "starttls" or "tls": '
                "without it the password could be read on its way"
            )
        if self.user and not self.password_file:
            raise ConfigError(f"alert channel {self.name!r}: a login needs password_file")

    def wants(self, target: str) -> bool:
        """Return True when an event about a target goes here."""
        return not self.only or target in self.only


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    channel: tuple[Channel, ...] = ()


def load_channels(path: Path) -> list[Channel]:
    """Return the channels of a TOML file (``[[channel]]`` tables).

    Raises:
        ConfigError: naming the file and the key that is wrong.
    """
    channels = convert_toml(path, _File).channel
    if len({channel.name for channel in channels}) < len(channels):
        raise ConfigError(f"{path}: channel: two channels have the same name")
    for channel in channels:
        channel.check()
    return list(channels)
