"""Run all benchmarks and write `docs/benchmarks.md`: `make bench`, or `make bench ONLY="attention metrics"`.

`python benchmarks/suite.py [--only NAME …] [--no-run] [--shape I J K] [--runs N] [--folder FOLDER]`. Each
script runs in a process of its own, one after another, and leaves a JSON file in the folder; the page is
written from all files that are there, so that a section measured anew leaves the others as they were. A peer
that is not installed is named on the page. A script that fails is named at the end, its section stays, and
the exit code is 1. `--shape` and `--runs` make the scripts that know them small, to try them out.

Where the folder has no record of a section, the page keeps what it says of it.

panoptica demands other versions than ours: `--panoptica PYTHON` (or LYMPHCT_PANOPTICA) names an interpreter
that has it; without that an environment is made under `build/`. nnU-Net: `--nnunet PYTHON` (or
LYMPHCT_NNUNET), of an environment as `nnunet_inference.py` says; without it we run alone. Trainings read a
store of 2 GB that is made beside the folder and removed by the last of them.
The registration pairs need a script and a CT: LYMPHCT_PAIR_SCRIPT, LYMPHCT_CT and, for Dice,
LYMPHCT_CT_LABELS; the original program DEEDS_BIN.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.quality.tables import BEGIN, END, around_marks, write_between_marks
from benchmarks.suite_kept import kept
from benchmarks.suite_page import page
from benchmarks.suite_sections import (
    FILES,
    FULL,
    HEADINGS,
    NEEDS_CT,
    OPTIONS,
    PHANTOMS,
    SIDE_BY_SIDE,
    lacking,
)

from lymphct.core.errors import LymphctError

SCRIPTS: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        folder: keeps a JSON file for each section.
        shape: voxels instead of each section's own.
        runs: timed runs instead of each script's own number.
        panoptica: interpreter that has panoptica; None where there is none.
        nnunet: interpreter that has nnunetv2; None where there is none.

    """

    folder: Path
    shape: tuple[str, ...] = ()
    runs: int | None = None
    panoptica: str | None = None
    nnunet: str | None = None

    def words(self, name: str) -> list[str]:
        """Return what a script is called with beside --json."""
        words = list(OPTIONS.get(name, ()))
        if name in SIDE_BY_SIDE and self.shape:
            words = [word for word in words if word not in FULL] + ["--shape", *self.shape]
        if name in SIDE_BY_SIDE and self.runs is not None:
            words += ["--runs", str(self.runs)]
        if name == "matching" and self.panoptica is not None:
            words += ["--panoptica", self.panoptica]
        if name == "nnunet_inference" and self.nnunet is not None:
            words += ["--peer", self.nnunet]
        if name in {"training_pipeline", "training_scale"}:
            words += ["--store", str(self.folder.parent / "training_store")]
        return words


def measure(name: str, order: Order) -> None:
    """Run the script of a section; its record replaces the one of earlier.

    Raises:
        CalledProcessError: the script failed; the earlier record stays.

    """
    if name == "phantoms":
        record = phantoms_record()
    elif name == "inference":
        record = inference_record(order)
    elif name == "prepared_store":
        record = store_record()
    elif name == "registration":
        record = script_record("registration.py", registration_words(os.environ) or ())
    else:
        record = script_record(FILES.get(name, f"{name}.py"), order.words(name))
    target = order.folder / f"{name}.json"
    target.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def script_record(script: str, words: Sequence[str]) -> dict[str, Any]:
    """Run a script to its end and return what it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "record.json"
        command = [sys.executable, str(SCRIPTS / script), *words, "--json", str(target)]
        subprocess.run(command, check=True)
        record: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    return record


def inference_record(order: Order) -> dict[str, Any]:
    """Time windows and watch memory with a small network, libraries with the paper's network too."""
    words = order.words("inference")
    record = script_record("inference.py", ("windows", "memory", *words))
    # A small image is asked for to try the suite out: the paper's window would take minutes.
    unet = () if order.shape else ("--unet", "paper")
    runs = () if order.runs is None else ("--runs", str(order.runs))
    libraries = script_record("inference.py", ("backends", *unet, *runs))
    return {**record, "tables": [*record["tables"], *libraries["tables"]]}


def store_record() -> dict[str, Any]:
    """Make a phantom of size `paper`, and prepare it in several ways."""
    program = "from lymphct.cli.main import run; run()"
    with tempfile.TemporaryDirectory() as parent:
        folder = str(Path(parent) / "phantoms")
        words = ("phantom", folder, "--patients", "1", "--size", "paper", "--seed", "3")
        subprocess.run([sys.executable, "-c", program, *words], check=True)
        return script_record("prepared_store.py", (folder,))


def phantoms_record() -> dict[str, Any]:
    """Register phantoms by each method that is installed."""
    methods = {"lymphct": "deeds"}
    if importlib.util.find_spec("convexAdam") is not None:
        methods["convexAdam"] = "convexadam"
    records = {
        name: script_record("phantom_registration.py", ("--patients", str(PHANTOMS), "--method", method))
        for name, method in methods.items()
    }
    found = {name: {"patients": record["patients"]} for name, record in records.items()}
    return {"environment": records["lymphct"]["environment"], "methods": found}


def registration_words(environment: Mapping[str, str]) -> list[str] | None:
    """Return how the registration of a CT is called; None where its files are not named."""
    script, ct = environment.get("LYMPHCT_PAIR_SCRIPT"), environment.get("LYMPHCT_CT")
    if not script or not ct:
        return None
    labels = environment.get("LYMPHCT_CT_LABELS")
    return ["--pair-script", script, "--ct", ct, *(("--seg", labels) if labels else ())]


def panoptica_environment(folder: Path) -> str | None:
    """Return an interpreter that has panoptica, made under `folder`; None where that fails."""
    python = folder / "bin" / "python"
    if not python.exists() and not run_quietly([sys.executable, "-m", "venv", str(folder)]):
        return None
    installed = run_quietly([str(python), "-c", "import panoptica"]) or run_quietly(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "panoptica"]
    )
    return str(python) if installed else None


def run_quietly(command: Sequence[str]) -> bool:
    """Run a command; tell whether it succeeded."""
    streams: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, check=False, **streams).returncode == 0


def records_in(folder: Path) -> dict[str, Any]:
    """Read the records that are there, in the order of the page."""
    files = {name: folder / f"{name}.json" for name in HEADINGS}
    return {
        name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()
    }


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help=f"of {', '.join(HEADINGS)}; all by default")
    parser.add_argument("--no-run", action="store_true", help="write the page from the files that are there")
    parser.add_argument("--shape", nargs=3, default=(), help="voxels along i, j, k, to try it out")
    parser.add_argument("--runs", type=int, help="timed runs")
    parser.add_argument("--panoptica", metavar="PYTHON", default=os.environ.get("LYMPHCT_PANOPTICA"))
    parser.add_argument("--nnunet", metavar="PYTHON", default=os.environ.get("LYMPHCT_NNUNET"))
    parser.add_argument("--folder", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--docs", type=Path, default=Path("docs/benchmarks.md"))
    given = parser.parse_args()
    unknown = sorted(set(given.only or ()) - set(HEADINGS))
    if unknown:
        parser.error(f"unknown section {unknown[0]}, known: {', '.join(HEADINGS)}")
    return given


def run_all(names: Sequence[str], order: Order, work: Callable[[str, Order], None] = measure) -> list[str]:
    """Measure sections one after another; return those that failed."""
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        try:
            work(name, order)
        except subprocess.CalledProcessError as error:
            print(f"{name} failed with exit code {error.returncode}: its section stays", file=sys.stderr)
            failed.append(name)
    return failed


def main() -> int:
    given = read_arguments()
    try:
        around_marks(given.docs)  # better now than after an hour of measuring
    except LymphctError as error:
        sys.exit(f"error: {error}")
    given.folder.mkdir(parents=True, exist_ok=True)
    names = [] if given.no_run else [name for name in HEADINGS if not given.only or name in given.only]
    absent = lacking(os.environ)
    for name in [name for name in names if name in absent]:
        print(f"{name} is left out. {absent[name]}")
        names.remove(name)
    panoptica = given.panoptica
    if "matching" in names and panoptica is None:
        panoptica = panoptica_environment(given.folder.parent / "panoptica")
    order = Order(
        folder=given.folder,
        shape=tuple(given.shape),
        runs=given.runs,
        panoptica=panoptica,
        nnunet=given.nnunet,
    )
    failed = run_all(names, order)
    earlier = kept(given.docs.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0])
    text = page(HEADINGS, records_in(given.folder), {"registration": NEEDS_CT, **absent}, earlier)
    write_between_marks(given.docs, text)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
