"""Fail at every write of `prepare`, `predict`, `train` and `crossval`, and compare every byte after a rerun.

`python benchmarks/crash_loop.py [--commands predict …] [--hows kill=0 torn=30 ENOSPC=30 EFBIG=12 signal=16]
[--long 40] [--chain 60] [--seed 4] [--folder FOLDER] [--beside FILE …] [--json FILE] [--page FILE]`.
Phantoms of size nano, given masks, one epoch. Each command is done once undisturbed, which tells its writes
(`failpoints.py`) and its bytes. Then it fails at as many of them as `--hows` says, spread evenly (0 = all),
each time in an empty folder:

- `kill` before the write, `torn` in the middle of it: SIGKILL;
- `ENOSPC` (or another name): the disk refuses it; `EFBIG`: no file may be as large as one of its own;
- `signal`: SIGTERM or SIGINT at random moments, half of them followed by SIGTERM within 0.3 s.

Right after it nothing that is not whole may be visible; the same command again gives the bytes of the
undisturbed run, seconds and locks aside. A refusal must be exit code 6 and one line, a signal 143 or 130
within ten seconds. A cross-validation is long: it is killed again and again in one folder, `--chain` times,
each time after a drawn number of writes, then let come to its end. Children are forked from one warm process,
which spares the start of Python; one thread. `--page` writes the table between the two marks of a page.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # a fork takes one thread along

from benchmarks.crash_bench import Bench, Command, Row, chained, done, walked
from benchmarks.side_by_side import write_record
from benchmarks.tumor_harvest import with_table

from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings

COARSE: Final = (
    "imaging.spacing=[6,6,6]",
    "nodes.validation_cases=1",
    "nodes.min_volume=4000",
    "nodes.unet.features=[4,8]",
    "nodes.unet.strides=[[1,1,1],[2,2,2]]",
    "identification.unet.features=[4,8]",
    "identification.unet.strides=[[1,1,1],[2,2,2]]",
)
"""A grid of one window and networks of no merit: what is learned is not asked."""
STAGES: Final = ("nodes", "identification", "metastasis")
COMMANDS: Final = ("prepare", "predict", "train", "crossval")
HOWS: Final = ("kill=0", "torn=30", "ENOSPC=30", "EFBIG=12", "signal=16")
LONG: Final = frozenset({"train", "crossval"})
"""Commands that take their time: `--long` points of each are enough."""
WORDS: Final[Mapping[str, str]] = {
    "kill": "killed before a write",
    "torn": "killed with half a file",
    "ENOSPC": "disk full at a write",
    "EDQUOT": "quota spent at a write",
    "EFBIG": "a file too large for the disk",
    "signal": "SIGINT or SIGTERM, half of them twice",
}


def main() -> None:
    given = arguments()
    hows = dict(how.split("=") for how in given.hows)
    rows = [Row(**row) for file in given.beside for row in json.loads(file.read_text())["rows"]]
    with tempfile.TemporaryDirectory() as spare:
        folder = given.folder or Path(spare)
        folder.mkdir(exist_ok=True)
        for command in commands(folder, given.commands, given.seed).values():
            warm(command, folder)
            bench = Bench.of(command, folder)
            print(f"{command.name}: {bench.writes} writes, {len(bench.whole)} files", flush=True)
            for how, count in hows.items():
                rng = random.Random(f"{given.seed} {command.name} {how}")  # noqa: S311 - moments, no secrets
                points = int(count)
                if command.name == "crossval":
                    if how != "kill":
                        continue
                    rows.append(chained(bench, how, given.chain, rng))
                else:
                    if command.name in LONG:
                        points = min(points or given.long, given.long)
                    rows.append(walked(bench, how, points, rng))
                print(rows[-1], flush=True)
    text = told(rows)
    print(text)
    if given.page is not None:
        given.page.write_text(with_table(given.page.read_text("utf-8"), text), encoding="utf-8")
    if given.json is not None:
        options = {n: v for n, v in vars(given).items() if n not in {"json", "page", "folder", "beside"}}
        write_record(given.json, options=options, rows=[asdict(row) for row in rows])
    sys.exit(any(row.visible or row.differing or row.wrong for row in rows))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--commands", nargs="*", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--hows", nargs="+", default=HOWS, help="and at how many points, 0 = all")
    parser.add_argument("--long", type=int, default=40, help="points of a training, at most")
    parser.add_argument("--chain", type=int, default=60, help="kills of a cross-validation")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="receives phantoms and results; default: one that goes")
    parser.add_argument(
        "--beside", nargs="+", type=Path, default=[], help="files of --json whose rows are told before"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--page", type=Path)
    return parser.parse_args()


def warm(command: Command, folder: Path) -> None:
    """Do a command in this process, so that its forks find everything loaded.

    Raises:
        RuntimeError: it fails.

    """
    out = folder / "warm"
    with redirect_stdout(StringIO()):
        code = done([*command.words, "--out", str(out)])
    shutil.rmtree(out)
    if code:
        msg = f"{command.name} ends with {code}"
        raise RuntimeError(msg)


def commands(folder: Path, wanted: Sequence[str], seed: int) -> dict[str, Command]:
    """Write the phantoms, train the bundle of `predict`, and return the lines."""
    small = cohort_of(folder, 2, seed)
    shared = ("--device", "cpu", "--threads", "1", "--quiet")
    grid = ("--config", "phantom_nano", *(w for s in COARSE for w in ("--set", s)))
    short = [f"{s}.training.{n}" for s in STAGES for n in ("epochs=1", "iterations_per_epoch=2")]
    learning = (*grid, *(w for s in short for w in ("--set", s)), *shared)
    drawn = ("--registration", "none")
    found: dict[str, Command] = {}
    if "prepare" in wanted:
        words = ("prepare", small, *grid[:2], "--set", COARSE[0], *drawn, *shared)
        found["prepare"] = Command(name="prepare", words=words)
    if "predict" in wanted:
        # The shipped bundle calls the drawn nodes: no window slides, so that files are what takes time.
        given = ("--given", "structures,tumor,nodes")
        found["predict"] = Command(name="predict", words=("predict", small, *given, *drawn, *shared))
    if "train" in wanted:
        lines = ("train", "nodes", "--cohort", cohort_of(folder, 6, seed), *learning)
        found["train"] = Command(name="train", words=lines, again=("--resume",))
    if "crossval" in wanted:
        large = cohort_of(folder, 20, seed)
        asked = ("--given", "structures,tumor", "--inner", "2", "--methods", "nodes,ct_reported")
        found["crossval"] = Command(name="crossval", words=("crossval", large, *asked, *learning))
    return found


def cohort_of(folder: Path, patients: int, seed: int) -> str:
    """Return the manifest of so many phantoms."""
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    place = folder / f"cohort{patients}"
    return str(write_phantoms(PhantomCohort(folder=place, settings=settings, seed=seed, patients=patients)))


def told(rows: Sequence[Row]) -> str:
    """Return a Markdown table, and a sentence."""
    lines = [
        "| command | what happened | its writes | points | not whole | differing | wrong exits |",
        "|-|-|-|-|-|-|-|",
    ]
    for row in rows:
        cells = [row.command, WORDS.get(row.how, row.how), row.writes, row.points]
        cells += [len(row.visible), len(row.differing), len(row.wrong)]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    slowest = max((row.slowest for row in rows), default=0.0)
    harmless = sum(row.harmless for row in rows)
    points = sum(row.points for row in rows)
    sentence = (
        f"{points} points in all. At {harmless} of them the command came to its end: what failed "
        f"may fail, or the signal came late. Signals were answered within {slowest:.1f} s."
    )
    return "\n".join([*lines, "", sentence])


if __name__ == "__main__":
    main()
