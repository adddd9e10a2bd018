"""The application: sign-in in front of every page, a read-only ledger behind it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mlcost_accounting.accounts import AccountTree
from mlcost_accounting.ledger.hierarchy import account_parents
from mlcost_accounting.ledger.store import read_ledger
from mlcost_accounting.reporting.books import ScopedBooks
from mlcost_accounting.reporting.pages import STATIC, environment
from mlcost_accounting.web.headers import StrictHeaders
from mlcost_accounting.web.routes import PAGES
from mlcost_accounting.web.sessions import COOKIE, LASTS_S, Sessions
from mlcost_accounting.web.visit import HiddenError, Visit, now_in
from mlcost_hpc.errors import LedgerError, MlcostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from mlcost_accounting.web.routes import Page
    from mlcost_accounting.web.signin import SignIn
    from mlcost_accounting.web.visit import SiteFacts

_LOG = logging.getLogger(__name__)
_LONGEST_FORM = 4096


class WebApp:
    """The pages of one site.

    Args:
        site: facts of the site.
        signin: how users are recognised.
    """

    def __init__(self, site: SiteFacts, signin: SignIn) -> None:
        self._site = site
        self._signin = signin
        self._sessions = Sessions()

    def asgi(self) -> Starlette:
        """Return the application for an ASGI server."""
        routes: list[Route | Mount] = [
            Route(page.path, self._endpoint(page), methods=["GET"]) for page in PAGES
        ]
        routes += [
            Route("/sign-in", self._sign_in_form, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
            Route("/healthz", _healthz, methods=["GET"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(StrictHeaders)],
            exception_handlers={HTTPException: self._http_error, Exception: self._unexpected},
        )

    def _endpoint(self, page: Page) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(self._show, page, request)

        return answer

    def _show(self, page: Page, request: Request) -> Response:
        """Recognise the user, then show the page with what that user may see."""
        try:
            user = self._signin.user_of(request, self._sessions)
            if not user:
                return self._nobody(request)
            if page.audience == "operators" and not self._site.people.is_operator(user):
                raise HiddenError("This page is for operators.")  # noqa: TRY301
            with read_ledger(self._site.ledger) as ledger:
                tree = AccountTree(parents=account_parents(ledger))
                visit = Visit(
                    request=request,
                    site=self._site,
                    user=user,
                    books=ScopedBooks(ledger, self._site.people.scope_of(user, tree)),
                    ledger=ledger,
                    tree=tree,
                    today=now_in(self._site.zone),
                    has_session=COOKIE in request.cookies,
                )
                return page.show(visit)
        except HiddenError as error:
            return self._error(404, "Not here", str(error))
        except UsageError as error:
            return self._error(400, "This makes no sense", str(error))
        except LedgerError as error:
            _LOG.error("%s", error)
            return self._error(503, "The ledger cannot be read", "Please tell the operator.")
        except MlcostError as error:
            _LOG.error("%s", error)
            return self._error(500, "Something failed", "Please tell the operator.")

    def _nobody(self, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/sign-in", status_code=303)
        return PlainTextResponse("sign in first\n", status_code=401, headers={"WWW-Authenticate": "Bearer"})

    async def _sign_in_form(self, _: Request) -> Response:
        return self._form(200, wrong=False)

    async def _sign_in(self, request: Request) -> Response:
        if not same_origin(request):
            return self._error(403, "Not from here", "This form was sent from another site.")
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > _LONGEST_FORM:
            return self._error(413, "Too long", "This is no access token.")
        form = parse_qs((await request.body()).decode("utf-8", errors="replace"))
        token = form.get("token", [""])[0].strip()
        now = datetime.now(UTC)
        tokens = self._signin.tokens
        user = await run_in_threadpool(tokens.user_of, token, now) if token and tokens is not None else ""
        if not user:
            return self._form(403, wrong=True)
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            COOKIE,
            self._sessions.begin(token, now.timestamp()),
            max_age=LASTS_S,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https",
        )
        return answer

    async def _sign_out(self, request: Request) -> Response:
        if not same_origin(request):
            return self._error(403, "Not from here", "This form was sent from another site.")
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/sign-in", status_code=303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer

    async def _http_error(self, _: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self._error(status, "Not here" if status == 404 else "This does not work", "")

    async def _unexpected(self, _: Request, error: Exception) -> Response:
        _LOG.error("a page failed", exc_info=error)
        return self._error(500, "Something failed", "Please tell the operator.")

    def _form(self, status: int, *, wrong: bool) -> Response:
        return HTMLResponse(self._bare("signin.html", title="Sign in", wrong=wrong), status_code=status)

    def _error(self, status: int, title: str, words: str) -> Response:
        return HTMLResponse(self._bare("error.html", title=title, words=words), status_code=status)

    def _bare(self, template: str, **values: object) -> str:
        """Return a page that shows nothing of the ledger."""
        return (
            environment()
            .get_template(template)
            .render(site=self._site.name, version=self._site.version, user="", has_session=False, **values)
        )


def same_origin(request: Request) -> bool:
    """Return True when a form was sent by a page of this site.

    Browsers say where a POST comes from: ``Sec-Fetch-Site`` where they know it, else ``Origin``. A request
    with neither was not made by a browser that could be tricked.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("ok\n")
