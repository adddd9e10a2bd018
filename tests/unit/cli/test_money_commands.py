"""The commands about money, as a user types them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from sample_ledger import HOSTILE, sample_books

from mlcost_hpc.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("money") / "ledger.db"
    sample_books(path, datetime.now(UTC).date(), per_day=6).ledger.close()
    return path


@pytest.fixture
def mlcost(
    tmp_path: Path, ledger_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command over a copy of the sample ledger; gives exit code, stdout, stderr."""
    import shutil

    ledger = tmp_path / "ledger.db"
    shutil.copy(ledger_file, ledger)
    (tmp_path / "mlcost.toml").write_text(
        '[site]\nname = "Example HPC"\n[paths]\nledger = "ledger.db"\nweb_tokens = "tokens.json"\n'
    )
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 1), out, err

    return run


def test_a_budget_is_set_listed_and_removed(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """Set once, listed with the three numbers apart and exact, removed once."""
    assert mlcost("budget", "add", "b", "--account", "nlp", "--amount", "100.5", "--hard")[0] == 0
    code, _, err = mlcost("budget", "add", "b", "--account", "nlp", "--amount", "1")
    assert (code, "already" in err) == (2, True)
    code, out, _ = mlcost("budget", "list", "--format", "json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["amount"], row["kind"], row["unit"]) == ("100.500000", "hard", "EUR")
    assert float(row["settled"]) > 0
    assert float(row["in_flight"]) > 0
    assert mlcost("budget", "remove", "b")[0] == 0
    assert mlcost("budget", "remove", "b")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--amount", "5"),
        ("--account", "a", "--user", "b", "--amount", "5"),
        ("--account", "a"),
        ("--account", "a", "--amount", "5", "--gpu-hours", "5"),
        ("--account", "a", "--amount", "5", "--gpu-model", "t4"),
        ("--account", "a", "--amount", "-5"),
        ("--account", "a", "--amount", "5", "--alert", "soon"),
        ("--account", "a", "--amount", "5", "--alert", ""),
        ("--account", "a", "--amount", "5", "--since", "yesterday"),
    ],
)
def test_a_budget_that_makes_no_sense_is_wrong_usage(
    words: tuple[str, ...], mlcost: Callable[..., tuple[int, str, str]]
) -> None:
    """One clear line and exit code 2."""
    code, _, err = mlcost("budget", "add", "b", *words)
    assert code == 2
    assert len(err.strip().splitlines()) == 1


def test_check_works_without_slurm_and_publishes(
    mlcost: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Slurm does not answer, one line says so and the rest is done."""
    mlcost("budget", "add", "b", "--account", "nlp", "--amount", "100")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = mlcost("budget", "check", "--publish", "budgets.json", "--format", "csv")
    assert code == 0
    assert "as they were last known" in err
    assert next(csv.DictReader(io.StringIO(out)))["name"] == "b"
    published = json.loads((tmp_path / "budgets.json").read_text())
    assert published["budgets"][0]["target"] == "nlp"


def test_a_report_beside_the_month_before(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """Rows carry what the same group cost before; json and csv agree."""
    words = ("report", "--period", "last-month", "--by", "account", "--compare", "--format")
    rows = json.loads(mlcost(*words, "json")[1])
    assert {"account", "cost", "cost_before", "change_percent"} <= set(rows[0])
    lines = list(csv.DictReader(io.StringIO(mlcost(*words, "csv")[1])))
    assert [line["cost"] for line in lines] == [row["cost"] for row in rows]


def test_a_report_of_an_account_counts_those_below(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """Science is nlp and vision; an account that never existed is named."""
    words = ("report", "--period", "last-month", "--by", "account", "--format", "json")
    assert {row["account"] for row in json.loads(mlcost(*words, "--account", "science")[1])} == {
        "nlp",
        "vision",
    }
    code, _, err = mlcost(*words, "--account", "never")
    assert (code, "never" in err) == (2, True)


def test_a_period_without_data_is_an_empty_report(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """Nothing ran in 2001: an empty list, no error, and one line that says what there is."""
    code, out, err = mlcost("report", "--period", "2001", "--format", "json")
    assert (code, out) == (0, "[]\n")
    assert "nothing ran in these days: the ledger has usage from 20" in err
    code, out, _ = mlcost("invoice", "--period", "2001-01", "--account", "nlp")
    assert code == 0
    assert "nothing was charged\nto pay: 0.00 EUR (exactly 0.000000)" in out


def test_the_html_file_stands_alone_and_is_private(
    mlcost: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """One file, mode 0600, with charts inside, nothing loaded, and hostile names as text."""
    path = tmp_path / "report.html"
    assert mlcost("report", "--period", "this-year", "--html", str(path))[0] == 0
    text = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert "<svg" in text
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    for loaded in ("<script", "<link", "<img", "url(", "@import", 'href="/', "src="):
        assert loaded not in text.replace("&lt;img src=x", "")


def test_parquet_keeps_amounts_exact(mlcost: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Amounts are decimals with six places, and add up to those of the JSON."""
    from pyarrow import parquet

    mlcost("report", "--period", "last-month", "--parquet", str(tmp_path / "r.parquet"))
    table = parquet.read_table(tmp_path / "r.parquet")
    rows = json.loads(mlcost("report", "--period", "last-month", "--format", "json")[1])
    assert str(table.schema.field("cost").type) == "decimal128(38, 6)"
    assert [str(cost) for cost in table["cost"].to_pylist()] == [row["cost"] for row in rows]


def test_options_that_need_a_period_say_so(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """--compare, --top and --html without a period are wrong usage."""
    for words in (("--compare",), ("--top", "3"), ("--html", "x.html")):
        code, _, err = mlcost("report", *words)
        assert (code, "needs a period" in err) == (2, True)


def test_an_invoice_adds_up_to_the_report(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """The lines of the invoice are the report's cost of that account, to the micro."""
    from decimal import Decimal

    rows = json.loads(mlcost("invoice", "--account", "nlp", "--format", "json")[1])
    report = json.loads(
        mlcost("report", "--period", "last-month", "--by", "account", "--account", "nlp", "--format", "json")[
            1
        ]
    )
    assert sum(Decimal(row["cost"]) for row in rows) == Decimal(report[0]["cost"])
    assert mlcost("invoice", "--account", "never")[0] == 2


def test_an_invoice_knows_refunds_and_closing(mlcost: Callable[..., tuple[int, str, str]]) -> None:
    """A refund is a line of its own and lowers what is to be paid."""
    code, _, err = mlcost("ledger", "enter", "refund", "nlp", "1.50", "--reason", "node was broken")
    assert code == 0, err
    rows = json.loads(mlcost("invoice", "--period", "this-month", "--account", "nlp", "--format", "json")[1])
    assert [(row["kind"], row["cost"], row["reason"]) for row in rows if row["kind"] != "usage"] == [
        ("refund", "-1.500000", "node was broken")
    ]


def test_tokens_are_given_listed_and_taken(
    mlcost: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A token is printed once and kept as a hash only."""
    code, token, _ = mlcost("web", "token", "issue", "ana", "--days", "30")
    assert code == 0
    assert token.strip() not in (tmp_path / "tokens.json").read_text()
    (row,) = json.loads(mlcost("web", "token", "list", "--format", "json")[1])
    assert (row["user"], row["name"]) == ("ana", "default")
    assert mlcost("web", "token", "revoke", "ana")[0] == 0
    assert mlcost("web", "token", "revoke", "ana")[0] == 2


def test_web_refuses_to_start_when_anybody_could_say_who_they_are(
    mlcost: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    """A header without a list of proxies, or no way to sign in at all, is a configuration error."""
    for text, why in (
        ('[web]\nuser_header = "X-Remote-User"\n', "trusted_proxies"),
        ("[web]\nport = 1\n", "nobody could sign in"),
    ):
        (tmp_path / "other.toml").write_text(f'[paths]\nledger = "ledger.db"\n{text}')
        code, _, err = mlcost("--config", "other.toml", "web")
        assert (code, why in err) == (2, True)


def test_storage_is_taken_in_listed_and_part_of_report_and_invoice(
    tmp_path: Path, mlcost: Callable[..., tuple[int, str, str]]
) -> None:
    """Bad lines are counted, hostile owners are harmless, and report and invoice have one sum."""
    (tmp_path / "rates.toml").write_text(
        'currency = "EUR"\n[[card]]\nvalid_from = 2020-01-01\ncpu_hour = 0.1\nstorage_tib_month = 93\n'
        "gpu_hour = { a100-40gb = 2, t4 = 0.5 }\n"
    )
    (tmp_path / "quotas.csv").write_text(
        f"path,owner,bytes\n/home/ana,ana,{5 * 2**40}\n/x,=cmd(),{2**40}\n/y\n/z,ana,many\n"
    )
    words = ("storage", "ingest", "quotas.csv", "--rates", "rates.toml")
    code, out, _ = mlcost(*words)
    assert code == 0
    assert out.startswith("2 paths on ")
    assert out.endswith(", 2 rejected lines, 1 days changed\n")
    assert mlcost(*words)[1].endswith(" 0 days changed\n")
    unknown, ana = csv.DictReader(io.StringIO(mlcost("storage", "list", "--format", "csv")[1]))
    assert (unknown["account"], unknown["owner"], unknown["tib_days"]) == (
        "(unknown owner)", "'=cmd()", "1.0000",
    )  # fmt: skip
    assert (ana["account"], ana["owner"], ana["tib_days"]) == ("nlp", "ana", "5.0000")
    assert mlcost("storage", "list", "--account", "vision", "--format", "json")[1] == "[]\n"
    period = ("--period", "this-month", "--account", "nlp", "--format", "json")
    (reported,) = json.loads(mlcost("report", "--by", "account", *period)[1])
    invoiced = json.loads(mlcost("invoice", *period)[1])
    assert reported["storage_cost"] == ana["cost"]
    assert [row["cost"] for row in invoiced if row["partition"] == "(storage)"] == [ana["cost"]]
    assert Decimal(reported["cost"]) == sum(Decimal(row["cost"]) for row in invoiced)


def test_a_storage_listing_of_the_future_or_of_nothing_is_wrong_usage(
    tmp_path: Path, mlcost: Callable[..., tuple[int, str, str]]
) -> None:
    """One clear line and exit code 2."""
    (tmp_path / "quotas.csv").write_text("nothing to read\n")
    for words in (("--as-of", "2999-01-01"), ("--as-of", "soon"), ()):
        code, _, err = mlcost("storage", "ingest", "quotas.csv", *words)
        assert code == 2
        assert err.strip().splitlines()[-1].startswith("mlcost: ")
