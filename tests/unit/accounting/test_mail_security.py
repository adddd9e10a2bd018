"""Mail over STARTTLS and TLS with a login, against a mail server with a certificate of its own authority."""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from mlcost_accounting.alerts.channels import Channel, load_channels
from mlcost_accounting.alerts.events import Event
from mlcost_accounting.alerts.senders import SendError, send

from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# On TLS from the first byte the server has no STARTTLS to demand before a login, and warns.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
EVENT = Event(key="k", kind="threshold", target="account nlp", subject="80 % used", body="Details.")
PASSWORD = "s3cret words"


class Keeper:
    """Keeps the mails that a server is handed, and how each came."""

    def __init__(self) -> None:
        self.mails: list[tuple[bytes, bool, bool]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        over_tls = session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        self.mails.append((envelope.original_content, over_tls, bool(session.authenticated)))
        return "250 kept"


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """A certificate authority that this process trusts, as a site's own would be."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


@contextmanager
def server(authority: trustme.CA, how: str, name: str = "127.0.0.1") -> Iterator[tuple[Keeper, int]]:
    """A mail server that lets nobody send without a login; yields its keeper and port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    keeper = Keeper()

    def authenticator(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        right = (data.login, data.password) == (b"alerts", PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    options: dict[str, Any] = {"authenticator": authenticator, "auth_required": how != "plain"}
    if how == "tls":
        options |= {"ssl_context": context, "auth_require_tls": False}  # it is TLS from the first byte
    elif how == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    controller = Controller(keeper, hostname="127.0.0.1", port=0, **options)
    # With port 0 aiosmtpd would ask port 0 whether it serves: find a free one first.
    controller.port = _free_port()
    controller.start()
    try:
        yield keeper, controller.port
    finally:
        controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """A file with the right password in its first line."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\nnot this\n")
    return str(path)


def channel(port: int, password_file: str, **changes: Any) -> Channel:
    """A mail channel with a login."""
    fields: dict[str, Any] = {
        "name": "m", "kind": "mail", "to": ("lead@example.org",), "host": "127.0.0.1", "port": port,
        "user": "alerts", "password_file": password_file, "timeout_s": 10.0,
    }  # fmt: skip
    return Channel(**(fields | changes))


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_a_mail_goes_encrypted_and_signed_in(how: str, authority: trustme.CA, password_file: str) -> None:
    """Both ways, with a login that the server demands, the mail arrives whole."""
    with server(authority, how) as (keeper, port):
        send(EVENT, channel(port, password_file, security=how))
    ((content, over_tls, signed_in),) = keeper.mails
    assert b"Subject: [mlcost] 80 % used" in content
    assert (over_tls, signed_in) == (True, True)


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_a_wrong_password_is_told_without_it(how: str, authority: trustme.CA, tmp_path: Path) -> None:
    """The failure is the server's answer; the password that was tried is not in it."""
    (tmp_path / "wrong").write_text("tr1ed words\n")
    with server(authority, how) as (keeper, port), pytest.raises(SendError, match="535") as caught:
        send(EVENT, channel(port, str(tmp_path / "wrong"), security=how))
    assert "tr1ed" not in str(caught.value)
    assert keeper.mails == []


def test_a_server_without_starttls_gets_no_password(authority: trustme.CA, password_file: str) -> None:
    """A server, or somebody on the way, that does not offer encryption is not spoken to in the clear."""
    with server(authority, "plain") as (keeper, port), pytest.raises(SendError, match="STARTTLS"):
        send(EVENT, channel(port, password_file, security="starttls"))
    assert keeper.mails == []


@pytest.mark.parametrize("how", ["starttls", "tls"])
def test_another_servers_certificate_is_refused(how: str, authority: trustme.CA, password_file: str) -> None:
    """A certificate of a trusted authority for another name, and one of an unknown authority."""
    for issuer, name in ((authority, "mail.example.org"), (trustme.CA(), "127.0.0.1")):
        with (
            server(issuer, how, name) as (keeper, port),
            pytest.raises(SendError, match="certificate verify failed"),
        ):
            send(EVENT, channel(port, password_file, security=how))
        assert keeper.mails == []


@pytest.mark.parametrize(
    ("line", "why"), [('user = "x"', "needs security"), ('user = "x"\nsecurity = "tls"', "password_file")]
)
def test_a_login_in_the_clear_is_no_channel(line: str, why: str, tmp_path: Path) -> None:
    """The settings are refused before any password is sent."""
    path = tmp_path / "alerts.toml"
    path.write_text(f'[[channel]]\nname = "m"\nkind = "mail"\nto = ["a@b"]\n{line}\n')
    with pytest.raises(ConfigError, match=why):
        load_channels(path)
