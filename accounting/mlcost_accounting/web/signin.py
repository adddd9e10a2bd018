"""Who is asking: a user named by a trusted proxy, the owner of a token, or nobody."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.web.sessions import COOKIE
from mlcost_accounting.web.tokens import TokenFile
from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from mlcost_accounting.web.sessions import Sessions

SECRET_HEADER = "X-Mlcost-Proxy-Secret"  # noqa: S105  # the header's name


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """How users are recognised.

    Attributes:
        user_header: header in which a proxy names the user; empty = no proxy is trusted.
        proxies: addresses that may send it.
        proxy_secret: what the proxy must send too; empty = nothing.
        tokens: the token file; None = no tokens.
    """

    user_header: str = ""
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    proxy_secret: str = ""
    tokens: TokenFile | None = None

    def user_of(self, connection: HTTPConnection, sessions: Sessions) -> str:
        """Return the user who is asking; empty when nobody can be recognised."""
        if self.user_header and self.is_trusted_proxy(connection):
            # A proxy that sends the header twice passes on one that a client made up: neither is believed.
            names = connection.headers.getlist(self.user_header)
            if len(names) == 1 and names[0].strip():
                return str(names[0].strip())
        now = datetime.now(UTC)
        token = bearer_token(connection) or sessions.token_of(
            connection.cookies.get(COOKIE, ""), now.timestamp()
        )
        return self.tokens.user_of(token, now) if token and self.tokens is not None else ""

    def is_trusted_proxy(self, connection: HTTPConnection) -> bool:
        """Return True when the peer itself (not what it forwards) is a proxy of the list."""
        if connection.client is None:
            return False
        try:
            address = ip_address(connection.client.host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        if not any(address in network for network in self.proxies):
            return False
        sent = connection.headers.get(SECRET_HEADER, "")
        return not self.proxy_secret or hmac.compare_digest(sent.encode(), self.proxy_secret.encode())


def bearer_token(connection: HTTPConnection) -> str:
    """Return the token of an ``Authorization: Bearer`` header; empty when there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def parse_networks(texts: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return addresses and networks.

    Raises:
        ConfigError: when a text is none.
    """
    try:
        return tuple(ip_network(text) for text in texts)
    except ValueError as error:
        raise ConfigError(f"web.trusted_proxies: {error}") from None
