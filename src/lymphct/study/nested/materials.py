"""What the tasks of a nested cross-validation work on, and the names of what they leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.io.manifest import PatientRecord
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.nested.guard import Artefacts
from lymphct.study.nested.plan import CascadeRole, NestedPlan
from lymphct.study.tasks.graph import Task

JUDGED_FILE: Final = "judged.json"
VOLUMES_FILE: Final = "volumes.json"
MEASURED_FILE: Final = "measured.json"
"""How what was found in a test patient agrees with what is drawn."""
LOST_FILE: Final = "lost.json"
"""Patients who could not be examined, with the reason."""
LOGS: Final = "logs"
"""Folder of the run that keeps the log of each training."""
RADIOMICS: Final = "radiomics"
"""Folder of the run that keeps the features of each tumor mask."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What tasks work on.

    Attributes:
        run: folder of the study.
        plan: its facts.
        preparation: how patients are prepared, and where.
        records: lines of the manifests by patient.

    """

    run: Path
    plan: NestedPlan
    preparation: Preparation
    records: Mapping[str, PatientRecord]

    @property
    def artefacts(self) -> Artefacts:
        """The results so far."""
        return Artefacts(self.run, self.plan)

    @property
    def patients(self) -> PreparedCohort:
        """Everybody, as prepared."""
        clinical = {name: entry.clinical for name, entry in self.plan.patients.items()}
        return PreparedCohort(self.preparation.store, clinical)


def cascade_of(task: Task) -> CascadeRole:
    """Return the cascade a task is about."""
    arguments = {name: task.arguments[name] for name in CascadeRole.model_fields if name in task.arguments}
    return CascadeRole.model_validate(arguments)
