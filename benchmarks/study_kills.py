"""Kill a cross-validation again and again, and compare every byte with one that nobody disturbed.

`python benchmarks/study_kills.py [--patients 24] [--kills 20] [--ways here dask jobs] [--processes 2]
[--methods combined,nodes,resnet3d,ct_reported] [--iterations 4] [--longest SECONDS] [--seed 0] [--folder
FOLDER] [--json FILE] [--page FILE]`. Phantoms of size nano with given masks, two inner folds, small networks.
One process does the whole study undisturbed. Then each way does it anew: processes here (`--jobs`), a dask
LocalCluster with as many workers, job lines that call `crossval --next` side by side. Each is started in a
process group of its own, which is killed (SIGKILL) at a moment drawn between 0 and `--longest` seconds, by
default a third of the undisturbed study; only a group that was still at work counts as killed. A study that
comes to its end before the kills are spent is begun again in another folder, and compared as well. After the
last kill the study is let come to its end. Compared are all files of tasks, tables, predictions, figures and
the report: everything but seconds, logs and locks. At last the finished study is asked for again, and its
seconds are taken. `--page` writes the table into a page between its two marks. One thread for each process.
"""

import argparse
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record
from benchmarks.tumor_harvest import with_table

from lymphct.io.results.store import TIMINGS_FILE
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings

LYMPHCT: Final = (sys.executable, "-c", "from lymphct.cli.main import run; run()")
COMPARED: Final = ("tasks", "tables", "predictions", "figures", "checklists")
"""Folders of a study; the files beside them are `FILES`."""
FILES: Final = ("predictions.csv", "report.html", "methods.md", "study.json")
SHARE: Final = 1 / 3
"""Of the undisturbed study, in which the moment of a kill is drawn."""
SETTINGS: Final = (
    "imaging.spacing=[6,6,6]",
    "nodes.validation_cases=1",
    "nodes.min_volume=4000",
    "nodes.unet.features=[4,8]",
    "nodes.unet.strides=[[1,1,1],[2,2,2]]",
    "identification.unet.features=[4,8]",
    "identification.unet.strides=[[1,1,1],[2,2,2]]",
    "baselines.box.size=16",
)
"""A grid of one window, so that a study takes minutes; what is learned is not asked."""
JOBS_LINE: Final = (
    'while "$@" | tee "$0" && ! grep -q "nothing is left" "$0"; do :; done; grep -q "nothing is left" "$0"'
)
"""What a job array amounts to: the same line again and again."""


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """What a command took, all its processes together."""

    wall: float
    cpu: float


@dataclass(kw_only=True)
class Outcome:
    """What became of the studies of one way.

    Attributes:
        way: of the table `ways`.
        kills: process groups that were killed at work.
        studies: that were brought to their end.
        files: that were compared, of all studies.
        differing: files that are other, missing or too many.
        seconds: of all commands.
        again: of the finished study, asked for once more.

    """

    way: str
    kills: int = 0
    studies: int = 0
    files: int = 0
    differing: list[str] = field(default_factory=list)
    seconds: float = 0.0
    again: Seconds | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all studies share: the words that begin one, and who does it."""

    begin: tuple[str, ...]
    processes: int

    def commands(self, way: str, run: Path) -> list[list[str]]:
        """Return what is started side by side, in one process group, to do a study in a folder."""
        here = [*LYMPHCT, "crossval", *self.begin, "--out", str(run)]
        if way == "here":
            return [[*here, "--jobs", str(self.processes)]]
        if way == "dask":
            return [[sys.executable, __file__, "--cluster-of", str(self.processes), "--study", str(run)]]
        line = ["bash", "-o", "pipefail", "-c", JOBS_LINE]
        told = [str(run.with_name(f"{run.name}.told{number}")) for number in range(self.processes)]
        return [[*line, name, *LYMPHCT, "crossval", str(run), "--next"] for name in told]

    def lay(self, run: Path) -> None:
        """Begin a study without doing any of it."""
        words = [*LYMPHCT, "crossval", *self.begin, "--out", str(run), "--plan", "sbatch"]
        subprocess.run(words, check=True, capture_output=True)


def main() -> None:
    given = arguments()
    if given.cluster_of:
        on_local_cluster(given.study, given.cluster_of)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as spare:
        folder = given.folder or Path(spare)
        bench = Bench(begin=words_of(given, folder), processes=given.processes)
        quiet, seconds = undisturbed(bench, folder / "quiet")
        longest = given.longest or seconds.wall * SHARE
        print(f"undisturbed: {seconds.wall:.0f} s, {seconds.cpu:.0f} CPU-s, {len(quiet)} files", flush=True)
        outcomes = []
        for way in given.ways:
            moments = moments_of(given.seed, way, longest)
            outcomes.append(killed(bench, way, folder, quiet, (given.kills, moments)))
            print(
                f"{way}: {outcomes[-1].kills} kills, {outcomes[-1].differing or 'no'} differing", flush=True
            )
    text = told(outcomes, seconds, given)
    print(text)
    if given.page is not None:
        given.page.write_text(with_table(given.page.read_text("utf-8"), text), encoding="utf-8")
    if given.json is not None:
        options = {n: v for n, v in vars(given).items() if n not in {"json", "page", "folder", "study"}}
        rows = [asdict(outcome) for outcome in outcomes]
        write_record(given.json, options=options, undisturbed=asdict(seconds), rows=rows)
    sys.exit(any(outcome.differing for outcome in outcomes))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=24)
    parser.add_argument("--kills", type=int, default=20, help="of each way")
    ways = ("here", "dask", "jobs")
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--processes", type=int, default=2, help="side by side in each way")
    parser.add_argument("--methods", default="combined,nodes,resnet3d,ct_reported")
    parser.add_argument("--iterations", type=int, default=4, help="of each epoch; there are two")
    parser.add_argument("--longest", type=float, help="seconds until a kill, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--folder", type=Path, help="receives phantoms and studies; default: one that goes")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--cluster-of", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--study", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def words_of(given: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Write the phantoms; return the words of the command that begins a study of them."""
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    cohort = PhantomCohort(folder=folder / "cohort", settings=settings, seed=4, patients=given.patients)
    stages = ("nodes", "identification", "metastasis")
    training = [
        f"{s}.training.{n}" for s in stages for n in ("epochs=2", f"iterations_per_epoch={given.iterations}")
    ]
    words = [str(write_phantoms(cohort)), "--config", "phantom_nano", "--given", "structures,tumor"]
    words += ["--inner", "2", "--methods", given.methods, "--threads", "1", "--device", "cpu", "--quiet"]
    return (*words, *(word for setting in (*SETTINGS, *training) for word in ("--set", setting)))


def undisturbed(bench: Bench, run: Path) -> tuple[dict[str, str], Seconds]:
    """Return the digests of a study that one process did, and what it took."""
    seconds = taken([*LYMPHCT, "crossval", *bench.begin, "--out", str(run)])
    return digests(run), seconds


def taken(command: Sequence[str]) -> Seconds:
    """Run a command to its end; return its seconds.

    Raises:
        CalledProcessError: it fails.

    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - began
    return Seconds(wall=wall, cpu=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def digests(run: Path) -> dict[str, str]:
    """Return the digest of every file that must not depend on who made it, when and how often."""
    files = [file for name in COMPARED for file in (run / name).rglob("*") if file.is_file()]
    files += [run / name for name in FILES if (run / name).is_file()]
    return {
        file.relative_to(run).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != TIMINGS_FILE and not file.name.endswith(".lock")
    }


def moments_of(seed: int, way: str, longest: float) -> Iterator[float]:
    """Yield seconds from the start of a process group to its kill."""
    rng = random.Random(f"{seed} {way}")  # noqa: S311 - moments, no secrets
    while True:
        yield rng.uniform(0.0, longest)


def killed(
    bench: Bench, way: str, folder: Path, quiet: Mapping[str, str], kills: tuple[int, Iterator[float]]
) -> Outcome:
    """Do studies one way, killed until the kills are spent, and compare each with one nobody disturbed."""
    count, moments = kills
    found, began = Outcome(way=way), time.perf_counter()
    while found.kills < count or not found.studies:
        run = folder / f"{way}{found.studies + 1}"
        bench.lay(run)
        is_over = False
        while not is_over:
            group = Group(bench.commands(way, run))
            is_over = group.is_over_within(next(moments) if found.kills < count else None)
            if not is_over:
                group.kill()
                found.kills += 1
        now = digests(run)
        found.studies += 1
        found.files += len(quiet)
        found.differing += sorted(
            f"{run.name}/{name}" for name in {*quiet, *now} if quiet.get(name) != now.get(name)
        )
        found.again = taken([*LYMPHCT, "crossval", str(run), "--quiet"])
    found.seconds = time.perf_counter() - began
    return found


class Group:
    """Commands side by side in a process group of their own."""

    def __init__(self, commands: Sequence[Sequence[str]]) -> None:
        """Start them."""
        self.first = subprocess.Popen(commands[0], process_group=0, stdout=subprocess.DEVNULL)
        self.others = [
            subprocess.Popen(command, process_group=self.first.pid, stdout=subprocess.DEVNULL)
            for command in commands[1:]
        ]

    def is_over_within(self, seconds: float | None) -> bool:
        """Wait so long, or to the end; tell whether all are over.

        Raises:
            CalledProcessError: one came to its end with an error.

        """
        until = None if seconds is None else time.perf_counter() + seconds
        for process in (self.first, *self.others):
            try:
                process.wait(None if until is None else max(0.0, until - time.perf_counter()))
            except subprocess.TimeoutExpired:
                return False
            if process.returncode:
                self.kill()
                raise subprocess.CalledProcessError(process.returncode, process.args)
        return True

    def kill(self) -> None:
        """Kill every process of the group at once."""
        with suppress(ProcessLookupError):  # all came to their end meanwhile
            os.killpg(self.first.pid, signal.SIGKILL)
        for process in (self.first, *self.others):
            process.wait()


def on_local_cluster(run: Path, workers: int) -> None:
    """Do a study on a dask cluster of this machine."""
    from distributed import LocalCluster  # noqa: PLC0415 - an extra

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        words = [*LYMPHCT, "crossval", str(run), "--quiet", "--device", "cpu"]
        sys.exit(subprocess.run([*words, "--cluster", cluster.scheduler_address], check=False).returncode)


WAYS: Final[Mapping[str, str]] = {
    "here": "{} processes here (`--jobs`)",
    "dask": "a dask cluster of {} workers",
    "jobs": "{} job lines (`--next`)",
}


def told(outcomes: Sequence[Outcome], seconds: Seconds, given: argparse.Namespace) -> str:
    """Return a Markdown table, and the seconds."""
    lines = [
        "| who does the work | kills | studies | files compared | differing | finished, asked again |",
        "|-|-|-|-|-|-|",
    ]
    for row in outcomes:
        again = "-" if row.again is None else f"{row.again.wall:.1f} s, {row.again.cpu:.1f} CPU-s"
        cells = [WAYS[row.way].format(given.processes), row.kills, row.studies, row.files, len(row.differing)]
        lines.append(f"| {' | '.join(map(str, cells))} | {again} |")
    spent = ", ".join(f"{row.way} {row.seconds:.0f} s" for row in outcomes)
    sentence = (
        f"{given.patients} phantoms of size nano, methods {given.methods}. One process, undisturbed: "
        f"{seconds.wall:.0f} s ({seconds.cpu:.0f} CPU-s). With all kills and reruns: {spent}."
    )
    return "\n".join([*lines, "", sentence])


if __name__ == "__main__":
    main()
