"""The pages: strict headers, hostile names harmless, sums that agree, errors that say what to do."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from ledger_kit import Books, make_kinds, row
from mlcost_accounting.periods import Period
from mlcost_accounting.reporting.pages import show_change, show_days, show_headline
from sample_ledger import HOSTILE, HOSTILE_USER, sample_books

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

MONTH = f"{datetime.now(UTC):%Y-%m}"
URLS = (
    "/", "/account/nlp", "/project/nlp", "/user/ana", f"/user/{quote(HOSTILE_USER)}", "/job/77", "/job/80_3",
    "/job/80", "/waste", "/budgets", "/invoices", f"/invoice/{MONTH}/nlp", "/operator", "/?period=2026",
    "/nothing", "/sign-in",
)  # fmt: skip


class Elements(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("url", URLS)
def test_every_answer_has_strict_headers(url: str, make_client: Callable[..., TestClient]) -> None:
    """No scripts, no inline styles, no frames, no caches, on error pages too."""
    headers = make_client("root").get(url).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("url", URLS)
def test_pages_hold_nothing_that_runs_and_nothing_from_elsewhere(
    url: str, make_client: Callable[..., TestClient]
) -> None:
    """Job and user names full of markup make no element: no script, no image, no handler, no style."""
    page = Elements(make_client("root").get(url).text)
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "embed", "b", "style"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("href", "src", "action"):
            assert not (attributes.get(name) or "").startswith(("http", "//", "javascript:", "data:"))


def test_hostile_names_are_shown_as_they_are(make_client: Callable[..., TestClient]) -> None:
    """What a user wrote is text: it can be read, and does nothing."""
    text = make_client("root").get("/job/80_3").text
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(" in text
    assert make_client("root").get(f"/user/{quote(HOSTILE_USER)}").status_code == 200


@pytest.mark.parametrize("url", URLS)
def test_pages_are_accessible(url: str, make_client: Callable[..., TestClient]) -> None:
    """Language, title, skip link, labelled fields, scoped header cells, named regions, charts with text."""
    text = make_client("root").get(url).text
    page = Elements(text)
    by_tag = {tag: [attributes for name, attributes in page.tags if name == tag] for tag, _ in page.tags}
    assert by_tag["html"][0]["lang"] == "en"
    assert "<title>" in text
    assert by_tag["a"][0] == {"class": "skip", "href": "#content"}
    assert len(by_tag["h1"]) == 1
    labels = {attributes.get("for") for attributes in by_tag.get("label", [])}
    for tag in ("input", "select"):
        assert all(attributes["id"] in labels for attributes in by_tag.get(tag, []))
    assert all("scope" in attributes for attributes in by_tag.get("th", []))
    assert all(
        attributes.get("aria-hidden") or attributes.get("aria-label") or attributes.get("aria-labelledby")
        for attributes in by_tag.get("svg", [])
    )
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def amounts(text: str, heading: str) -> list[str]:
    """The cost column of the table under a heading, its total last."""
    part = text.split(f"<h2>{heading}</h2>")[1].split("</table>", maxsplit=1)[0]
    rows = re.findall(r"<tr>.*?</tr>", part, re.DOTALL)[1:]
    return [re.findall(r'<td class="n">([\d,.]+)</td>', row)[0] for row in rows]


def test_tables_add_up_to_the_same_total(make_client: Callable[..., TestClient]) -> None:
    """By group, by project, by user and by GPU model, the month costs the same."""
    text = make_client("root").get("/?period=this-year").text
    totals = {amounts(text, heading)[-1] for heading in ("By group", "By project", "By user", "By GPU model")}
    assert len(totals) == 1


def test_a_job_shows_every_run_with_its_arithmetic(make_client: Callable[..., TestClient]) -> None:
    """Job 77 was preempted and ran again: both runs are there, charged apart, summed at the top."""
    text = make_client("ana").get("/job/77").text
    assert "Why did job 77 cost 14.40 EUR?" in text
    assert text.count("2 x 3 = 6") == 2
    assert "4.800000" in text
    assert "9.600000" in text


def test_an_unpriced_run_says_why(make_client: Callable[..., TestClient]) -> None:
    """A GPU model without a price is not shown as free."""
    text = make_client("ben").get("/job/99+1").text
    assert "Not charged:" in text
    assert "mi300" in text


def test_a_period_without_data_is_empty_not_broken(make_client: Callable[..., TestClient]) -> None:
    """Before the first run there is nothing, said in words, with what there is, on all such pages."""
    for page in ("/", "/waste", "/account/nlp", "/user/ana", "/project/nlp"):
        text = make_client("root").get(f"{page}?period=2001-01").text
        assert "Nothing ran in 2001-01. The ledger has usage from 20" in " ".join(text.split())
        assert "<svg" not in text


def test_a_period_in_which_all_went_well_is_said_to_be(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    """Where nothing was wasted there is a sentence, not an empty chart."""
    books = Books(tmp_path / "ledger.db", make_kinds())
    books.take(row())
    books.ledger.close()
    text = make_client("root", ledger=tmp_path / "ledger.db").get("/waste?period=2026-01").text
    assert "Every run of this period finished." in text
    assert "<svg" not in text


def test_a_groups_page_counts_those_below_it(make_client: Callable[..., TestClient]) -> None:
    """Science has no runs of its own; its page is nlp and vision, with as much as both have."""
    science, nlp, vision = (
        make_client("root").get(f"/account/{name}?period=this-year").text
        for name in ("science", "nlp", "vision")
    )
    groups = amounts(science, "By group")[:2]
    assert groups == [amounts(part, "By user")[-1] for part in (nlp, vision)]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "new"),
        (0.0, "0 %"),
        (0.04, "0 %"),
        (0.06, "+0.1 %"),
        (-16.4, "−16 %"),  # noqa: RUF001
        (899.0, "+899 %"),
        (1700.0, "×18"),  # noqa: RUF001
    ],
)
def test_changes_read_well(number: float | None, text: str) -> None:
    """Per cent with a sign; from tenfold on a factor, which says more than thousands of per cent."""
    assert show_change(number) == text


def test_a_sentence_of_dates_is_text_and_not_markup(make_client: Callable[..., TestClient]) -> None:
    """The dates of whether a budget lasts stay whole on a narrow screen, and no tag shows as text."""
    for page in ("/", "/budgets"):
        text = make_client("root").get(page).text
        assert '<span class="date">20' in text
        assert "&lt;span" not in text


def test_ranges_and_headlines_read_well() -> None:
    """Days as people write them; big amounts without the decimals that tables have."""
    days = [
        show_days(Period(kind="range", first=date(*first), last=date(*last)))
        for first, last in (
            ((2026, 10, 1), (2026, 10, 25)), ((2026, 9, 1), (2026, 10, 5)), ((2025, 12, 1), (2026, 1, 5)),
            ((2026, 1, 5), (2026, 1, 5)),
        )
    ]  # fmt: skip
    assert days == ["1 to 25 Oct 2026", "1 Sep to 5 Oct 2026", "1 Dec 2025 to 5 Jan 2026", "5 Jan 2026"]
    assert show_headline(99_999_994_999) == "99,999.99"
    assert show_headline(128_028_610_000) == "128,029"


def test_a_text_that_is_no_period_is_explained(make_client: Callable[..., TestClient]) -> None:
    """A typing error is answered with the forms that can be written."""
    answer = make_client("root").get("/?period=%3Cscript%3E")
    assert answer.status_code == 400
    assert "2026-Q4" in answer.text
    assert "<script>" not in answer.text


def test_a_missing_ledger_is_told_without_its_path(
    make_client: Callable[..., TestClient], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Viewers are told that the operator must look; the log says where."""
    answer = make_client("root", ledger=tmp_path / "none.db").get("/")
    assert answer.status_code == 503
    assert "none.db" not in answer.text
    assert "none.db" in caplog.text


def test_the_operators_page_shows_the_ledgers_health(make_client: Callable[..., TestClient]) -> None:
    """Clusters, what could not be charged, and what waits are there."""
    text = make_client("root").get("/operator").text
    assert "alpha" in text
    assert "no price for GPU model" in text
    assert "vision-hard" in text
    assert "3.00 EUR" in text
    assert '<a href="/job/99%2B1">99</a>' in text
    assert "(says root)" in text, "the comment names another user than Slurm does"
    assert HOSTILE not in text


def test_the_operators_page_shows_the_newest_reconciliation(
    make_client: Callable[..., TestClient], tmp_path: Path
) -> None:
    """With its time, the sums that differ and why, hostile account names harmless."""
    text = make_client("root").get("/operator").text
    assert "1 of 2 sums differ" in text
    assert "Compared at 1970-01-01 02:00" in text
    assert "+1.0000" in text
    assert "sweep runs: 3600 s" in text
    assert HOSTILE not in text
    empty = tmp_path / "empty.db"
    sample_books(empty, date(2026, 1, 5), per_day=1).ledger.close()
    text = make_client("root", ledger=empty).get("/operator").text
    assert "Never compared" in text
    assert "No submission went past a hard budget." in text
    with sqlite3.connect(empty) as older:
        older.execute("DROP TABLE reconciliations")
    assert "Never compared" in make_client("root", ledger=empty).get("/operator").text


def test_static_files_are_served_and_nothing_beside_them(make_client: Callable[..., TestClient]) -> None:
    """The style sheet is there without sign-in; files outside its folder are not."""
    client = make_client()
    assert client.get("/static/style.css").status_code == 200
    assert client.get("/static/../web/app.py").status_code in (404, 401)
    assert client.get("/static/%2e%2e/web/app.py").status_code == 404
    assert client.get("/healthz").text == "ok\n"


def test_a_whole_arrays_page_lists_its_tasks(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    """By the number that sbatch said: its tasks, the dearest first, and their sum; of other arrays none."""
    path = tmp_path / "array.db"
    books = sample_books(path, date(2026, 1, 5), per_day=1)
    gpus = "cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1"
    hours = {"60_3": 1, "60_10": 2, "600_1": 3, "6_0": 3, "61": 3}
    books.take(
        *(
            row(
                JobIDRaw=9000 + at, JobID=job, DBIndex=9000 + at, Start=1767600000, ElapsedRaw=held * 3600,
                End=1767600000 + held * 3600, AllocTRES=gpus,
            )
            for at, (job, held) in enumerate(hours.items())
        )
    )  # fmt: skip
    books.ledger.close()
    client = make_client("root", ledger=path)
    text = client.get("/job/60").text
    assert re.findall(r'href="/job/([^"]*)"', text) == ["60_10", "60_3"]
    assert "2 runs of its tasks" in text
    whole, *parts = re.findall(
        r"cost ([0-9.]+) EUR", "".join(client.get(f"/job/{job}").text for job in ("60", "60_10", "60_3"))
    )
    assert float(whole) == pytest.approx(sum(map(float, parts)))
    assert float(whole) > 0
    for nothing in ("60_", "060", "6%25", "60'", "\uff19", "1" * 5000):
        assert client.get(f"/job/{nothing}").status_code == 404
