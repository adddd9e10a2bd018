"""The pictures in docs/images, taken of a made-up site (docs/example_site.py) in a headless Chromium.

    .venv/bin/python docs/screenshots.py

Look at every picture before it is committed.
"""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from example_site import build_site, mlcost
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

IMAGES = Path(__file__).parent / "images"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--lang=en")
LONGEST = 3000


class Picture(NamedTuple):
    """A picture: of a page (a path, or the name of a file in the site's folder) as somebody sees it."""

    name: str
    page: str
    height: int = LONGEST
    phone: bool = False
    dark: bool = False


PICTURES = (
    Picture("overview", "/", height=1330),
    Picture("group-phone-dark", "/account/nlp", height=1700, phone=True, dark=True),
    Picture("overview-phone", "/", height=1700, phone=True),
    Picture("year-dark", "/?period=this-year", height=900, dark=True),
    Picture("waste", "/waste?period=last-month", height=1900),
    Picture("budgets", "/budgets"),
    Picture("job", "{job}"),
    Picture("invoices", "/invoices", height=900),
    Picture("invoice", "{invoice}", height=900),
    Picture("operator", "/operator"),
    Picture("report-file", "report.html", height=1100),
)


class Camera:
    """A browser that sends the header of a proxy that has signed the operator in."""

    def __init__(self) -> None:
        options = Options()
        options.binary_location = shutil.which("chromium") or ""
        for flag in FLAGS:
            options.add_argument(flag)
        self.browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self._tell("Network.enable")
        self._tell("Network.setExtraHTTPHeaders", headers={"X-Remote-User": "root"})

    def _tell(self, command: str, **values: object) -> dict[str, str]:
        return dict(self.browser.execute_cdp_cmd(command, values))

    def take(self, picture: Picture, address: str, target: Path) -> None:
        """Take a picture of a page, as long as the page is, or as the picture may be."""
        width = 390 if picture.phone else 1280
        scheme = {"name": "prefers-color-scheme", "value": "dark" if picture.dark else "light"}
        self._tell("Emulation.setEmulatedMedia", features=[scheme])
        self._tell(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1,
            mobile=picture.phone,
        )  # fmt: skip
        self.browser.get(address)
        length = self.browser.execute_script("return document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": width, "height": min(length, picture.height), "scale": 1}
        shot = self._tell("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        target.write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    """Make the site, serve it, take the pictures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_site(folder)
        mlcost(folder, "report", "--period", "last-month", "--html", "report.html")
        found = example_job(folder)
        server, address = serve(folder)
        camera = Camera()
        try:
            for picture in PICTURES:
                page = picture.page.format(job=found, invoice=f"/invoice/{closed_month(folder)}/nlp")
                where = f"{address}{page}" if page.startswith("/") else (folder / page).as_uri()
                camera.take(picture, where, IMAGES / f"{picture.name}.png")
                print(f"docs/images/{picture.name}.png")
        finally:
            camera.browser.quit()
            server.terminate()
            server.wait(timeout=20)


def example_job(folder: Path) -> str:
    """Return the page of a job that was preempted and ran again."""
    import sqlite3

    with sqlite3.connect(folder / "ledger.db") as ledger:
        (job,) = ledger.execute(
            "SELECT job_id FROM runs GROUP BY job_id HAVING COUNT(*) > 1 ORDER BY MAX(elapsed_s) DESC LIMIT 1"
        ).fetchone()
    return f"/job/{job}"


def closed_month(folder: Path) -> str:
    """Return the newest closed month."""
    return mlcost(folder, "ledger", "closed", "--format", "csv").splitlines()[-1].split(",")[0]


def serve(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the pages, and return the process and its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlcost_hpc.cli.main", "web", "--port", str(port)]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/healthz", timeout=5).close()  # noqa: S310  # our own http
        except OSError:
            time.sleep(0.1)
        else:
            return server, address
    sys.exit("the pages could not be served")


if __name__ == "__main__":
    main()
