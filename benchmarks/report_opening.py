"""How long a browser takes to open the pages, and to sort and filter a cohort.

`python benchmarks/report_opening.py [--patients N] [--shape I J K] [--runs N] [--write]`: the page of
the made-up patient of `page_size.py` with its viewer, and the page of a made-up cohort, each opened by a
fresh headless Chromium without WebGL. The page tells the times of its own navigation (`performance`); the
processor time is that of all of the browser's processes beyond those of an empty page. `--write` puts the
tables into docs/pages.md.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.page_size import made_up
from benchmarks.quality.tables import Table, around_marks, write_between_marks

from lymphct.core.geometry import Geometry
from lymphct.report.cohort import cohort_page
from lymphct.report.cohort_rows import Fate
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page

EMPTY = (
    "<!DOCTYPE html><title>e</title>"
    '<meta http-equiv="Content-Security-Policy" content="script-src ">'
    "<main></main>"
)
SORTED = """
  const body = document.querySelector("#cohort tbody");
  const timed = (act) => {
    const began = performance.now();
    act();
    body.offsetHeight;
    return performance.now() - began;
  };
  const headings = document.querySelectorAll("#cohort th button");
  const find = document.getElementById("find");
  const type = (text) => { find.value = text; find.dispatchEvent(new Event("input")); };
  if (body) {
    told.sorts = [2, 2, 0, 5].map((column) => timed(() => headings[column].click()));
    told.filters = ["score>=0.9 nodes<5", "head", ""].map((text) => timed(() => type(text)));
  }
"""
READER = """
addEventListener("load", () => setTimeout(() => {
  const [page] = performance.getEntriesByType("navigation");
  const told = { parsed: page.domContentLoadedEventEnd, loaded: page.loadEventEnd };
  const tell = () => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    if (!painted && document.body.innerText) return setTimeout(tell, 20);
    told.painted = painted ? painted.startTime : 0;
    SORTED
    console.log("SEEN" + JSON.stringify(told));
  };
  tell();
}, 0));
"""
"""What the page is asked; sorting is timed to the end of its layout."""


@dataclass(frozen=True)
class Opening:
    """One opening of a page: processor seconds of the browser, and what the page told, ms."""

    processor: float
    told: dict[str, Any]


def browser() -> str:
    """Return the program, or stop."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        sys.exit("no Chromium to open pages with")
    return found


def asked(text: str) -> str:
    """Let the reader into a page: its policy knows scripts by their digests."""
    reader = READER.replace("SORTED", SORTED if 'id="cohort"' in text else "")
    digest = base64.b64encode(hashlib.sha256(reader.encode()).digest()).decode()
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return text.replace("</main>", f"</main><script>{reader}</script>", 1)


def opened(page: Path) -> Opening:
    """Open a page in a browser that knows nothing of it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        running = subprocess.Popen(
            [
                browser(),
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-3d-apis",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--enable-logging=stderr",
                "--remote-debugging-port=0",  # it stays until it is told to end
                f"--user-data-dir={profile}",
                "--window-size=1500,1000",
                page.as_uri(),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        said = next(line for line in running.stderr or () if "SEEN" in line)
        used = _processor(running.pid)
        running.terminate()
        running.wait()
    told = said[said.index("SEEN") + 4 : said.rindex('", source:')]
    return Opening(used, json.loads(told.replace('\\"', '"')))


def _processor(browser_id: int) -> float:
    """Return the processor seconds of a process and of all that it started, from `/proc`."""
    parents, used = {}, {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # a process may end while it is looked at
            fields = file.read_text().rpartition(")")[2].split()
            parents[int(file.parent.name)] = int(fields[1])
            used[int(file.parent.name)] = int(fields[11]) + int(fields[12])
    family = {browser_id}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    return sum(used.get(member, 0) for member in family) / os.sysconf("SC_CLK_TCK")


def made_up_cohort(patients: int) -> list[Fate]:
    """Return a cohort with all that a page shows: scores of all sizes, notices, failures, exclusions."""
    rng = np.random.default_rng(7)
    return [_fate(f"center-{n % 7}-{n:05d}", n, rng) for n in range(patients)]


def _fate(name: str, n: int, rng: np.random.Generator) -> Fate:
    if n % 40 == 7:
        cause = "venous.nii.gz: incomplete or damaged file: gzip stream ends early"
        return Fate(patient_id=name, cause=cause, code="E_TRUNCATED", cure="copy the file again")
    if n % 60 == 5:
        return Fate(patient_id=name, exclusion="no written consent")
    nodes = int(rng.integers(0, 20))
    score = None if n % 30 == 0 else float(rng.beta(0.8, 0.9))
    notices = [{"code": "no_arterial", "text": "the venous phase alone was given", "value": None}]
    if score is None:
        notices.append(
            {"code": "no_tumor", "text": "no tumor was found: the score is withheld", "value": None}
        )
    result = {
        "probability": score,
        "threshold": 0.5,
        "predicted_n_status": None if score is None else int(score >= 0.5),
        "nodes_total": nodes,
        "nodes_positive": nodes // 3,
        "nodes_implausible": int(n % 31 == 0),
        "largest_positive_volume_mm3": float(rng.uniform(40, 4000)) if nodes >= 3 else 0.0,
        "tumor": {
            "volume_mm3": float(rng.uniform(800, 60000)),
            "largest_diameter_mm": float(rng.uniform(8, 70)),
            "site_guess": ("head/uncinate", "body/tail")[n % 2],
        },
        "sources": {"structures": "network", "tumor": "network", "nodes": "network"},
        "notices": notices[n % 4 > 0 :],
        "bundle": {"name": "made_up", "sha256": "ab" * 32, "is_phantom": True, "notice": ""},
        "versions": {"lymphct": "0.1.0"},
    }
    return Fate(patient_id=name, result=result)


def patient_text(shape: Sequence[int]) -> str:
    """Return the page of the made-up patient, with both phases, before registration too, and the viewer."""
    ct, prediction = made_up(Geometry(shape=(shape[0], shape[1], shape[2]), spacing=(0.7, 0.7, 1.0)), 15.0)
    context = ReportContext(
        patient_id="made-up",
        bundle={"name": "none", "sha256": "0", "is_phantom": True, "notice": ""},
        versions={},
        arterial_as_acquired=ct.arterial,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = write_patient_page(Path(folder), prediction, ct, context, viewer=True)
        return path.read_text(encoding="utf-8")


def tables(pages: dict[str, str], runs: int) -> list[Table]:
    """Open every page `runs` times, in turn, and write the medians."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{n}.html" for n, name in enumerate(["empty", *pages])}
        for file, text in zip(files.values(), [EMPTY, *pages.values()], strict=True):
            file.write_text(asked(text), encoding="utf-8")
        found: dict[str, list[Opening]] = {name: [] for name in files}
        for _ in range(runs):
            for name, file in files.items():
                found[name].append(opened(file))
    idle = statistics.median(opening.processor for opening in found.pop("empty"))
    rows = []
    for name, openings in found.items():
        times = [
            _seconds([opening.told[what] for opening in openings]) for what in ("painted", "parsed", "loaded")
        ]
        busy = statistics.median(opening.processor for opening in openings) - idle
        rows.append((name, f"{len(pages[name].encode()) / 1e6:.1f} MB", *times, f"{max(busy, 0.0):.2f} s"))
    opening = Table(
        title="Until a page is there",
        columns=("page", "size", "first paint", "`DOMContentLoaded`", "`load`", "processor time"),
        rows=tuple(rows),
    )
    sorting = [
        (
            name,
            _seconds([time for opening in openings for time in opening.told["sorts"]]),
            _seconds([time for opening in openings for time in opening.told["filters"]]),
        )
        for name, openings in found.items()
        if "sorts" in openings[0].told
    ]
    columns = ("page", "sort by a column", "filter")
    return [opening, Table(title="Until rows are in order", columns=columns, rows=tuple(sorting))]


def _seconds(milliseconds: Sequence[float]) -> str:
    values = [value / 1000 for value in milliseconds]
    return f"{statistics.median(values):.2f} s ({max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--docs", type=Path, default=Path(__file__).parents[1] / "docs" / "pages.md")
    order = parser.parse_args()
    if order.write:
        around_marks(order.docs)
    size = "×".join(map(str, order.shape))
    pages = {
        f"patient, CT of {size} voxels, both phases, 60 nodes, viewer": patient_text(order.shape),
        f"cohort of {order.patients:,} patients": cohort_page(made_up_cohort(order.patients)),
    }
    load = os.getloadavg()[0]
    found = tables(pages, order.runs)
    how = (
        f"`python benchmarks/report_opening.py --write`: {order.runs} openings by a fresh headless Chromium "
        f"without WebGL, median (longest). {os.cpu_count()} processor cores, load {load:.0f} when it began: "
        "on a busy machine pages open later. Processor time is that of all of the browser's "
        "processes beyond an empty page, with the sorts and filters below."
    )
    text = "\n\n".join([how, *(table.markdown() for table in found)])
    print(text)
    if order.write:
        write_between_marks(order.docs, text)


if __name__ == "__main__":
    main()
