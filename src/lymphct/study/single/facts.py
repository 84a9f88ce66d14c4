"""The one split of `lymphct train all` as data: its tasks, and what they share (`study.json`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from lymphct.core.terms import StageName
from lymphct.patients.prepared.preparation import Store
from lymphct.study.sources import MaskSources, training_rounds
from lymphct.study.tasks.graph import Graph, Task

FORMAT: Final = "lymphct-train-1"
PREPARE: Final = "prepare"
LEARNED: Final = "learned"
"""Id of the task that settles who has which role and measures intensities and bands in those who teach."""
EXAMINE: Final = "examine"
"""Id of the task in which the trained cascade examines the patients of the status network."""


class SplitFacts(BaseModel):
    """What the tasks share; who has which role, and the settings, stand in `plan.json` once it is settled.

    Attributes:
        name: of the bundle.
        seed: of split, weights and patches.
        work: store of the prepared patients, where it is not the run's own.
        variant: how they are prepared.
        patients: ids of those who take part, sorted.

    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    seed: int
    work: str | None
    variant: str
    patients: tuple[str, ...]

    def store(self, run: Path) -> Store:
        """Return where the prepared patients lie."""
        return Store(run / "prepared" if self.work is None else Path(self.work), self.variant)


def split_graph(sources: MaskSources) -> Graph:
    """Return the tasks of one split; stages that need one another's networks come one after the other.

    Args:
        sources: whose masks guide stage 1.

    """
    return Graph(_tasks(sources))


def _tasks(sources: MaskSources) -> Iterator[Task]:
    yield Task(id=PREPARE, kind="prepare")
    yield Task(id=LEARNED, kind="learned", after=(PREPARE,))
    for chains in training_rounds(sources):
        for stage in (stage for chain in chains for stage in chain):
            yield _training(stage, *sources.needs(stage))
    cascade = sources.needs(StageName.METASTASIS)
    yield Task(id=EXAMINE, kind="examine", after=(LEARNED, *cascade), needs_device=True)
    yield _training(StageName.METASTASIS, EXAMINE)


def _training(stage: StageName, *after: str) -> Task:
    return Task(
        id=stage.value,
        kind="train",
        arguments={"stage": stage.value},
        after=(LEARNED, *map(str, after)),
        needs_device=True,
    )
