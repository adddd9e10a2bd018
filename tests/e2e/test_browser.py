"""The real pages in a real browser: sign in, read, drill down, on a desktop and on a phone."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from axe_core_python.base import AXE_SCRIPT
from sample_ledger import HOSTILE_USER
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Site
    from selenium.webdriver import Chrome

MONTH = f"{datetime.now(UTC):%Y-%m}"
PAGES = (
    "/", "/?period=this-year", "/account/nlp", "/user/ana", f"/user/{quote(HOSTILE_USER)}", "/job/77",
    "/job/80_3", "/account/science", "/waste", "/budgets", "/invoices", f"/invoice/{MONTH}/nlp", "/operator",
)  # fmt: skip


class Reader:
    """Somebody who reads the pages."""

    def __init__(self, browser: Chrome, site: Site) -> None:
        self.browser = browser
        self.site = site

    def screen(self, width: int, height: int, *, mobile: bool) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def go(self, path: str) -> None:
        self.browser.get(self.site.address + path)

    def one(self, selector: str) -> Any:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def link(self, text: str) -> Any:
        return self.browser.find_element(By.LINK_TEXT, text)

    def heading(self) -> str:
        return str(self.one("h1").text)

    def sign_in(self, user: str) -> None:
        """Sign in with a fresh token, as its owner would."""
        token = self.site.mlcost("web", "token", "issue", user).strip()
        self.go("/sign-in")
        self.one("#token").send_keys(token + Keys.ENTER)
        assert "Spending in" in self.heading()


@pytest.fixture
def reader(chromium: Chrome, site: Site) -> Iterator[Reader]:
    """A reader with a clean browser at desktop width; their tokens are revoked after the test."""
    chromium.execute_cdp_cmd("Network.clearBrowserCookies", {})
    chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    made = Reader(chromium, site)
    made.screen(1280, 900, mobile=False)
    yield made
    for line in site.mlcost("web", "token", "list", "--format", "csv").splitlines()[1:]:
        site.mlcost("web", "token", "revoke", line.split(",")[0])


def test_a_lead_finds_out_what_a_job_cost(reader: Reader) -> None:
    """From the form to the arithmetic of one job by links alone; then out again."""
    reader.sign_in("lena")
    assert reader.all("nav.main a")[-1].text == "Invoices", "no operator's page for a lead"
    reader.link("nlp").click()
    assert reader.heading() == "Group nlp"
    job = reader.all("table a[href^='/job/']")[0]
    number = job.text
    job.click()
    assert f"Why did job {number} cost" in reader.heading()
    assert "/ 3600 =" in reader.one("pre").text
    reader.one(".who button").click()
    assert reader.heading() == "Sign in"
    reader.go("/account/nlp")
    assert reader.heading() == "Sign in"


def test_a_wrong_token_is_told_so(reader: Reader) -> None:
    """The form comes back with words that a screen reader speaks."""
    reader.go("/sign-in")
    reader.one("#token").send_keys("mlcost_nonsense" + Keys.ENTER)
    assert "not known" in reader.one("[role=alert]").text


def test_a_member_cannot_look_at_others(reader: Reader) -> None:
    """Chloe types the address of ben's page and of an operator's page: not here."""
    reader.sign_in("chloe")
    for path in ("/user/ben", "/account/vision", "/operator", "/job/99+1"):
        reader.go(path)
        assert reader.heading() == "Not here"


def test_another_period_is_chosen_without_a_script(reader: Reader) -> None:
    """The period is an ordinary form."""
    reader.sign_in("root")
    options = Select(reader.one("#period"))
    wanted = options.options[1].text
    options.select_by_visible_text(wanted)
    reader.one("form.period button").click()
    assert reader.heading() == f"Spending in {wanted}"


@pytest.mark.parametrize(("width", "height", "mobile"), [(1280, 900, False), (390, 844, True)])
def test_every_page_fits_and_breaks_no_rule(reader: Reader, width: int, height: int, mobile: bool) -> None:
    """No page is wider than the screen, none runs or loads what its policy forbids, all charts are drawn."""
    reader.sign_in("root")
    reader.screen(width, height, mobile=mobile)
    for path in PAGES:
        reader.browser.get_log("browser")
        reader.go(path)
        size = reader.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1], path
        complaints = [entry["message"] for entry in reader.browser.get_log("browser")]
        assert complaints == [], path
        charts = [chart for chart in reader.all("svg.chart") if chart.is_displayed()]
        assert all(chart.size["height"] > 100 for chart in charts), path
        if path in ("/", "/account/nlp", "/waste"):
            assert len(charts) == 1, path


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
def test_no_page_breaks_a_rule_of_accessibility(reader: Reader, width: int, scheme: str) -> None:
    """Axe finds nothing against WCAG 2.1 AA or good practice on any page, wide in light, narrow in dark."""
    reader.sign_in("root")
    reader.screen(width, 900, mobile=width < 500)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    for path in (*PAGES, "/?period=2001", "/no-such-page"):
        reader.go(path)
        reader.browser.execute_script(AXE_SCRIPT)
        found = reader.browser.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then(result => "
            "done(result.violations.map(rule => [rule.id, rule.nodes.map(node => node.html)])));"
        )
        assert found == [], path


def test_hostile_names_open_no_dialog(reader: Reader) -> None:
    """Names that are scripts stay text: the page has no element of theirs."""
    reader.sign_in("root")
    reader.go(f"/user/{quote(HOSTILE_USER)}")
    assert HOSTILE_USER in reader.heading()
    assert reader.all("h1 b") == []
    assert reader.all("td img, td script") == []
    assert "<script>" in reader.one("body").text


def _luminance(colour: str) -> float:
    parts = [int(float(part)) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(reader: Reader, scheme: str) -> None:
    """Every text colour has at least 4.5:1 on the ground and on panels (WCAG 2.2, AA), light and dark."""
    reader.sign_in("root")
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    reader.go("/")
    script = """
        const probe = document.createElement('i'); document.body.append(probe);
        const colour = name => { probe.className = name; return getComputedStyle(probe).color; };
        const grounds = [document.body, document.querySelector('header.site')]
            .map(node => getComputedStyle(node).backgroundColor);
        return [['', 'soft', 'up', 'down', 'warn', 'bad', 'good'].map(colour).concat(
            [getComputedStyle(document.querySelector('td a, th a')).color]), grounds];
    """
    colours, grounds = reader.browser.execute_script(script)
    assert (_luminance(grounds[0]) < 0.2) == (scheme == "dark")
    for colour in colours:
        for ground in grounds:
            bright, dim = sorted((_luminance(colour), _luminance(ground)), reverse=True)
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (colour, ground)


def test_the_keyboard_reaches_the_content_first(reader: Reader) -> None:
    """The first Tab shows the skip link, and it leads to the content."""
    reader.sign_in("root")
    reader.go("/budgets")
    reader.one("body").send_keys(Keys.TAB)
    skip = reader.browser.switch_to.active_element
    assert skip.text == "Skip to the content"
    skip.send_keys(Keys.ENTER)
    assert reader.browser.current_url.endswith("#content")


def test_the_files_print_as_whole_pages(reader: Reader) -> None:
    """Report and invoice become PDF pages with their text, and nothing is wider than the paper."""
    folder = reader.site.folder
    reader.site.mlcost(
        "report", "--period", "last-month", "--account", "nlp", "--html", str(folder / "r.html")
    )
    reader.site.mlcost(
        "invoice", "--period", "last-month", "--account", "nlp", "--html", str(folder / "i.html")
    )
    for name, words in (("r.html", "Dearest runs"), ("i.html", "To pay (EUR)")):
        reader.browser.get((folder / name).as_uri())
        reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        reader.screen(680, 960, mobile=False)  # A4 less the margins, in CSS pixels
        assert words in reader.one("body").text
        wide = reader.browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], name
        pdf = reader.browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
        assert b64decode(pdf["data"]).startswith(b"%PDF-")
    reader.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_the_html_file_opens_by_itself(reader: Reader) -> None:
    """The report as a file needs no server, draws its chart and breaks no rule of its own policy."""
    path = reader.site.folder / "report.html"
    reader.site.mlcost("report", "--period", "last-month", "--html", str(path))
    reader.browser.get_log("browser")
    reader.browser.get(path.as_uri())
    assert "Spending" in reader.heading()
    assert [chart.size["height"] > 100 for chart in reader.all("svg.chart.wide")] == [True]
    assert reader.browser.get_log("browser") == []
