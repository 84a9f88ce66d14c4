"""Kill a service again and again, and compare what it leaves with one that nobody disturbed.

`python benchmarks/serve_crashes.py [--studies 2] [--kills 10] [--size nano] [--stride 1] [--seed 0] [--folder
FOLDER] [--json FILE] [--page FILE]`. Phantoms are written as DICOM studies of two phases. In the first row a
service whose examination is a stand-in, which makes a result of the bytes it is shown, is killed (SIGKILL) at
every `--stride`-th call that changes the disk, and started again after each. In the second row `lymphct
serve --once --dicom` with the shipped bundle is killed at random moments, `--kills` times; only the service
is killed: what it started has to end by itself. After the last kill each is let come to its end. Compared are
all files of results and refusals but seconds; lost is a study without a line in the log, twice one with two.
The watched folder must be as it was. `--page` writes the table into a page between its two marks.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record
from benchmarks.tumor_harvest import with_table
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from tests.dicom_exports import write_series
from tests.killed import WRITING_STEPS, killed_at
from tests.serving_studies import AT_ONCE, contents, examine

from lymphct.core.orientation import to_working_axes
from lymphct.io.results.jsonfile import read_json_lines
from lymphct.io.results.store import TIMINGS_FILE
from lymphct.patients.serving.ledger import HIDDEN, LOG_FILE
from lymphct.patients.serving.serving import Places, service
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings


@dataclass(kw_only=True)
class Outcome:
    """What became of the studies of one way.

    Attributes:
        way: who was killed, and when.
        kills: how often.
        studies: that arrived, over all runs.
        files: that were compared.
        lost, twice: studies without a line in the log; with two.
        differing: files that are other, missing or too many.
        seconds: of all.

    """

    way: str
    kills: int = 0
    studies: int = 0
    files: int = 0
    lost: int = 0
    twice: int = 0
    differing: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    given = arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as spare:
        folder = given.folder or Path(spare)
        write_studies(folder / "inbox", given)
        before = contents(folder / "inbox")
        rows = [at_every_call(folder, given)]
        if given.kills:
            rows.append(at_random(folder, given))
        if contents(folder / "inbox") != before:
            rows[0].differing.append("inbox")
    text = told(rows, given)
    print(text)
    if given.page is not None:
        given.page.write_text(with_table(given.page.read_text("utf-8"), text), encoding="utf-8")
    if given.json is not None:
        options = {n: v for n, v in vars(given).items() if n not in {"json", "page", "folder"}}
        write_record(given.json, options=options, rows=[asdict(row) for row in rows])
    sys.exit(any(row.differing or row.lost or row.twice for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2)
    parser.add_argument(
        "--kills", type=int, default=10, help="at random moments; 0 leaves the second row out"
    )
    parser.add_argument("--size", default="nano", help="of the phantoms")
    parser.add_argument("--stride", type=int, default=1, help="calls between two kills of the first row")
    parser.add_argument("--seed", type=int, default=0, help="of phantoms and moments")
    parser.add_argument("--folder", type=Path, help="receives studies and results; default: one that goes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    return parser.parse_args()


def write_studies(inbox: Path, given: argparse.Namespace) -> None:
    """Write phantoms as a PACS sends them: two series in one study, for each its folder."""
    for index in range(given.studies):
        settings = PhantomSettings(size=given.size, phase_shift=False)
        patient = generate_patient(settings, seed=given.seed + 5, index=index)
        for number, (phase, volume) in enumerate((("ART", patient.arterial), ("PV", patient.venous))):
            edit = tagging(index, phase, f"1015{15 + 35 * number}")
            write_series(inbox / f"drop{index}" / phase, to_working_axes(volume), edit=edit)


def tagging(index: int, phase: str, time_of_day: str) -> Callable[[Dataset, int], None]:
    """Return what gives a slice its study and its phase."""

    def edit(slice_: Dataset, k: int) -> None:
        slice_.StudyInstanceUID = generate_uid(entropy_srcs=["study", str(index)])
        slice_.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame", str(index)])
        slice_.SeriesInstanceUID = generate_uid(entropy_srcs=["series", phase, str(index)])
        slice_.SOPInstanceUID = generate_uid(entropy_srcs=["slice", phase, str(index), str(k)])
        slice_.PatientID, slice_.PatientName = f"{index}", f"PHANTOM^{index}"
        slice_.SeriesDescription = f"ABD {phase}"
        slice_.AcquisitionTime, slice_.ContrastBolusStartTime = time_of_day, "101440"

    return edit


def served(outbox: Path, at: int = 0) -> bool:
    """Serve once in a process that kills itself at call number `at`; tell whether it came to its end."""

    def serve() -> None:
        places = Places(inbox=outbox.parent / "inbox", outbox=outbox, key=outbox.parent / "key")
        with service(places, AT_ONCE, examine) as running:
            running.run_once(lambda _: None)

    return not killed_at(at, serve, WRITING_STEPS)


def at_every_call(folder: Path, given: argparse.Namespace) -> Outcome:
    """Kill the service at one call after the other, until it comes to its end before the next."""
    which = "every call" if given.stride == 1 else f"every {given.stride}th call"
    found = Outcome(way=f"service with a stand-in, at {which} that changes the disk")
    began = time.monotonic()
    served(folder / "quiet0")
    quiet, at, run = digests(folder / "quiet0"), 1, folder / "killed0"
    while not served(run, at):
        found.kills += 1
        served(run)
        compare(run, quiet, given.studies, found)
        shutil.rmtree(run)
        at += given.stride
    found.seconds = time.monotonic() - began
    return found


def at_random(folder: Path, given: argparse.Namespace) -> Outcome:
    """Kill the whole program at moments drawn over the time that one study takes and a start."""
    found, start = Outcome(way="`lymphct serve --dicom`, at random moments"), time.monotonic()
    words = [
        sys.executable,
        "-c",
        "from lymphct.cli.main import run; run()",
        "serve",
        "--once",
        "--settle",
        "0",
    ]
    words += ["--watch", str(folder / "inbox"), "--key", str(folder / "key"), "--dicom", "--quiet", "--out"]
    began = time.monotonic()
    subprocess.run([*words, str(folder / "quiet1")], check=True, stdout=subprocess.DEVNULL)
    longest = 1.5 * (time.monotonic() - began) / given.studies
    quiet, rng = digests(folder / "quiet1"), random.Random(given.seed)  # noqa: S311 - moments, no secrets
    run = 0
    while found.kills < given.kills:
        run += 1
        out, is_over = folder / f"killed{run}", False
        while not is_over:
            process = subprocess.Popen([*words, str(out)], stdout=subprocess.DEVNULL)
            try:
                moment = rng.uniform(0, longest) if found.kills < given.kills else None
                if process.wait(moment):
                    raise subprocess.CalledProcessError(process.returncode, process.args)
                is_over = True
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                found.kills += 1
        compare(out, quiet, given.studies, found)
    found.seconds = time.monotonic() - start
    return found


def digests(outbox: Path) -> dict[str, str]:
    """Return the digest of every file of results and refusals that must not depend on kills."""
    return {
        path.relative_to(outbox).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(outbox.rglob("*"))
        if path.is_file()
        and path.relative_to(outbox).parts[0] not in {HIDDEN, LOG_FILE}
        and path.name != TIMINGS_FILE
    }


def compare(outbox: Path, quiet: Mapping[str, str], studies: int, found: Outcome) -> None:
    """Count what is other than where nobody disturbed."""
    now = digests(outbox)
    lines = [line for line in read_json_lines(outbox / LOG_FILE) if isinstance(line, dict)]
    counts = Counter(str(line["study"]) for line in lines)
    found.studies += studies
    found.files += len(quiet)
    found.lost += studies - len(counts)
    found.twice += sum(count > 1 for count in counts.values())
    found.differing += sorted(name for name in {*quiet, *now} if quiet.get(name) != now.get(name))
    left = [*(outbox / HIDDEN / "work").iterdir(), *(outbox / HIDDEN / "queue").iterdir()]
    found.differing += [path.name for path in left]


def told(rows: list[Outcome], given: argparse.Namespace) -> str:
    """Return a Markdown table, and the seconds."""
    lines = [
        "| killed | kills | studies | lost | done twice | files compared | differing |",
        "|-|-|-|-|-|-|-|",
    ]
    for row in rows:
        cells = [row.way, row.kills, row.studies, row.lost, row.twice, row.files, len(row.differing)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    spent = " and ".join(f"{row.seconds:.0f} s" for row in rows)
    return "\n".join([*lines, "", f"{given.studies} phantoms of size {given.size}; {spent} in all."])


if __name__ == "__main__":
    main()
