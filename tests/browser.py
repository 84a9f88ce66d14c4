"""A page in headless Chromium: what it shows, what it says, what it asks the network for."""

import base64
import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from lymphct.core.arrays import AnyArray

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT = 1280, 4300

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine to open the page with"
)


@dataclass(frozen=True)
class Visit:
    """What a browser showed (rows, columns, red-green-blue, 0 to 1), said, and asked for."""

    picture: AnyArray
    console: list[str]
    requests: list[str]


SOFTWARE_GRAPHICS = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--virtual-time-budget=20000",  # the picture is taken after what the page does, not before
)
"""WebGL without a graphics card."""


def visit(
    page: Path, folder: Path, *, fragment: str = "", graphics: tuple[str, ...] = ("--disable-gpu",)
) -> Visit:
    assert CHROMIUM is not None
    picture, netlog = folder / "page.png", folder / "net.json"
    finished = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            *graphics,
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--host-resolver-rules=MAP * ~NOTFOUND",  # a browser's own errands fail at once
            "--hide-scrollbars",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={netlog}",
            f"--window-size={WIDTH},{720 if fragment else HEIGHT}",
            f"--screenshot={picture}",
            page.as_uri() + fragment,
        ],
        capture_output=True,
        check=True,
        timeout=240,
    )
    said = finished.stderr.decode(errors="replace").splitlines()
    return Visit(
        picture=imread(picture)[..., :3],
        console=[line for line in said if "CONSOLE" in line],
        requests=addresses(json.loads(netlog.read_text(encoding="utf-8"))),
    )


def printed(page: Path, folder: Path) -> bytes:
    """Return the page as the browser prints it, PDF."""
    assert CHROMIUM is not None
    paper = folder / "page.pdf"
    subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder / 'printer'}",
            f"--print-to-pdf={paper}",
            page.as_uri(),
        ],
        capture_output=True,
        check=True,
        timeout=240,
    )
    return paper.read_bytes()


def addresses(netlog: dict[str, Any]) -> list[str]:
    """Return what the page asked for; requests of the browser itself have no origin."""
    started = netlog["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    starts = [event.get("params", {}) for event in netlog["events"] if event["type"] == started]
    return [start["url"] for start in starts if start.get("initiator", "not an origin") != "not an origin"]


def with_reader(text: str, reader: str) -> str:
    """Let a script of the test into a page; it tells what it saw by `console.log("SEEN" + JSON)`."""
    digest = base64.b64encode(hashlib.sha256(reader.encode()).digest()).decode()
    known = text.replace("script-src ", f"script-src &#39;sha256-{digest}&#39; ", 1)
    assert known != text  # a page without script lets none in
    return known.replace("</main>", f"</main><script>{reader}</script>")


def seen_by_reader(visit: Visit) -> Any:
    """Return what the reader told; anything else in the console is a complaint."""
    (line,) = visit.console
    told = line[line.index("SEEN") + 4 : line.rindex('", source:')]
    return json.loads(told.replace('\\"', '"'))
