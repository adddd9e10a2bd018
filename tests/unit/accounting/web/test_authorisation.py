"""Who sees what: every route of the table, asked by everybody it is not for.

The matrix is made from the application's own routes: a new page without an entry here fails.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import pytest
from mlcost_accounting.web.routes import PAGES
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

MONTH = f"{datetime.now(UTC):%Y-%m}"
USERS = ("root", "lena", "sam", "rob", "ana", "ben", "chloe", "stranger")


class Case(NamedTuple):
    """A page with real parameters, and the users who may see something on it."""

    url: str
    allowed: frozenset[str]


EVERYBODY = frozenset(USERS)
# lena leads nlp, sam leads science (nlp and vision are below it), rob leads robotics; ana works in nlp,
# ben in vision, chloe in robotics. Job 77 is ana's, job 99+1 ben's.
MATRIX: dict[str, list[Case]] = {
    "/": [Case("/", EVERYBODY)],
    "/account/{name:path}": [
        Case("/account/nlp", frozenset({"root", "lena", "sam", "ana"})),
        Case("/account/vision", frozenset({"root", "sam", "ben"})),
        Case("/account/robotics", frozenset({"root", "rob", "chloe"})),
        Case("/account/science", frozenset({"root", "lena", "sam", "ana", "ben"})),
        Case("/account/engineering", frozenset({"root", "rob", "chloe"})),
        Case("/account/never-existed", frozenset()),
    ],
    "/project/{name:path}": [
        Case("/project/nlp", frozenset({"root", "lena", "sam", "ana"})),
        Case("/project/robotics", frozenset({"root", "rob", "chloe"})),
    ],
    "/user/{name:path}": [
        Case("/user/ana", frozenset({"root", "lena", "sam", "ana"})),
        Case("/user/ben", frozenset({"root", "sam", "ben"})),
        Case("/user/chloe", frozenset({"root", "rob", "chloe"})),
        Case("/user/stranger", frozenset()),
    ],
    "/job/{name:path}": [
        Case("/job/77", frozenset({"root", "lena", "sam", "ana"})),
        Case("/job/99+1", frozenset({"root", "sam", "ben"})),
        Case("/job/80_3", frozenset({"root", "lena", "sam", "ana"})),
        Case("/job/80", frozenset({"root", "lena", "sam", "ana"})),
        Case("/job/99", frozenset({"root", "sam", "ben"})),
        Case("/job/8", frozenset()),
        Case("/job/123456789", frozenset()),
    ],
    "/waste": [Case("/waste", EVERYBODY)],
    "/budgets": [Case("/budgets", EVERYBODY)],
    "/invoices": [Case("/invoices", EVERYBODY)],
    "/invoice/{period}/{name:path}": [
        Case(f"/invoice/{MONTH}/nlp", frozenset({"root", "lena", "sam"})),
        Case(f"/invoice/{MONTH}/robotics", frozenset({"root", "rob"})),
    ],
    "/operator": [Case("/operator", frozenset({"root"}))],
}
OPEN = {"/sign-in", "/sign-out", "/healthz"}
"""Routes that show nothing of the ledger."""

CASES = [(path, case, user) for path, cases in MATRIX.items() for case in cases for user in USERS]
URLS = [case.url for cases in MATRIX.values() for case in cases]


def test_every_route_is_in_the_matrix(make_client: Callable[..., TestClient]) -> None:
    """A page that nobody thought about cannot be added: routes, table and matrix name the same paths."""
    routes = {route.path for route in make_client().app.routes if isinstance(route, Route)}  # type: ignore[attr-defined]
    assert routes - OPEN == {page.path for page in PAGES} == set(MATRIX)


@pytest.mark.parametrize(("path", "case", "user"), CASES, ids=lambda value: getattr(value, "url", value))
def test_a_page_is_shown_to_those_it_is_for(
    path: str, case: Case, user: str, make_client: Callable[..., TestClient]
) -> None:
    """Everybody else gets the answer that a page which does not exist would give."""
    answer = make_client(user).get(case.url)
    assert answer.status_code == (200 if user in case.allowed else 404)


@pytest.mark.parametrize("url", URLS)
def test_nobody_sees_nothing(url: str, make_client: Callable[..., TestClient]) -> None:
    """Without sign-in a browser is sent to the form, and a program gets 401."""
    client = make_client()
    assert client.get(url, headers={"accept": "text/html"}).headers["location"] == "/sign-in"
    assert client.get(url, headers={"accept": "application/json"}).status_code == 401


@pytest.mark.parametrize("url", URLS)
def test_a_strangers_pages_name_nobody(url: str, make_client: Callable[..., TestClient]) -> None:
    """A signed-in user without runs finds no user, group, job or amount of others on any page."""
    text = make_client("stranger").get(url).text
    path = url.rpartition("/")[2]
    for secret in ("ana", "ben", "chloe", "nlp", "vision", "robotics", "twice", "sweep"):
        if secret != path:
            assert secret not in text


@pytest.mark.parametrize(
    "url", ["/", "/account/nlp", "/waste", "/project/nlp", "/budgets", "/invoices", "/user/ana"]
)
def test_a_member_sees_only_their_own_part(url: str, make_client: Callable[..., TestClient]) -> None:
    """Ana sees her own runs, not those of dora in the same group, nor the group's budget or invoice."""
    text = make_client("ana").get(url).text
    assert "dora" not in text
    assert "nlp-month" not in text
    assert "/invoice/" not in text


def test_a_lead_sees_the_group_and_those_below_only(make_client: Callable[..., TestClient]) -> None:
    """Lena sees all of nlp and nothing of vision; sam sees both through science; the sums differ."""
    lena, sam = make_client("lena").get("/").text, make_client("sam").get("/").text
    assert "dora" in lena
    assert "vision" not in lena
    assert "vision" in sam
    assert "chloe" not in sam
    assert "nlp-month" in make_client("lena").get("/budgets").text
    assert "ana-own" not in make_client("lena").get("/budgets").text


def test_an_override_is_shown_to_those_it_concerns(make_client: Callable[..., TestClient]) -> None:
    """Ben's override of vision's budget: to himself, to who leads vision, to operators, to nobody else."""
    seen = {user for user in USERS if "vision-hard" in make_client(user).get("/budgets").text}
    assert seen == {"root", "sam", "ben"}


def test_scope_is_kept_inside_a_wanted_part(make_client: Callable[..., TestClient]) -> None:
    """rob, who leads robotics, asks for ben's page with every trick of the query: nothing comes."""
    client = make_client("rob")
    for query in ("", "?period=2026", "?user=rob", "?account=robotics", "?scope=all"):
        assert client.get(f"/user/ben{query}").status_code == 404


def test_only_get_is_answered(make_client: Callable[..., TestClient]) -> None:
    """Pages cannot be posted to: nothing on them changes anything."""
    client = make_client("root")
    for url in URLS:
        assert client.post(url).status_code == 405
        assert client.delete(url).status_code == 405


def test_the_reconciliation_is_told_to_operators_only(make_client: Callable[..., TestClient]) -> None:
    """Its accounts and hours are on no page of anybody else."""
    assert "sums differ" in make_client("root").get("/operator").text
    for user in USERS:
        pages = [make_client(user).get(url).text for url in URLS if user != "root"]
        assert not [page for page in pages if "sums differ" in page or "sweep runs: 3600" in page]
