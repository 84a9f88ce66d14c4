"""The tasks of one split in its folder: what each is made from, and whether what it left still stands.

The results lie where they always did (`plan.json`, `bundle`, `stages`, `evidence`, the prepared patients);
the folder of a task holds a receipt of them, with the time it took. What was done without the graph, by the
command of a single stage or an older version, is found done by the task and gets its receipt at once.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from lymphct.core.errors import InputError, UsageError
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.io.results.made import Recipe
from lymphct.patients.prepared.preparation import is_prepared
from lymphct.study.plan import PLAN_FILE
from lymphct.study.single.facts import FORMAT, SplitFacts
from lymphct.study.tasks.board import Doing
from lymphct.study.tasks.graph import Graph, Study, Task
from lymphct.study.tasks.receipts import PREPARED_FILE, still_stands

if TYPE_CHECKING:
    from lymphct.study.request import TrainingRequest

PLANNED_FILE: Final = "planned.json"
"""Receipt of `plan.json`: its digest."""
PART_FILE: Final = "part.json"
"""Receipt of a part of the bundle: the digest of its weights."""
EXAMINED_FILE: Final = "examined.json"
"""Receipt of the evidence of patients."""


@dataclass(frozen=True, slots=True)
class SplitWork:
    """What the tasks of one split mean; nothing that computes is loaded before a task is done.

    Attributes:
        run: folder of the run.
        study: its tasks.
        facts: what they share.
        request: what is trained, from whom, with which devices; without it nobody can do a task, only look.

    """

    run: Path
    study: Study
    facts: SplitFacts
    request: "TrainingRequest | None" = None

    @property
    def graph(self) -> Graph:
        """The tasks."""
        return self.study.graph

    @property
    def threads(self) -> int | None:
        """As many as the process may use: `--threads` says it for all of a run."""
        return None

    def recipe(self, task: Task) -> Recipe:
        """Return what a task is made from, besides the results before it.

        Settings are not among it: a run keeps those it was begun with, which `plan.json` holds. Nor is code:
        a part that is in the bundle stays, and is not trained again by another version.
        """
        facts = self.facts
        settings: dict[str, dict[str, JSON]] = {
            "prepare": {"patients": [*facts.patients], "variant": facts.variant},
            "learned": {"name": facts.name, "seed": facts.seed},
        }
        made_from = settings.get(task.kind, {})
        return Recipe(settings={**task.arguments, **made_from}, code=("study.tasks.receipts",))

    def holds(self, task: Task, folder: Path) -> bool:
        """Tell whether what a task left outside its folder is still there."""
        if task.kind == "prepare":
            return (
                still_stands(folder / PREPARED_FILE, self.facts.store(self.run).place) and self._unchanged()
            )
        if task.kind == "examine":
            return still_stands(folder / EXAMINED_FILE, (self.run / "evidence").joinpath)
        try:
            if task.kind == "learned":
                return read_json(folder / PLANNED_FILE) == {"sha256": digest_file(self.run / PLAN_FILE)}
            return read_json(folder / PART_FILE) == {"sha256": self._digest_of(task.id)}
        except (InputError, KeyError, TypeError):
            return False

    def _unchanged(self) -> bool:
        """Tell whether the files of the patients are those that were prepared, as far as they are known."""
        if self.request is None:
            return True
        return all(is_prepared(record, self.request.preparation) for record in self.request.teachers)

    def _digest_of(self, stage: str) -> str:
        info: Any = read_json(self.run / "bundle" / "bundle.json")
        return str(info["parts"][stage]["sha256"])

    def make(self, task: Task, doing: Doing) -> None:
        """Do a task.

        Raises:
            UsageError: nobody said from whom to learn.

        """
        if self.request is None:
            msg = f"the task {task.id} of one split is done by the command that began it, not by its id"
            raise UsageError(msg, cure="lymphct train all with the same options, and --resume")
        from lymphct.study.single.doing import do_kind  # noqa: PLC0415 - loads torch

        do_kind(self.request, task, doing)


def open_split(run: Path, request: "TrainingRequest | None" = None) -> SplitWork:
    """Open the tasks of the split in a folder.

    Args:
        run: the folder.
        request: of whoever will do them.

    Raises:
        InputError: there is none, or it is damaged.

    """
    study = Study.read(run, FORMAT)
    try:
        facts = SplitFacts.model_validate(dict(study.facts))
    except ValidationError as error:
        msg = f"not a split of ours: {error.errors()[0]['msg']}"
        raise InputError(msg, code="E_STUDY", cure="begin it anew") from error
    return SplitWork(run, study, facts, request)
