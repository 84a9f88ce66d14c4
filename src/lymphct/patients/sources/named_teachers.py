"""Teachers of structures by the names of the table of sources: files, bundles, programs, traced arteries.

What `predict --structures` takes from a source, `train structures --teacher` learns from (decisions 0040,
0043).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.anatomy.self_learning import TeacherMap, combined
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.tracing import trace_arteries
from lymphct.cascade.prepared import Prepared
from lymphct.core.errors import InputError, UsageError
from lymphct.core.origin import Origin
from lymphct.core.patient import PatientInput
from lymphct.core.terms import Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.io.images.known_sources import known_sources
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.io.nnunet.described import nnunet_channels, nnunet_structures
from lymphct.io.nnunet_child import nnunet_program
from lymphct.io.patient_files import PATIENT
from lymphct.io.results.fingerprints import digest_input, fingerprint_key
from lymphct.io.structure_sources import origins_named
from lymphct.io.totalsegmentator_child import totalsegmentator_program, totalsegmentator_version
from lymphct.patients.sources.merging import Sourcing, with_sources
from lymphct.patients.sources.naming import FILES, NamedSource, named_sources
from lymphct.patients.sources.teachers import BUNDLE, BundleSource, FileSource, MaskSource
from lymphct.registration.settings import RegistrationSettings

logger = logging.getLogger(__name__)

TRACE: Final = "trace"
NNUNET: Final = "nnunet"
TOTALSEGMENTATOR: Final = "totalsegmentator"
ALIGNED: Final = RegistrationSettings(method="none")
"""The phases of a prepared patient lie on one another already."""


def teachers_named(
    text: str,
    *,
    labels: Scheme = "auto",
    device: str = "auto",
    tracing: TracingSettings | None = None,
) -> tuple[MaskSource, ...]:
    """Return the teachers that a text names, in their order of trust.

    Args:
        text: `bundle:FOLDER`, `nnunet:FOLDER`, `totalsegmentator`, `NAME:PATH` of a tool's files, a folder, a
            path with `{patient}`, or `trace`; several are separated by commas.
        labels: numbering of files without a name.
        device: on which networks run.
        tracing: limits of traced arteries.

    Raises:
        UsageError: a source that is none, a path that is the same for everybody, or `trace` as the first.
        EnvironmentProblemError: a program is named that is not installed.

    """
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        msg = "the list of sources holds an empty one"
        raise UsageError(msg, code="E_SOURCE", cure="--teacher bundle:FOLDER,masks")
    named = [source for word in words for source in named_sources(word, labels=labels)]
    if named[0].name == TRACE:
        msg = "the source trace needs the aorta, which no source before it gives"
        raise UsageError(msg, code="E_SOURCE", cure="name a source of organs first: --teacher masks,trace")
    return tuple(_teacher(source, device, tracing or TracingSettings()) for source in named)


def _teacher(source: NamedSource, device: str, tracing: TracingSettings) -> MaskSource:
    if source.name == TRACE:
        return TracedSource(tracing)
    if source.name == BUNDLE:
        if not source.path:
            msg = "the source bundle needs the folder of a bundle here"
            raise UsageError(msg, code="E_SOURCE", cure="write bundle:FOLDER")
        return BundleSource(Path(source.path), device)
    if source.is_read:
        return _files(source)
    return ProgramSource(source, device).ready()


def _files(source: NamedSource) -> FileSource:
    if PATIENT not in source.path and not Path(source.path).is_dir():
        msg = f"{Path(source.path).name!r} is no folder and does not say where the masks of each patient lie"
        raise UsageError(msg, code="E_SOURCE", cure=f"give a folder, or a path with {PATIENT}")
    partly = () if source.name == FILES else known_sources()[source.name].partly
    return FileSource(source.path, source.scheme, source.name, partly)


@dataclass(frozen=True)
class ProgramSource:
    """A program that draws masks in a child process: TotalSegmentator, or the user's own nnU-Net.

    Attributes:
        source: by name.
        device: on which it runs.

    """

    source: NamedSource
    device: str = "auto"

    def ready(self) -> "ProgramSource":
        """Return it, once the program is known to be there.

        Raises:
            EnvironmentProblemError: it is not.
            InputError: the folder of the model is none, or names none of the structures.

        """
        if self.source.name == TOTALSEGMENTATOR:
            totalsegmentator_program()
        else:
            nnunet_program()
            if not self._structures:
                msg = "none of the labels in its dataset.json is one of the structures"
                raise InputError(msg, code="E_LABELS", cure="take another model").at(file=self.name)
        return self

    @property
    def name(self) -> str:
        """Kind and the last words of the path of its model."""
        path = "/".join(Path(self.source.path).parts[-2:])
        return f"{self.source.name}:{path}" if path else self.source.name

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The tool, where it is known whose work its masks are."""
        return origins_named([self.source.name])

    def key(self, record: PatientRecord) -> str:
        """Return a digest of its model; "" for a patient it cannot look at."""
        if record.arterial is None and self._needs_arterial:
            return ""
        return self._model_key

    @cached_property
    def _model_key(self) -> str:
        if self.source.path:
            return digest_input(Path(self.source.path))
        # Of a program on PATH nothing is known but what it says of itself.
        return f"{self.source.name} {totalsegmentator_version()}".strip()

    @cached_property
    def _needs_arterial(self) -> bool:
        return self.source.name == NNUNET and nnunet_channels(Path(self.source.path)) > 1

    @cached_property
    def _structures(self) -> tuple[Structure, ...]:
        if self.source.name == NNUNET:
            return nnunet_structures(Path(self.source.path))
        return known_sources()[self.source.name].covers or ()

    def told(
        self, record: PatientRecord, patient: Prepared, before: Mapping[str, TeacherMap]
    ) -> TeacherMap | None:
        """Let the program draw the prepared phases of a patient."""
        del before
        if not self.key(record):
            return None
        seen = PatientInput(
            patient_id=record.patient_id, venous=patient.ct.venous, arterial=patient.ct.arterial
        )
        how = Sourcing(sources=(self.source,), device=self.device, registration=ALIGNED)
        found = with_sources(seen, how).structures
        return None if found is None else TeacherMap(labels=found, structures=self._structures)


@dataclass(frozen=True)
class TracedSource:
    """Arteries traced between the organs that more trusted sources give.

    Attributes:
        settings: limits of the tracing.

    """

    settings: TracingSettings = field(default_factory=TracingSettings)

    @property
    def name(self) -> str:
        """`trace`."""
        return TRACE

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Nobody's."""
        return ()

    def key(self, record: PatientRecord) -> str:
        """Return a digest of the settings; "" without an arterial phase."""
        return (
            "" if record.arterial is None else fingerprint_key({TRACE: self.settings.model_dump(mode="json")})
        )

    def told(
        self, record: PatientRecord, patient: Prepared, before: Mapping[str, TeacherMap]
    ) -> TeacherMap | None:
        """Trace the arteries of a patient; those that are withheld are not told.

        An arterial phase without contrast, or organs without an aorta, keep one patient from teaching
        arteries; they do not stop the others.
        """
        arterial = patient.ct.arterial
        if arterial is None or not before:
            return None
        organs = combined(list(before.values())).labels
        known = organs.with_array(np.where(organs.array == UNJUDGED, 0, organs.array))
        try:
            traced = trace_arteries(arterial, known, self.settings)
        except InputError as error:
            logger.warning("%s: no artery was traced: %s", record.patient_id, error.cause)
            return None
        for structure, why in sorted(traced.withheld.items()):
            logger.info("%s: the %s was not traced: %s", record.patient_id, structure.title, why)
        return TeacherMap(
            labels=traced.structures,
            structures=tuple(sorted(traced.confidence)),
            inside=(Structure.PANCREAS,),
        )
