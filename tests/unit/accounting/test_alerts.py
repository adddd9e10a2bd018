"""Alerts: one for each crossing, delivered over real sockets until they arrive, lost never, doubled never."""

from __future__ import annotations

import json
import threading
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from ledger_kit import Books, make_kinds, row
from mlcost_accounting.accounts import AccountTree
from mlcost_accounting.alerts.channels import Channel, load_channels
from mlcost_accounting.alerts.delivery import FIRST_WAIT_S, LONGEST_WAIT_S, deliver, wait_after
from mlcost_accounting.alerts.events import Event, Watch, watch_budget
from mlcost_accounting.alerts.senders import SendError, mail_of, send
from mlcost_accounting.budgets.records import Budget, BudgetStatus
from mlcost_accounting.budgets.status import status_of
from mlcost_accounting.budgets.watch import watch_all
from mlcost_accounting.ledger.budget_book import BudgetBook
from mlcost_accounting.ledger.outbox import Outbox
from mlcost_accounting.ledger.store import open_ledger
from sinks import http_sink, mail_sink

from mlcost_hpc.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

TODAY = date(2026, 11, 25)
NOW = 1_795_590_000
EVENT = Event(
    key="budget/x/1", kind="threshold", target="account nlp", subject="80 % used", body="Line one.\nTwo."
)


def status_at(percent: float, **changes: object) -> BudgetStatus:
    fields: dict[str, object] = {
        "name": "x", "scope": "account", "target": "nlp", "amount": 10_000, "since": date(2026, 11, 1),
    }  # fmt: skip
    budget = Budget(**(fields | changes))  # type: ignore[arg-type]
    return status_of(budget, TODAY, {TODAY: (int(percent * 100), 0)}, {})


def told(percents: list[float], **changes: object) -> list[str]:
    """The subjects told while a budget goes through these fillings."""
    watch: Watch | None = None
    subjects = []
    for percent in percents:
        events, watch = watch_budget(status_at(percent, **changes), watch, "EUR", TODAY.isoformat())
        subjects += [event.subject for event in events if event.kind == "threshold"]
    return subjects


def test_one_alert_for_each_crossing() -> None:
    """However often a budget is looked at, 80 and 100 per cent are told once each."""
    subjects = told([10, 79, 80, 81, 85, 99, 100, 120, 130])
    assert [subject.rpartition(": ")[2] for subject in subjects] == ["80 % used", "used up"]


def test_wavering_around_a_threshold_is_one_crossing() -> None:
    """A refund that takes a budget a little below and work that takes it above again is not news."""
    assert len(told([81, 79, 81, 78, 82, 76, 80])) == 1


def test_falling_well_below_makes_the_next_crossing_news() -> None:
    """Five points below, the crossing counts again, and its alert has a key of its own."""
    assert len(told([81, 74, 81])) == 2
    watch = None
    keys = []
    for percent in (81, 74, 81):
        events, watch = watch_budget(status_at(percent), watch, "EUR", "")
        keys += [event.key for event in events]
    assert len(set(keys)) == len(keys)


def test_several_thresholds_at_once_are_one_alert() -> None:
    """A jump from nothing to 105 per cent tells the highest only, and the lower ones never later."""
    assert len(told([0, 105, 106])) == 1


def test_a_new_period_begins_anew() -> None:
    """The memory of another month does not hide this month's crossing."""
    old = Watch(budget="x", period="2026-10-01", crossed=frozenset({"80", "100"}))
    events, watch = watch_budget(status_at(85), old, "EUR", "")
    assert len(events) == 1
    assert watch.period == "2026-11-01"


def test_a_budget_set_anew_is_watched_anew(tmp_path: Path) -> None:
    """A budget that replaces a crossed one of the same name tells its own crossing."""
    books = make_books(tmp_path / "ledger.db")
    channel = Channel(name="c", kind="command", argv=("true",))
    book, outbox = BudgetBook(books.ledger), Outbox(books.ledger)
    watch_all(books.ledger, AccountTree(), [channel], TODAY, NOW)
    (budget,) = book.all()
    book.remove(budget.name, author="root", now=NOW)
    book.add(budget, author="root", reason="", now=NOW)
    watch_all(books.ledger, AccountTree(), [channel], TODAY, NOW)
    assert len(outbox.waiting()) == 2
    books.ledger.close()


def test_an_overrun_is_told_before_it_happens_and_once() -> None:
    """When even the low end of the forecast is above the amount, that is news, one time."""
    days = {TODAY - timedelta(days=back): (100, 0) for back in range(1, 80)}
    budget = Budget(
        name="x", scope="account", target="nlp", amount=2900, since=date(2026, 1, 1), alert_percent=(100,)
    )
    status = status_of(budget, TODAY, days, {})
    events, watch = watch_budget(status, None, "EUR", TODAY.isoformat())
    assert [event.kind for event in events] == ["overrun"]
    assert "will not last until 2026-11-30" in events[0].subject
    assert watch_budget(status, watch, "EUR", TODAY.isoformat())[0] == []


def test_mail_arrives_whole_and_cannot_be_forged() -> None:
    """A mail has subject and body; a name with a line break begins no header of its own."""
    hostile = Event(
        key="k",
        kind="threshold",
        target="account x",
        subject="budget a\r\nBcc: all@example.org",
        body="b\n.\nc",
    )
    with mail_sink() as sink:
        channel = Channel(name="m", kind="mail", to=("lead@example.org",), host="127.0.0.1", port=sink.port)
        send(hostile, channel)
        (mail,) = sink.mails
    assert mail["Subject"] == "[mlcost] budget a Bcc: all@example.org"
    assert mail["Bcc"] is None
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == mail_of(hostile, channel)["Message-ID"]


def test_a_webhook_gets_slacks_format(tmp_path: Path) -> None:
    """The text is there, and a name cannot ping a channel."""
    with http_sink() as sink:
        (tmp_path / "url").write_text(f"http://127.0.0.1:{sink.port}/services/T0/secret\n")
        channel = Channel(name="w", kind="webhook", url_file=str(tmp_path / "url"))
        send(Event(key="k", kind="anomaly", target="t", subject="<!channel> & co", body="b"), channel)
        ((path, body, headers),) = sink.posts
    assert path == "/services/T0/secret"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"text": "*&lt;!channel&gt; &amp; co*\nb"}


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_a_failure_without_the_secret(status: int, tmp_path: Path) -> None:
    """The error names the host, never the address, and a redirect is not followed."""
    with http_sink() as sink:
        sink.status = status
        (tmp_path / "url").write_text(f"http://127.0.0.1:{sink.port}/secret\n")
        with pytest.raises(SendError, match=str(status)) as caught:
            send(EVENT, Channel(name="w", kind="webhook", url_file=str(tmp_path / "url")))
        assert len(sink.posts) == 1
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "gopher://x/", "http://"])
def test_only_web_addresses_are_webhooks(url: str, tmp_path: Path) -> None:
    """A file address would read local files."""
    (tmp_path / "url").write_text(f"{url}\n")
    with pytest.raises(SendError):
        send(EVENT, Channel(name="w", kind="webhook", url_file=str(tmp_path / "url")))


def test_a_command_reads_the_event(tmp_path: Path) -> None:
    """The command gets JSON on its standard input and runs without a shell; its failure is told."""
    target = tmp_path / "event.json"
    send(EVENT, Channel(name="c", kind="command", argv=("tee", str(target))))
    assert json.loads(target.read_text())["subject"] == "80 % used"
    with pytest.raises(SendError, match="exit 1"):
        send(EVENT, Channel(name="c", kind="command", argv=("false",)))


def test_waits_double_up_to_a_limit() -> None:
    """The first try again comes after a minute, later ones every six hours at most."""
    assert [wait_after(tries) for tries in (1, 2, 3)] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert wait_after(50) == LONGEST_WAIT_S


def make_books(path: Path, cost_hours: int = 4) -> Books:
    """A ledger in which nlp used 4 GPU-hours a day until today, and has a budget it has crossed."""
    books = Books(path, make_kinds())
    noon = int(datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC).timestamp())
    books.take(
        row(Submit=noon - 60, Start=noon, End=noon + cost_hours * 3600, ElapsedRaw=cost_hours * 3600),
        seen=NOW,
    )
    budget = Budget(
        name="nlp-month", scope="account", target="nlp", amount=15_000_000, since=date(2026, 11, 1)
    )
    BudgetBook(books.ledger).add(budget, author="root", reason="", now=NOW)
    return books


def test_a_crossing_sends_exactly_one_alert_however_often_and_by_whom(tmp_path: Path) -> None:
    """Two processes that look and deliver at the same time, again and again, send one mail."""
    make_books(tmp_path / "ledger.db").ledger.close()
    with mail_sink() as sink:
        channel = Channel(name="m", kind="mail", to=("lead@example.org",), host="127.0.0.1", port=sink.port)

        def daemon() -> None:
            with open_ledger(tmp_path / "ledger.db", make_kinds().rater.calendar.zone) as ledger:
                for _ in range(5):
                    watch_all(ledger, AccountTree(), [channel], TODAY, NOW)
                    deliver(Outbox(ledger), [channel], NOW)

        threads = [threading.Thread(target=daemon) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sink.mails) == 1
        assert "used up" in sink.mails[0]["Subject"]
        assert "Used: " in sink.mails[0].get_content()


def test_a_mail_server_that_is_down_loses_nothing(tmp_path: Path) -> None:
    """The alert waits, is tried again when due and not before, and arrives once."""
    books = make_books(tmp_path / "ledger.db")
    outbox = Outbox(books.ledger)
    with mail_sink() as sink:
        channel = Channel(name="m", kind="mail", to=("lead@example.org",), host="127.0.0.1", port=sink.port)
        sink.refuse = True
        watch_all(books.ledger, AccountTree(), [channel], TODAY, NOW)
        first = deliver(outbox, [channel], NOW)
        assert (first.sent, len(first.failed)) == (0, 1)
        assert "451" in str(outbox.waiting()[0]["failure"])
        assert deliver(outbox, [channel], NOW + FIRST_WAIT_S - 1).failed == ()
        sink.refuse = False
        assert deliver(outbox, [channel], NOW + FIRST_WAIT_S).sent == 1
        assert deliver(outbox, [channel], NOW + 10 * LONGEST_WAIT_S).sent == 0
        assert len(sink.mails) == 1
    assert outbox.waiting() == []
    books.ledger.close()


def test_a_sender_that_dies_leaves_its_delivery_to_others(tmp_path: Path) -> None:
    """A claimed delivery is nobody's else's for a while, then it is free again."""
    books = make_books(tmp_path / "ledger.db")
    outbox = Outbox(books.ledger)
    channel = Channel(name="c", kind="command", argv=("true",))
    watch_all(books.ledger, AccountTree(), [channel], TODAY, NOW)
    assert outbox.claim("c", NOW) is not None
    assert outbox.claim("c", NOW + 599) is None
    again = outbox.claim("c", NOW + 600)
    assert again is not None
    assert again.tries == 2
    books.ledger.close()


def test_alerts_go_only_where_they_are_wanted(tmp_path: Path) -> None:
    """A channel for another account gets nothing; an alert without a channel is still remembered as told."""
    books = make_books(tmp_path / "ledger.db")
    other = Channel(name="v", kind="command", argv=("true",), only=("account vision",))
    watch_all(books.ledger, AccountTree(), [other], TODAY, NOW)
    assert Outbox(books.ledger).waiting() == []
    assert "100" in Outbox(books.ledger).watches()["nlp-month"].crossed
    books.ledger.close()


def test_an_unusual_day_is_told_with_its_causes(tmp_path: Path) -> None:
    """After weeks of one GPU-hour a day, a day of many is told, naming the jobs."""
    books = Books(tmp_path / "ledger.db", make_kinds())
    rows = []
    for back in range(30, 0, -1):
        day = TODAY - timedelta(days=back)
        noon = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        hours = 20 if back == 1 else 1
        rows.append(
            row(JobID=back, JobIDRaw=back, DBIndex=back, Submit=noon, Start=noon, End=noon + hours * 3600,
                ElapsedRaw=hours * 3600)
        )  # fmt: skip
    books.take(*rows, seen=NOW)
    with mail_sink() as sink:
        channel = Channel(name="m", kind="mail", to=("lead@example.org",), host="127.0.0.1", port=sink.port)
        for _ in range(2):
            watch_all(books.ledger, AccountTree(), [channel], TODAY, NOW)
            deliver(Outbox(books.ledger), [channel], NOW)
        (mail,) = sink.mails
    assert "account nlp: 96.00" in mail["Subject"]
    assert "job 1 of ana" in mail.get_content()
    books.ledger.close()


def test_channel_files_are_checked(tmp_path: Path) -> None:
    """A channel without what it needs, or of a wrong kind, stops the command with the reason."""
    path = tmp_path / "alerts.toml"
    path.write_text('[[channel]]\nname = "ops"\nkind = "mail"\nto = ["ops@example.org"]\n')
    assert load_channels(path)[0].to == ("ops@example.org",)
    for text, why in (
        ('[[channel]]\nname = "a"\nkind = "mail"\n', "needs to"),
        ('[[channel]]\nname = "a"\nkind = "pager"\n', "kind"),
        ('[[channel]]\nname = "a"\nkind = "mail"\nto = ["x\\ny@z"]\n', "to"),
        ('[[channel]]\nname = "a"\nkind = "command"\nargv = ["x"]\n' * 2, "same name"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=why):
            load_channels(path)
