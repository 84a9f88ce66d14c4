"""Whose masks teach a student of structures: networks of a bundle, or files (Sec. III-A.1, decision 0040).

Programs and traced arteries are in `patients.sources.named_teachers`, which also reads what a user names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from lymphct.anatomy.self_learning import TeacherMap, without
from lymphct.anatomy.structures import segment_surely
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.prepared import Prepared
from lymphct.core.errors import InputError, ModelError
from lymphct.core.geometry import Geometry
from lymphct.core.origin import Origin
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase, StageName, Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, working_grid
from lymphct.io.images.labels import Scheme, read_partial_labels
from lymphct.io.images.reading import read_ct
from lymphct.io.manifest import PatientRecord
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.patient_files import patient_file
from lymphct.io.results.fingerprints import digest_input, fingerprint_key
from lymphct.io.structure_sources import origins_named
from lymphct.patients.prepared.guided import network_key
from lymphct.patients.sources.naming import FILES

BUNDLE: Final = "bundle"


class MaskSource(Protocol):
    """Somebody's masks of a cohort: a teacher."""

    @property
    def name(self) -> str:
        """What it is called in records and cards; no path of this machine."""

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Whose data and tools are behind the masks, for the card of what learns from them."""

    def key(self, record: PatientRecord) -> str:
        """Return a digest of what the masks of a patient depend on besides his images; "" without any."""

    def told(
        self, record: PatientRecord, patient: Prepared, before: Mapping[str, TeacherMap]
    ) -> TeacherMap | None:
        """Return the masks of a patient on any grid, numbers of ours, 255 where they do not say.

        None where there are none.

        Args:
            record: line of the manifest.
            patient: prepared.
            before: what more trusted sources say of him, on the grid of his prepared images.

        Raises:
            InputError: there are, and they cannot be used.

        """


@dataclass(frozen=True)
class BundleSource:
    """The structures network of a bundle, whatever its spacing.

    Attributes:
        folder: of the bundle.
        device: on which it runs.

    """

    folder: Path
    device: str = "auto"

    @cached_property
    def info(self) -> BundleInfo:
        """What the bundle says.

        Raises:
            ModelError: it is refused, or has no structures network.

        """
        info = read_bundle(self.folder).info
        if StageName.STRUCTURES not in info.parts:
            msg = f"the bundle {info.name} has no structures network"
            raise ModelError(msg, code="E_PART", cure="give another teacher")
        return info

    @property
    def name(self) -> str:
        """Kind and name of the bundle."""
        return f"{BUNDLE}:{self.info.name}"

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Data sets behind the bundle."""
        return self.info.origins

    def key(self, record: PatientRecord) -> str:
        """Return a digest of the network; "" for a patient it cannot look at."""
        if record.arterial is None and self._needs_arterial:
            return ""
        return fingerprint_key({"networks": network_key(self.info, (StageName.STRUCTURES,))})

    @property
    def _needs_arterial(self) -> bool:
        phases = self.info.parts[StageName.STRUCTURES].architecture.get("phases", "both")
        return phases == "arterial" or (phases == "both" and not self.info.phase_dropout)

    def told(
        self, record: PatientRecord, patient: Prepared, before: Mapping[str, TeacherMap]
    ) -> TeacherMap | None:
        """Let the network draw a patient, with the probability of each voxel's class."""
        del before
        ct = patient.ct
        if not self.key(record):
            return None
        models = models_in(self.folder, self.device)
        if models.structures is None:
            raise ModelError(self.name, code="E_PART")  # `info` has refused it before
        grid = working_grid(ct.venous.geometry, models.spacing)
        image = models.view(_on(ct, grid), StageName.STRUCTURES)
        labels, confidence = segment_surely(models.structures.network, image, models.structures.settings)
        return TeacherMap(labels=labels, structures=self._structures, confidence=confidence)

    @property
    def _structures(self) -> tuple[Structure, ...]:
        """Those that somebody showed the network."""
        shown = self.info.parts[StageName.STRUCTURES].extra.get("drawn_in")
        if not isinstance(shown, dict):
            return tuple(Structure)
        return tuple(structure for structure in Structure if shown.get(structure.label, 1))


def _on(ct: Multiphase, grid: Geometry) -> Multiphase:
    arterial = None if ct.arterial is None else resample(ct.arterial, grid, fill=-1024)
    return Multiphase(venous=resample(ct.venous, grid, fill=-1024), arterial=arterial)


@dataclass(frozen=True)
class FileSource:
    """Label maps, or folders of masks, of each patient.

    Attributes:
        pattern: a folder, or a path with `{patient}`.
        labels: numbering of the files.
        kind: whose they are, by the table of sources.
        partly: structures of which they show a part alone; the rest of such a one is no background, so they
            do not tell it.

    """

    pattern: str
    labels: Scheme = "auto"
    kind: str = FILES
    partly: tuple[Structure, ...] = ()

    @property
    def name(self) -> str:
        """Kind and the last words of the path."""
        return f"{self.kind}:" + "/".join(Path(self.pattern).parts[-2:])

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The tool or data set, where it is known."""
        return origins_named([self.kind])

    def path(self, patient_id: str) -> Path | None:
        """Return where the mask of a patient lies; None where there is none."""
        return patient_file(self.pattern, patient_id)

    def key(self, record: PatientRecord) -> str:
        """Return the digest of the patient's file; "" without one."""
        path = self.path(record.patient_id)
        return "" if path is None else digest_input(path)

    def told(
        self, record: PatientRecord, patient: Prepared, before: Mapping[str, TeacherMap]
    ) -> TeacherMap | None:
        """Read the masks of a patient, which lie on the grid of the venous phase."""
        del patient, before
        path = self.path(record.patient_id)
        if path is None:
            return None
        grid = read_ct(record.venous, phase=Phase.VENOUS).volume.geometry
        found = read_partial_labels(path, scheme=self.labels, grid=grid)
        array = found.volume.array
        if found.unjudged is not None:
            array = np.where(found.unjudged, UNJUDGED, array).astype(np.uint8)
        structures = tuple(Structure) if found.labelled is None else found.labelled
        return without(TeacherMap(labels=found.volume.with_array(array), structures=structures), self.partly)


def on_grid(told: TeacherMap, grid: Geometry) -> TeacherMap:
    """Bring a teacher's map onto a grid, nearest neighbour; it does not say what lies outside its own."""
    labels = resample(told.labels, grid, fill=UNJUDGED, interpolation="nearest")
    sure = told.confidence
    sure = None if sure is None else resample(sure, grid, interpolation="nearest")
    return replace(told, labels=labels, confidence=sure)


def maps_of(
    sources: Sequence[MaskSource], record: PatientRecord, patient: Prepared, grid: Geometry
) -> dict[str, TeacherMap]:
    """Return what each source says of a patient on a grid, by its name; those that say nothing are left out.

    Raises:
        InputError: the masks of one cannot be used; names patient and source.

    """
    found: dict[str, TeacherMap] = {}
    for source in sources:
        try:
            told = source.told(record, patient, found)
        except InputError as error:
            raise error.at(patient=record.patient_id) from error.__cause__
        if told is not None:
            found[source.name] = on_grid(told, grid)
    return found


def as_bytes(confidence: Volume) -> Volume:
    """Return probabilities as bytes, 255 for 1; rounded down, so that none passes a limit it missed."""
    return confidence.with_array(np.floor(np.clip(confidence.array, 0, 1) * 255).astype(np.uint8))


def as_confidence(stored: Volume) -> Volume:
    """Return probabilities from bytes."""
    return stored.with_array((stored.array / np.float32(255)).astype(np.float32))
