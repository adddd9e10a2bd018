"""Delivers alerts from the outbox: each to every channel that wants it, tried again until it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlcost_accounting.alerts.senders import SendError, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlcost_accounting.alerts.channels import Channel
    from mlcost_accounting.ledger.outbox import Outbox

FIRST_WAIT_S = 60
"""Seconds until the second try; each further wait is twice as long."""

LONGEST_WAIT_S = 6 * 3600
"""Seconds between tries at most."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What a round of deliveries did.

    Attributes:
        sent: deliveries that arrived.
        failed: (channel, why) of those that did not and will be tried again.
    """

    sent: int
    failed: tuple[tuple[str, str], ...]


def wait_after(tries: int) -> int:
    """Return the seconds to wait after so many failed tries."""
    return int(min(FIRST_WAIT_S * 2 ** min(tries - 1, 20), LONGEST_WAIT_S))


def deliver(outbox: Outbox, channels: Iterable[Channel], now: int) -> Delivered:
    """Send what is due. Two processes may do this at once: a delivery is claimed by one before it is sent.

    Args:
        outbox: the ledger's outbox.
        channels: the channels of the settings; what waits for others stays.
        now: this moment (UTC seconds).
    """
    known: Mapping[str, Channel] = {channel.name: channel for channel in channels}
    sent, failed = 0, []
    for name in known:
        while (delivery := outbox.claim(name, now)) is not None:
            try:
                send(delivery.event, known[name])
            except SendError as error:
                outbox.failed(delivery, str(error), now + wait_after(delivery.tries))
                failed.append((name, str(error)))
            else:
                outbox.sent(delivery, now)
                sent += 1
    return Delivered(sent=sent, failed=tuple(failed))
