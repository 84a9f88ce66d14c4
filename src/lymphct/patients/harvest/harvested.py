"""Patients as a tumor network learns from them whose masks are another network's (Sec. IV-B)."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from lymphct.cascade.prepared import ImageName, Prepared
from lymphct.core.arrays import IntArray
from lymphct.core.terms import Structure
from lymphct.core.volume import StoredVolume, Volume
from lymphct.io.results.volumes import StoredImages
from lymphct.patients.harvest.arterial_patient import ArterialPatient
from lymphct.patients.prepared.dataset import PreparedCohort, StoredPatient
from lymphct.patients.prepared.seen import SeenPatient


class HarvestedPatient(SeenPatient):
    """A prepared patient with the tumor of another network; everything else stays as it is."""

    def __init__(self, stored: StoredPatient, labels: Path) -> None:
        """Remember where the mask lies, of `write_mask`."""
        super().__init__(stored)
        self._labels = labels

    @cached_property
    def _masks(self) -> StoredImages:
        return StoredImages(self._labels, self.patient_id)

    @property
    def structures(self) -> Volume | None:
        """Label map of the drawn structures."""
        return self.stored.structures

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""
        return self.stored.labelled

    @property
    def tumor(self) -> Volume | None:
        """The mask."""
        return self._masks["tumor"].whole()

    @property
    def unjudged(self) -> Volume | None:
        """Where it teaches nothing."""
        return self._masks["unjudged"].whole()

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of."""
        return self._masks[name] if name in {"tumor", "unjudged"} else self.stored.view(name)

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class."""
        return (self._masks.locations(name) or {}) if name == "tumor" else self.stored.locations(name)


class HarvestedCohort(Mapping[str, Prepared]):
    """The patients of a store, in one of their phases, some with the tumor of another network."""

    def __init__(
        self,
        patients: PreparedCohort,
        labels: Mapping[str, Path],
        phases: Mapping[str, Path] | None = None,
    ) -> None:
        """Name the patients whose tumor is another network's, and where.

        Args:
            patients: prepared.
            labels: folders of `write_mask`, by id.
            phases: folders of `ArterialPhases.place`, by id: whoever has one is seen in that phase as
                acquired, and nobody else is there. None for everybody on the venous phase.

        """
        self.patients, self.labels, self.phases = patients, dict(labels), phases
        self._open: dict[str, Prepared] = {}

    def __getitem__(self, patient_id: str) -> Prepared:
        """Return a patient."""
        if self.phases is None and patient_id not in self.labels:
            return self.patients[patient_id]
        if patient_id not in self._open:
            self._open[patient_id] = self._opened(patient_id)
        return self._open[patient_id]

    def _opened(self, patient_id: str) -> Prepared:
        labels = self.labels.get(patient_id)
        if self.phases is not None:
            return ArterialPatient(patient_id, self.phases[patient_id], labels)
        return HarvestedPatient(self.patients[patient_id], self.labels[patient_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self.patients if self.phases is None else self.phases)

    def __len__(self) -> int:
        return len(self.patients if self.phases is None else self.phases)
