"""Sign-in: trusted proxies only, tokens kept as hashes, sessions that end, forms from here only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from mlcost_accounting.web.signin import parse_networks
from mlcost_accounting.web.tokens import TokenFile

from mlcost_hpc.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.testclient import TestClient

NOW = datetime.now(UTC)


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("10.1.2.3", 200), ("::ffff:10.1.2.3", 200),
                                              ("192.0.2.1", 401), ("testclient", 401)])  # fmt: skip
def test_the_header_is_believed_from_trusted_proxies_only(
    peer: str, status: int, make_client: Callable[..., TestClient]
) -> None:
    """Anybody can send a header; only the peer's own address decides whether it counts."""
    client = make_client("root", peer=peer)
    assert client.get("/").status_code == status
    assert client.get("/", headers={"x-forwarded-for": "127.0.0.1"}).status_code == status


def test_two_user_headers_are_none(make_client: Callable[..., TestClient]) -> None:
    """A proxy that adds its header beside a forged one names nobody."""
    headers = [("x-remote-user", "root"), ("x-remote-user", "ana")]
    assert make_client().get("/", headers=headers).status_code == 401  # type: ignore[arg-type]


def test_the_proxys_secret_is_demanded_where_one_is_set(make_client: Callable[..., TestClient]) -> None:
    """On a shared machine, another user's connection from a trusted address is not enough."""
    client = make_client("root", proxy_secret="s3cret")
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"x-mlcost-proxy-secret": "wrong"}).status_code == 401
    assert client.get("/", headers={"x-mlcost-proxy-secret": "s3cret"}).status_code == 200


def test_without_a_header_setting_no_header_counts(make_client: Callable[..., TestClient]) -> None:
    """A site that uses tokens only cannot be fooled by any header."""
    assert make_client("root", user_header="").get("/").status_code == 401


def test_networks_that_are_none_are_wrong_usage() -> None:
    """A typing error in the list of proxies stops the start, it does not trust more."""
    with pytest.raises(ConfigError, match="trusted_proxies"):
        parse_networks(("10.0.0.0/33",))


def test_a_token_signs_its_owner_in(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    """A bearer token works until it is revoked."""
    file = TokenFile(tmp_path / "tokens.json")
    token = file.issue("ana", "laptop", None, NOW)
    client = make_client()
    headers = {"authorization": f"Bearer {token}"}
    assert client.get("/user/ana", headers=headers).status_code == 200
    assert client.get("/operator", headers=headers).status_code == 404
    file.revoke("ana", "laptop")
    assert client.get("/user/ana", headers=headers).status_code == 401


def test_the_token_file_holds_no_token_and_is_private(tmp_path: Path) -> None:
    """Who reads the file cannot sign in; a file that others can read is refused."""
    file = TokenFile(tmp_path / "tokens.json")
    token = file.issue("ana", "laptop", None, NOW)
    assert token not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        file.all()


def test_tokens_expire_and_are_unique_by_name(tmp_path: Path) -> None:
    """A token of one day is nobody's after it; a second of the same name is refused."""
    file = TokenFile(tmp_path / "tokens.json")
    token = file.issue("ana", "laptop", 1, NOW)
    assert file.user_of(token, NOW) == "ana"
    assert file.user_of(token, NOW + timedelta(days=1)) == ""
    assert file.user_of(f"{token}x", NOW) == ""
    with pytest.raises(UsageError):
        file.issue("ana", "laptop", 1, NOW)


def sign_in(client: TestClient, token: str, **headers: str) -> int:
    answer = client.post("/sign-in", data={"token": token}, headers=headers)
    return answer.status_code


def test_a_browser_signs_in_and_out(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    """The cookie cannot be read by scripts or sent by other sites, holds no token, and ends with sign-out."""
    file = TokenFile(tmp_path / "tokens.json")
    token = file.issue("ana", "laptop", None, NOW)
    client = make_client()
    answer = client.post("/sign-in", data={"token": token})
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert token not in cookie
    assert client.get("/user/ana").status_code == 200
    assert client.post("/sign-out").status_code == 303
    client.cookies.set("mlcost_session", cookie.split("=")[1].split(";")[0])
    assert client.get("/user/ana").status_code == 401


def test_a_revoked_token_ends_its_sessions(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    """Revoking takes effect on browsers that are signed in."""
    file = TokenFile(tmp_path / "tokens.json")
    client = make_client()
    assert sign_in(client, file.issue("ana", "laptop", None, NOW)) == 303
    file.revoke("ana", "laptop")
    assert client.get("/user/ana").status_code == 401


def test_wrong_tokens_and_long_forms_are_refused(make_client: Callable[..., TestClient]) -> None:
    """A guess is told so; a flood is not read."""
    client = make_client()
    assert sign_in(client, "mlcost_wrong") == 403
    assert sign_in(client, "") == 403
    assert sign_in(client, "x" * 10_000) == 413


def test_forms_of_other_sites_are_refused(make_client: Callable[..., TestClient], tmp_path: Path) -> None:
    """Another site can neither sign a browser in nor out."""
    token = TokenFile(tmp_path / "tokens.json").issue("ana", "laptop", None, NOW)
    client = make_client()
    assert sign_in(client, token, origin="https://evil.example") == 403
    assert sign_in(client, token, **{"sec-fetch-site": "cross-site"}) == 403
    assert client.post("/sign-out", headers={"origin": "null"}).status_code == 403
    assert sign_in(client, token, origin="http://testserver") == 303
