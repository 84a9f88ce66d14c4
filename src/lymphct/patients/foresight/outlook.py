"""What a command would do and need, known before anything is computed: the answer to `check --for`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lymphct.core.patient import Notice
from lymphct.core.terms import StageName
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON
from lymphct.patients.foresight.checking import CheckedCohort
from lymphct.patients.foresight.inventory import Inventory, status_counts
from lymphct.patients.foresight.problems import Problem, by_line

Purpose = Literal["prepare", "predict", "train", "crossval"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One part of a split: how many patients, by N status, and with which masks."""

    name: str
    patients: int
    n_status: Mapping[str, int]
    masks: Mapping[str, int]

    @classmethod
    def of(cls, name: str, records: Sequence[PatientRecord]) -> "Share":
        """Count the patients of a part."""
        masks = {
            mask: sum(mask in record.paths for record in records) for mask in ("structures", "tumor", "nodes")
        }
        return cls(name=name, patients=len(records), n_status=status_counts(records), masks=masks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one stage would learn from.

    Attributes:
        stage: which.
        learns_from: what a patient must have, in words.
        train: training patients who have it.
        validation: validation patients who have it.
        classes: what is to be told apart among the training patients, by class; empty where nothing is.
        epochs: of the training.
        iterations: of an epoch.
        guided_by: whose structures and tumor guide the search for lymph nodes; empty for other stages.
        harvested: training patients without it in whom a network draws it.
        scored: patients with it who are kept for the scores of such a training.
        least: how many of each of these classes it takes.

    """

    stage: StageName
    learns_from: str
    train: int
    validation: int
    classes: Mapping[str, int]
    epochs: int
    iterations: int
    guided_by: str = ""
    harvested: int = 0
    scored: int = 0
    least: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that are needed at least, and those that are free; None where that is not known."""

    needed: int
    free: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a command would do, and everything that stands in its way.

    Attributes:
        purpose: for which command.
        inventory: what the cohort has.
        parts: the split, part by part; empty where nobody is trained.
        lessons: what each stage would learn from; likewise.
        jobs: processes that would work side by side.
        memory: of one such process.
        disk: of what would be written.
        notices: what the user should know.
        problems: what must be mended first, all of it.
        checked: what reading every image showed; None where the images were not read.

    """

    purpose: Purpose
    inventory: Inventory
    parts: tuple[Share, ...] = ()
    lessons: tuple[Lesson, ...] = ()
    jobs: int = 1
    memory: Need
    disk: Need
    notices: tuple[Notice, ...] = ()
    problems: tuple[Problem, ...] = ()
    checked: CheckedCohort | None = None

    def with_images(self, checked: CheckedCohort, inventory: Inventory) -> "Outlook":
        """Return the same outlook after every image was read, and the nodes in class maps were counted."""
        known = {_key(problem) for problem in self.problems}
        new = [problem for problem in checked.problems if _key(problem) not in known]
        return replace(self, inventory=inventory, problems=by_line([*self.problems, *new]), checked=checked)

    @property
    def stopping(self) -> tuple[Problem, ...]:
        """Return the problems for which the work cannot begin at all."""
        return tuple(problem for problem in self.problems if problem.stops)

    def record(self) -> dict[str, JSON]:
        """Return everything for JSON."""
        read: dict[str, Any] = {} if self.checked is None else self.checked.record()
        fields: dict[str, Any] = {
            "purpose": self.purpose,
            "inventory": self.inventory.record(),
            "parts": [asdict(part) for part in self.parts],
            "stages": [asdict(lesson) for lesson in self.lessons],
            "jobs": self.jobs,
            "memory": asdict(self.memory),
            "disk": asdict(self.disk),
            "notices": [asdict(notice) for notice in self.notices],
            "problems": [problem.record() for problem in self.problems],
            "by_patient": read.get("by_patient", []),
        }
        return fields


def _key(problem: Problem) -> tuple[int, str, str, str]:
    return problem.line, problem.column, problem.code, problem.cause
