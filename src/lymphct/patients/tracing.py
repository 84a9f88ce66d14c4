"""Traced arteries on disk: two phases and organ masks in; a label map with the arteries and a record out."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.anatomy.tracing.outcome import Traced
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.tracing import trace_arteries, with_traced
from lymphct.cascade.alignment import align
from lymphct.core.terms import GUIDING_STRUCTURES, Phase, Source, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import Scheme, check_pair, read_ct, read_labels, write_volume
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made_to_be_seen
from lymphct.registration.settings import RegistrationSettings

STRUCTURES_FILE: Final = "structures.nii.gz"
TRACE_FILE: Final = "trace.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingRequest:
    """What to trace in, and how.

    Attributes:
        venous: phase on whose voxels the structures lie.
        arterial: phase in which arteries are bright.
        structures: label map, or folder of masks.
        labels: how it is numbered.
        settings: limits of the tracing.
        registration: how the arterial phase is brought onto the venous one.
        threads: of the registration.

    """

    venous: Path
    arterial: Path
    structures: Path
    labels: Scheme = "auto"
    settings: TracingSettings = field(default_factory=TracingSettings)
    registration: RegistrationSettings = field(default_factory=RegistrationSettings)
    threads: int = 1


def trace_files(request: TracingRequest, out: Path) -> dict[str, Any]:
    """Trace arteries and write `structures.nii.gz` and `trace.json` into `out`.

    A folder made from the same files, settings and code is left as it is.

    Returns:
        What `trace.json` holds.

    Raises:
        InputError: a file is refused, there is no aorta, or no arterial contrast.
        OutputInUseError: `out` is not ours to replace, or another process writes it.

    """
    settings: JSON = {
        "tracing": request.settings.model_dump(mode="json"),
        "registration": request.registration.model_dump(mode="json"),
        "labels": str(request.labels),
    }
    files = {"venous": request.venous, "arterial": request.arterial, "structures": request.structures}
    recipe = Recipe.of_files(files, settings, code=("patients.tracing",))
    made_to_be_seen(out, recipe, partial(_trace_into, request=request))
    stored: Any = read_json(out / TRACE_FILE)
    return dict(stored)


def _trace_into(folder: Path, *, request: TracingRequest) -> None:
    venous = read_ct(request.venous, phase=Phase.VENOUS)
    arterial = read_ct(request.arterial, phase=Phase.ARTERIAL)
    check_pair(venous, arterial)
    structures = read_labels(request.structures, scheme=request.labels, grid=venous.volume.geometry)
    step = request.settings.spacing
    spacing = (step, step, step)
    aligned = align(venous.volume, arterial.volume, spacing, request.registration, threads=request.threads)
    if aligned.ct.arterial is None:  # not reached: an arterial phase was given
        return
    traced = trace_arteries(aligned.ct.arterial, structures, request.settings)
    write_volume(folder / STRUCTURES_FILE, with_traced(structures, traced.structures))
    write_json(folder / TRACE_FILE, trace_record(traced, structures))


def trace_record(traced: Traced, structures: Volume) -> dict[str, JSON]:
    """Return `trace.json`: the source of each structure, and what came of each artery."""
    given = {int(number) for number in np.unique(structures.array)}
    sources: dict[str, JSON] = {}
    for structure in GUIDING_STRUCTURES:
        is_traced = structure in traced.confidence
        source = Source.TRACE if is_traced else Source.GIVEN if structure in given else Source.NONE
        sources[structure.label] = source.value
    return {
        "schema": 1,
        "aorta_hu": round(traced.blood, 1),
        "sources": sources,
        "arteries": {structure.label: _artery_record(traced, structure) for structure in traced.arteries},
    }


def _artery_record(traced: Traced, structure: Structure) -> dict[str, JSON]:
    artery = traced.arteries[structure]
    if artery.line is None:
        return {"traced": False, "reason": artery.note}
    return {
        "traced": True,
        "confidence": artery.confidence,
        "length_mm": round(artery.line.length, 1),
        "mean_hu": round(float(artery.line.hu.mean()), 1),
        "mean_radius_mm": round(float(artery.line.radius.mean()), 2),
        "note": artery.note,
    }
