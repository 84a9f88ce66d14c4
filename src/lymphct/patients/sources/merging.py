"""Structures of one patient from several sources, merged in their order of trust (decision 0043)."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.tracing import trace_arteries
from lymphct.cascade.alignment import AIR, align
from lymphct.cascade.examination import Given, find_structures, require_phases
from lymphct.core.arrays import BoolArray
from lymphct.core.errors import GeometryMismatchError, InputError, LymphctError
from lymphct.core.patient import Multiphase, Notice, PatientInput
from lymphct.core.terms import Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample, resample_labels
from lymphct.io.images.known_sources import known_sources
from lymphct.io.images.label_names import DATASET_FILE
from lymphct.io.images.reading import read_labels, read_partial_labels, write_volume
from lymphct.io.models.loading import models_in
from lymphct.io.nnunet.described import description_file, nnunet_channels
from lymphct.io.nnunet_child import NnunetLimits, predict_by_nnunet
from lymphct.io.totalsegmentator_child import structures_by_totalsegmentator
from lymphct.learning.devices import chosen_device
from lymphct.patients.reading import require_plausible
from lymphct.patients.sources.naming import NamedSource
from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

ORGANS: Final = frozenset(
    {
        Structure.SPLEEN,
        Structure.STOMACH,
        Structure.PANCREAS,
        Structure.LIVER,
        Structure.RIGHT_KIDNEY,
        Structure.LEFT_KIDNEY,
        Structure.AORTA,
    }
)
"""Structures that two true maps of one patient cannot show in two places; a vessel may be drawn in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourcing:
    """How structures are brought together.

    Attributes:
        sources: the most trusted first.
        bundle: whose network `bundle` without a path is.
        device: on which networks run.
        registration: how the arterial phase is brought onto the venous one for sources that need both.
        agreement: least Dice of two sources before a notice is given.
        tracing: limits of the arteries that `trace` looks for.
        threads: of the registration.

    """

    sources: tuple[NamedSource, ...]
    bundle: Path | None = None
    device: str = "auto"
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    agreement: float = 0.5
    tracing: TracingSettings = field(default_factory=TracingSettings)
    threads: int = 1


@dataclass(slots=True)
class Merged:
    """A label map that grows.

    Attributes:
        labels: our numbers, on the venous grid, uint8.
        sources: who gave each structure.
        notices: where two disagree.

    """

    labels: Volume
    sources: dict[Structure, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    partly: set[Structure] = field(default_factory=set)


def with_sources(patient: PatientInput, how: Sourcing) -> PatientInput:
    """Return a patient with the structures of all sources; those that are there already are trusted most.

    Raises:
        InputError: a file of the patient is missing or refused, or two sources show an organ in two places.
        GeometryMismatchError: a mask lies on another grid than the venous phase.
        ModelError, EnvironmentProblemError: a model or program is missing or failed.

    """
    grid = patient.venous.geometry
    merged = Merged(patient.venous.with_array(np.zeros(grid.shape, np.uint8)))
    if patient.structures is not None:
        _add(merged, patient.structures, "files", how)
    case = _Case(patient, how)
    for source in how.sources:
        try:
            found = case.structures(source, merged)
            if found is not None:
                seen = np.where(found.array == UNJUDGED, 0, found.array)
                _add(merged, found.with_array(seen), source.name, how)
        except LymphctError as error:
            raise error.at(patient=patient.patient_id) from error.__cause__
    logger.info(
        "%s: structures from %s",
        patient.patient_id,
        ", ".join(sorted(set(merged.sources.values()))) or "none",
    )
    labelled = None if patient.labelled is None else tuple(sorted({*patient.labelled, *merged.sources}))
    return replace(
        patient,
        structures=merged.labels,
        structure_sources={structure: merged.sources[structure] for structure in sorted(merged.sources)},
        structure_confidence={s: sure for s, sure in case.confidence.items() if "trace" in merged.sources[s]},
        notices=(*patient.notices, *case.notices, *merged.notices),
        labelled=labelled,
    )


def _add(merged: Merged, found: Volume, name: str, how: Sourcing) -> None:
    """Add what no earlier source gave; where one gave a part alone, the rest of it."""
    present = [Structure(int(n)) for n in np.unique(found.array) if n]
    before = merged.labels.array
    labels = before.copy()
    free = (before == 0) | (before == Structure.PANCREAS)  # arteries run in it, and masks of it hold them
    known = known_sources().get(name)
    for structure in present:
        mask = found.array == structure
        if structure not in merged.sources:
            merged.sources[structure] = name
            if known is not None and structure in known.partly:
                merged.partly.add(structure)
        elif structure in merged.partly:
            merged.sources[structure] += f"+{name}"
        else:
            merged.notices += _disagreement(structure, before == structure, mask, (merged, name, how, found))
            continue
        labels[mask & (free if name == "trace" else before == 0)] = structure
    merged.labels = merged.labels.with_array(labels)


def _disagreement(
    structure: Structure, ours: BoolArray, theirs: BoolArray, about: tuple[Merged, str, Sourcing, Volume]
) -> list[Notice]:
    """Compare what two sources say of one structure.

    Raises:
        InputError: `E_SOURCES_CONTRADICT`, an organ in two places.

    """
    merged, name, how, found = about
    first, voxel = merged.sources[structure], float(np.prod(found.geometry.spacing)) / 1000
    sizes = [float(np.count_nonzero(mask)) for mask in (ours, theirs)]
    dice = 2 * float(np.count_nonzero(ours & theirs)) / max(sum(sizes), 1.0)
    volumes = f"{first} {sizes[0] * voxel:.1f} mL, {name} {sizes[1] * voxel:.1f} mL"
    if structure in ORGANS and dice == 0 and min(sizes):
        msg = f"{first} and {name} show the {structure.title} in two places that do not touch ({volumes})"
        cure = "one of them is mirrored or of another patient: leave it out"
        raise InputError(msg, code="E_SOURCES_CONTRADICT", cure=cure)
    if dice >= how.agreement:
        return []
    text = (
        f"two sources disagree on the {structure.title}: {volumes}, Dice {dice:.2f} "
        f"(below {how.agreement:g}); that of {first} is used"
    )
    return [Notice(code="sources_disagree", text=text, value=f"{structure.label} {dice:.2f}")]


class _Case:
    """One patient, as sources meet him; phases are registered when the first source needs both."""

    def __init__(self, patient: PatientInput, how: Sourcing) -> None:
        self.patient, self.how = patient, how
        self.notices: list[Notice] = []
        self.confidence: dict[Structure, float] = {}

    def structures(self, source: NamedSource, merged: Merged) -> Volume | None:
        """Return what a source gives, on the venous grid; None where that is nothing."""
        if source.is_read:
            return self._read(source)
        if source.name == "totalsegmentator":
            return structures_by_totalsegmentator(self.patient.venous)
        if source.name == "bundle":
            return self._by_bundle(source)
        return self._traced(merged) if source.name == "trace" else self._by_nnunet(source)

    def _read(self, source: NamedSource) -> Volume:
        path, grid = source.file_of(self.patient.patient_id), self.patient.venous.geometry
        try:
            found = read_partial_labels(path, scheme=source.scheme, grid=grid)
        except GeometryMismatchError as error:
            raise error.at(file=f"{source.name}: {path.name}") from None
        require_plausible(found.volume, source.scheme, path.name, found.unjudged)
        if found.unjudged is None:
            return found.volume
        return found.volume.with_array(np.where(found.unjudged, UNJUDGED, found.volume.array))

    def _by_bundle(self, source: NamedSource) -> Volume:
        folder = Path(source.path) if source.path else self.how.bundle
        if folder is None:
            msg = "the source bundle needs the folder of a bundle here"
            raise InputError(msg, code="E_SOURCE", cure="write bundle:FOLDER")
        models = models_in(folder.resolve(), self.how.device)
        patient = self.patient
        require_phases(patient.patient_id, patient.arterial, models)
        how = self.how.registration.model_copy(update={"method": models.info.registration})
        aligned = align(patient.venous, patient.arterial, models.spacing, how, threads=self.how.threads)
        return resample_labels(find_structures(aligned.ct, Given(), models), patient.venous.geometry)

    def _traced(self, merged: Merged) -> Volume | None:
        ct = self._phases
        if ct.arterial is None:
            msg = "the source trace needs the arterial phase, which this patient does not have"
            raise InputError(msg, code="E_ARTERIAL", cure="give --arterial, or leave trace out")
        if not np.any(merged.labels.array == Structure.AORTA):
            msg = "the source trace needs the aorta, which no source before it gives"
            cure = "name a source of organs before it, such as totalsegmentator"
            raise InputError(msg, code="E_NO_AORTA", cure=cure)
        known = merged.labels.with_array(np.where(merged.labels.array == UNJUDGED, 0, merged.labels.array))
        traced = trace_arteries(ct.arterial, known, self.how.tracing)
        for structure, why in sorted(traced.withheld.items()):
            text = f"the {structure.title} was not traced: {why}"
            self.notices.append(Notice(code="trace_withheld", text=text, value=structure.label))
        self.confidence = dict(sorted(traced.confidence.items()))
        return traced.structures

    def _by_nnunet(self, source: NamedSource) -> Volume:
        folder, ct = Path(source.path), self._phases
        with tempfile.TemporaryDirectory(prefix="lymphct-source-") as name:
            images = []
            described = description_file(folder)
            phases = [ct.arterial, ct.venous] if nnunet_channels(folder) > 1 else [ct.venous]
            for number, phase in enumerate(phases):
                if phase is None:
                    msg = "the nnU-Net takes both phases and this patient has no arterial one"
                    raise InputError(msg, code="E_ARTERIAL", cure="give --arterial, or leave it out")
                images.append(Path(name, f"image_{number:04d}.nii.gz"))
                write_volume(images[-1], phase)
            limits = NnunetLimits(device=chosen_device(self.how.device).type)
            made = predict_by_nnunet(folder, images, Path(name, "labels.nii.gz"), limits=limits)
            beside = Path(made).parent / DATASET_FILE
            if not beside.exists():
                beside.write_bytes(described.read_bytes())
            return read_labels(Path(made), grid=self.patient.venous.geometry)

    @cached_property
    def _phases(self) -> Multiphase:
        """Both phases on the venous grid as acquired, the arterial one registered where there is one."""
        patient = self.patient
        if patient.arterial is None:
            return Multiphase(venous=patient.venous)
        aligned = align(
            patient.venous,
            patient.arterial,
            patient.venous.geometry.spacing,
            self.how.registration,
            threads=self.how.threads,
        )
        seen = aligned.ct.arterial
        grid = patient.venous.geometry
        early = None if seen is None else resample(seen, grid, fill=AIR)
        return Multiphase(venous=patient.venous, arterial=early)


def sourcing_key(sources: Sequence[NamedSource]) -> list[str]:
    """Return the sources as text for a recipe."""
    return [f"{source.text} ({source.scheme})" for source in sources]


def source_files(sources: Sequence[NamedSource], patient_id: str) -> dict[str, Path]:
    """Return the files a patient's structures are read from, and the folders of models, by a role each.

    Raises:
        InputError: one of them is not there.

    """
    files = {}
    for number, source in enumerate(sources):
        if source.is_read:
            files[f"structures_{number}"] = source.file_of(patient_id)
        elif source.path:
            folder = Path(source.path)
            if not folder.is_dir():
                msg = f"the source {source.name} has no such folder"
                raise InputError(msg, code="E_MISSING", cure="correct it").at(file=source.path)
            files[f"structures_{number}"] = folder
    return files
