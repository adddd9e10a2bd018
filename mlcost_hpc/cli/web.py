"""``mlcost web``: the pages that group leads read, and the tokens that open them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcost_hpc import __version__
from mlcost_hpc.cli.accounting import book_of, kinds_of, ledger_option, rates_option
from mlcost_hpc.cli.output import Format, format_option, print_rows
from mlcost_hpc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from mlcost_accounting.web.signin import SignIn
    from mlcost_accounting.web.tokens import TokenFile

    from mlcost_hpc.cli.context import Context


@click.group(invoke_without_command=True)
@click.option("--host", help="Address to listen on, else the configured one.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, else the configured one.")
@rates_option
@ledger_option
@click.pass_context
def web(
    ctx: click.Context, host: str | None, port: int | None, rates: Path | None, ledger: Path | None
) -> None:
    """Serve the web pages: spending, waste, budgets, invoices; read-only, each viewer their own part."""
    if ctx.invoked_subcommand is None:
        _serve(ctx.obj, host, port, rates, ledger)


def _serve(
    context: Context, host: str | None, port: int | None, rates: Path | None, path: Path | None
) -> None:
    try:
        import uvicorn
        from mlcost_accounting.web.app import WebApp
        from mlcost_accounting.web.people import People
        from mlcost_accounting.web.visit import SiteFacts
    except ImportError as error:
        raise UsageError(f"{error.name} is missing: pip install 'mlcost-hpc[web]'") from None
    from mlcost_accounting.ledger.store import read_ledger
    from mlcost_accounting.reporting.arithmetic import explain_run

    settings = context.settings
    file = context.ledger_path(path)
    with read_ledger(file) as ledger:
        rater = kinds_of(context, book_of(context, rates, ledger)).rater
    facts = SiteFacts(
        name=settings.site.name,
        zone=settings.zone,
        ledger=file,
        version=__version__,
        people=People(operators=frozenset(settings.web.operators), leads=settings.web.leads),
        arithmetic=lambda run: explain_run(rater, run),
    )
    app = WebApp(facts, _sign_in(context)).asgi()
    address, number = host or settings.web.host, settings.web.port if port is None else port
    click.echo(f"http://{address}:{number}/ (Ctrl-C ends it)", err=True)
    # uvicorn would take the client's address from X-Forwarded-For: only the peer's own may decide on trust.
    uvicorn.run(app, host=address, port=number, proxy_headers=False, server_header=False, log_level="warning")


def _sign_in(context: Context) -> SignIn:
    from mlcost_accounting.web.signin import SignIn, parse_networks

    settings, paths = context.settings.web, context.settings.paths
    if not settings.user_header and not paths.web_tokens:
        raise ConfigError(
            "nobody could sign in: set web.user_header and web.trusted_proxies, or paths.web_tokens"
        )
    if settings.user_header and not settings.trusted_proxies:
        raise ConfigError("web.user_header needs web.trusted_proxies: a header alone can be sent by anybody")
    return SignIn(
        user_header=settings.user_header,
        proxies=parse_networks(settings.trusted_proxies),
        proxy_secret=_first_line(paths.proxy_secret) if paths.proxy_secret else "",
        tokens=_token_file(context) if paths.web_tokens else None,
    )


def _first_line(path: str) -> str:
    try:
        line = Path(path).read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if not line:
        raise ConfigError(f"{path}: the first line is empty, so it is no secret")
    return line


def _token_file(context: Context) -> TokenFile:
    from mlcost_accounting.web.tokens import TokenFile

    path = context.settings.paths.web_tokens
    if not path:
        raise ConfigError("no token file: set paths.web_tokens in the settings file")
    return TokenFile(Path(path))


@web.group()
def token() -> None:
    """Give and take access tokens; only hashes of them are kept."""


@token.command()
@click.argument("user")
@click.option("--name", default="default", show_default=True, help="What it is for.")
@click.option("--days", type=click.IntRange(1), help="Days it holds; for ever when not given.")
@click.pass_obj
def issue(context: Context, user: str, name: str, days: int | None) -> None:
    """Make a token for USER and print it, once."""
    click.echo(_token_file(context).issue(user, name, days, datetime.now(UTC)))


@token.command("list")
@format_option
@click.pass_obj
def list_tokens(context: Context, output_format: Format) -> None:
    """Show who has tokens."""
    rows = [
        {"user": kept.user, "name": kept.name, "expires": kept.expires.isoformat() if kept.expires else None}
        for kept in _token_file(context).all()
    ]
    print_rows(rows, {"user": "user", "name": "name", "expires": "expires"}, output_format)


@token.command()
@click.argument("user")
@click.option("--name", default="default", show_default=True, help="Which one.")
@click.pass_obj
def revoke(context: Context, user: str, name: str) -> None:
    """Take a token away; browsers signed in with it are signed out."""
    _token_file(context).revoke(user, name)
    click.echo(f"token {name} of {user} is revoked")
