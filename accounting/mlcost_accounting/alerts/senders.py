"""Sends one alert over one channel. A failure raises; when to try again is decided elsewhere."""

from __future__ import annotations

import smtplib
import ssl
import urllib.request
from email.message import EmailMessage
from email.utils import formatdate
from hashlib import blake2b
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

import msgspec

from mlcost_hpc.errors import MlcostError, SlurmError
from mlcost_hpc.slurm.process import run

if TYPE_CHECKING:
    from mlcost_accounting.alerts.channels import Channel
    from mlcost_accounting.alerts.events import Event


class SendError(MlcostError):
    """An alert could not be sent; ``str()`` says why in one line, without secrets."""


def send(event: Event, channel: Channel) -> None:
    """Send an alert.

    Raises:
        SendError: when it did not arrive, as far as the channel can tell.
    """
    _SENDERS[channel.kind](event, channel)


def mail_of(event: Event, channel: Channel) -> EmailMessage:
    """Return the mail of an event; the same event has the same Message-ID, so that a repeat shows as one."""
    mail = EmailMessage()
    mail["Subject"] = f"[mlcost] {_one_line(event.subject)}"
    mail["From"] = channel.sender
    mail["To"] = ", ".join(channel.to)
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = f"<{digest_of(event)}@{channel.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(f"{event.body}\n")
    return mail


def digest_of(event: Event) -> str:
    """Return a short name of an event for headers."""
    return blake2b(event.key.encode(), digest_size=12).hexdigest()


def _send_mail(event: Event, channel: Channel) -> None:
    context = ssl.create_default_context()
    try:
        server = (
            smtplib.SMTP_SSL(channel.host, channel.port, timeout=channel.timeout_s, context=context)
            if channel.security == "tls"
            else smtplib.SMTP(channel.host, channel.port, timeout=channel.timeout_s)
        )
        with server:
            if channel.security == "starttls":
                server.starttls(context=context)
            if channel.user:
                server.login(channel.user, _secret(channel.password_file))
            refused = server.send_message(mail_of(event, channel))
    except (smtplib.SMTPException, OSError) as error:
        words = _one_line(str(error)) or type(error).__name__
        raise SendError(f"mail server {channel.host}:{channel.port}: {words}") from None
    if refused:
        raise SendError(f"mail server {channel.host} refused {', '.join(refused)}")


def _send_webhook(event: Event, channel: Channel) -> None:
    url = _secret(channel.url_file)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SendError(f"{channel.url_file}: the first line is no http(s) address")
    text = f"*{_slack(event.subject)}*\n{_slack(event.body)}"
    request = urllib.request.Request(  # noqa: S310  # the scheme was looked at above
        url,
        data=msgspec.json.encode({"text": text}),
        headers={"Content-Type": "application/json", "Idempotency-Key": digest_of(event)},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=channel.timeout_s) as answer:
            answer.read(1024)
    except HTTPError as error:
        with error:  # it holds the open connection
            raise SendError(f"webhook at {parts.hostname} answered {error.code}") from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise SendError(f"webhook at {parts.hostname}: {_one_line(str(reason))}") from None


def _run_command(event: Event, channel: Channel) -> None:
    text = msgspec.json.encode(event).decode()
    try:
        run(channel.argv, timeout_s=channel.timeout_s, stdin=text)
    except SlurmError as error:
        raise SendError(f"command {channel.argv[0]}: {_one_line(str(error))}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A webhook that moves is a failure to be seen: its address is a secret and is not sent elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def _secret(path: str) -> str:
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SendError(f"{path}: {error.strerror}") from None
    if not lines:
        raise SendError(f"{path} is empty")
    return lines[0].strip()


def _slack(text: str) -> str:
    """Return a text without Slack's control characters: names must not ping people or hide links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _one_line(text: str) -> str:
    """Return a text that cannot begin another header or line."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


_SENDERS = {"mail": _send_mail, "webhook": _send_webhook, "command": _run_command}
