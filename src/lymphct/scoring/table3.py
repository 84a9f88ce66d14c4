"""`lymphct evaluate segmentation --preset table3`: structures of several methods (Tab. III).

All methods are scored on the same patients. Dice counts every patient in whom a structure was drawn, as 0
where the method finds none. ASD and HD count the patients in whom it finds some: there is no distance to
nothing. A structure that a method finds in no patient has no figures, as in the paper.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from lymphct.core.errors import InputError, UsageError
from lymphct.core.terms import GUIDING_STRUCTURES, Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.evaluation.segmentation import SegmentationScores, label_scores
from lymphct.evaluation.surfaces import SurfaceSettings
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.labels import read_partial_labels
from lymphct.io.images.reading import Scheme
from lymphct.io.manifest import read_manifest
from lymphct.io.patient_files import PATIENT, patient_file, patients_in
from lymphct.io.results.jsonfile import JSON
from lymphct.io.results.made import Recipe
from lymphct.scoring.evaluation import Scored, score_pairs
from lymphct.scoring.stored import Measured, Table, finite, stored

METRICS: Final = ("dice", "asd", "hd")
"""Columns of Tab. III; ASD is the mean distance from the prediction to the truth, mm, HD in mm."""
PRINTED: Final[Mapping[Structure, str]] = {
    Structure.SUPERIOR_MESENTERIC_ARTERY: "SMA",
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: "TC&SA",
    Structure.LEFT_GASTRIC_ARTERY: "LGA",
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: "CHA&PHA",
}
"""Short names that the paper prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A row of each structure: its name, and where its masks lie (`io.patient_files`)."""

    name: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A patient who is scored: the drawn map, and that of each method by its name.

    Attributes:
        case: id.
        truth: drawn structures.
        found: the masks of each method.
        labelled: structures that were drawn; None leaves it to the map.

    """

    case: str
    truth: Path
    found: Mapping[str, Path]
    labelled: tuple[Structure, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table3Request:
    """How structures are scored.

    Attributes:
        scheme: numbering of all files.
        thickness: mm of the slices that truth and prediction are brought to before they are scored; None
            scores them as they are.
        surface: how surfaces are compared.

    """

    scheme: Scheme = "auto"
    thickness: float | None = None
    surface: SurfaceSettings = field(default_factory=SurfaceSettings)


Found = Mapping[str, Mapping[Structure, SegmentationScores]]
"""Scores of one patient: by method, then structure; only structures that were drawn."""


def named_methods(texts: Sequence[str]) -> tuple[Method, ...]:
    """Return methods given as `NAME=FOLDER`.

    >>> named_methods(["teacher V=results/v"])[0].place
    'results/v'

    Raises:
        UsageError: a text without a name or place, a name given twice, or none at all.

    """
    methods = []
    for text in texts:
        name, _, place = (part.strip() for part in text.partition("="))
        if not name or not place:
            msg = f"{text[:60]!r} does not say NAME=FOLDER"
            raise UsageError(msg, cure='--method "teacher V=results/venous"')
        methods.append(Method(name=name, place=place))
    names = [method.name for method in methods]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not methods:
        msg = "no method is named" if twice is None else f"the method {twice} is named twice"
        raise UsageError(msg, cure="give --method NAME=FOLDER once for each")
    return tuple(methods)


def scored_patients(methods: Sequence[Method], truth: Path) -> tuple[Patient, ...]:
    """Return the patients with drawn structures, each with the masks of every method.

    Args:
        methods: whose masks.
        truth: a manifest, or a folder or path with `{patient}` as `io.patient_files` reads it.

    Raises:
        InputError: nobody has drawn structures, or a method lacks the mask of a patient: methods are compared
            on the same patients only.

    """
    drawn = _drawn(truth)
    if not drawn:
        msg = "the truth holds drawn structures of nobody"
        raise InputError(msg, code="E_PAIRS", cure="give a cohort.csv, or a folder of masks named by id").at(
            file=truth.name
        )
    patients, lacking = [], []
    for name, (path, labelled) in drawn.items():
        found = {method.name: patient_file(method.place, name) for method in methods}
        lacking += [f"{method} has none of {name}" for method, mask in found.items() if mask is None]
        masks = {method: mask for method, mask in found.items() if mask is not None}
        patients.append(Patient(case=name, truth=path, found=masks, labelled=labelled))
    if lacking:
        more = f" (and {len(lacking) - 1} more masks)" if len(lacking) > 1 else ""
        msg = f"the masks are not those of the same patients: {lacking[0]}{more}"
        raise InputError(msg, code="E_PAIRS", cure="predict them all, or leave the patient out of the truth")
    return tuple(patients)


def _drawn(truth: Path) -> dict[str, tuple[Path, tuple[Structure, ...] | None]]:
    if truth.suffix.casefold() in {".csv", ".tsv"}:
        records = [record for record in read_manifest(truth).patients if not record.is_excluded]
        return {r.patient_id: (r.structures, r.labelled) for r in records if r.structures is not None}
    if PATIENT not in str(truth) and not truth.is_dir():
        msg = "no such manifest or folder"
        raise InputError(msg, code="E_MISSING", cure="check --truth").at(file=truth.name)
    paths = {name: patient_file(str(truth), name) for name in patients_in(str(truth))}
    return {name: (path, None) for name, path in paths.items() if path is not None}


def score_patient(patient: Patient, request: Table3Request) -> Found:
    """Score the ten guiding structures of one patient that were drawn, for each method.

    Voxels that nobody looked at in the truth count neither as found nor as missed.

    Raises:
        InputError, GeometryMismatchError: a mask is refused; the message names the patient.

    """
    try:
        drawn = read_partial_labels(patient.truth, scheme=request.scheme)
        known = drawn.labelled if patient.labelled is None else patient.labelled
        wanted = [
            s for s in GUIDING_STRUCTURES if (known is None or s in known) and np.any(drawn.volume.array == s)
        ]
        truth = _in_slices(drawn.volume, request.thickness)
        scores = {}
        for name, path in patient.found.items():
            mask = read_partial_labels(path, scheme=request.scheme, grid=drawn.volume.geometry)
            if mask.unjudged is not None:
                msg = f"the masks of {name} have voxels that say nothing ({UNJUDGED})"
                raise InputError(msg, code="E_LABELS", cure="give whole maps").at(file=path.name)
            array = mask.volume.array
            if drawn.unjudged is not None:
                array = np.where(drawn.unjudged, 0, array)
            found = _in_slices(drawn.volume.with_array(array), request.thickness)
            scores[name] = _scores(found, truth, wanted, request.surface)
    except InputError as error:
        raise error.at(patient=patient.case) from error.__cause__
    return scores


def _in_slices(labels: Volume, thickness: float | None) -> Volume:
    """Return a map in slices of some thickness: of each the plane nearest to its middle, as it was drawn."""
    geometry = labels.geometry
    if thickness is None:
        return labels
    along = int(np.argmax(np.abs(np.asarray(geometry.direction)[2])))
    if thickness <= geometry.spacing[along]:  # never finer than it is
        return labels
    spacing = [thickness if axis == along else step for axis, step in enumerate(geometry.spacing)]
    return resample_labels(labels, geometry.resampled((spacing[0], spacing[1], spacing[2])))


def _scores(
    found: Volume, truth: Volume, wanted: Sequence[Structure], surface: SurfaceSettings
) -> dict[Structure, SegmentationScores]:
    there = [s for s in wanted if np.any(truth.array == s)]  # thick slices may miss a thin vessel
    scores = label_scores(found.array, truth.array, there, truth.geometry.spacing, surface=surface)
    return {structure: scores[structure] for structure in there}


def evaluate_table3(  # noqa: PLR0913 - the last two name their roles
    methods: Sequence[Method],
    patients: Sequence[Patient],
    request: Table3Request,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> dict[str, JSON]:
    """Score every method and write `table3.json`, `table3.csv` and `table3_patients.csv`.

    Returns:
        What the JSON holds: `rows`, one for each structure and method, in the order of Tab. III.

    Raises:
        InputError: a mask is refused; nothing is written.
        OutputInUseError: the folder holds something else.

    """
    files = {f"truth/{patient.case}": patient.truth for patient in patients}
    for patient in patients:
        files |= {f"{name}/{patient.case}": path for name, path in patient.found.items()}
    settings: dict[str, JSON] = {
        "methods": [method.name for method in methods],
        "labels": str(request.scheme),
        "slice_thickness_mm": request.thickness,
        "labelled": {p.case: None if p.labelled is None else [s.label for s in p.labelled] for p in patients},
        **request.surface.model_dump(mode="json"),
    }
    recipe = Recipe.of_files(files, settings, code=("scoring.table3",))

    def work() -> Measured:
        scored = score_pairs(patients, partial(score_patient, request=request), jobs=jobs, progress=progress)
        rows = [_row(s, method.name, scored) for s in GUIDING_STRUCTURES for method in methods]
        rows = [row for row in rows if row["patients"]]
        columns = ["structure", "method", "patients", "found_in", *_columns()]
        return Measured(
            record={"patients": len(patients), "rows": [dict(row) for row in rows]},
            tables={
                "table3": Table(columns, [[row[name] for name in columns] for row in rows]),
                "table3_patients": _by_patient(scored),
            },
            schema="table3",
        )

    return stored(folder, "table3", recipe, work)


def _columns() -> list[str]:
    return [f"{metric}_{value}" for metric in METRICS for value in ("mean", "sd")]


def _row(structure: Structure, method: str, scored: Sequence[Scored[Found]]) -> dict[str, JSON]:
    """Return mean and SD over the patients in whom a structure was drawn."""
    scores = [case.result[method][structure] for case in scored if structure in case.result[method]]
    found = [score for score in scores if score.volume_prediction_mm3 > 0]
    row: dict[str, JSON] = {
        "structure": structure.label,
        "method": method,
        "patients": len(scores),
        "found_in": len(found),
    }
    for metric in METRICS:
        values = [getattr(score, metric) for score in (scores if metric == "dice" else found)]
        known = np.array(values if found else [], dtype=np.float64)
        row[f"{metric}_mean"] = finite(float(known.mean())) if known.size else None
        row[f"{metric}_sd"] = finite(float(known.std(ddof=1))) if known.size > 1 else None
    return row


def _by_patient(scored: Sequence[Scored[Found]]) -> Table:
    rows = [
        [case.case, structure.label, method, *(finite(getattr(scores, metric)) for metric in METRICS)]
        for case in scored
        for method, found in case.result.items()
        for structure, scores in found.items()
    ]
    return Table(["patient", "structure", "method", *METRICS], rows)


def printed_name(label: str) -> str:
    """Return the name of a structure as Tab. III prints it.

    >>> printed_name("celiac_trunk_and_splenic_artery"), printed_name("spleen")
    ('TC&SA', 'Spleen')
    """
    structure = Structure[re.sub(r"\W", "_", label).upper()]
    return PRINTED.get(structure, structure.title.capitalize())
