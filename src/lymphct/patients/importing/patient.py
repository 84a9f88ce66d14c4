"""One patient of a data set: the CT judged, its masks in our numbers, whole or not at all."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError, LymphctError
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.node_masks import write_nodes
from lymphct.io.images.numpy_file import is_numpy_file, read_numpy_volume
from lymphct.io.images.reading import check_pair, read_ct, write_volume
from lymphct.io.images.voxel_digest import image_digest
from lymphct.io.labelled_structures import LABELLED_COLUMN
from lymphct.io.manifest_check import ID_CURE, is_allowed_id, shown_id
from lymphct.io.manifests import IMAGE_DIGEST
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.patients.importing.layout import Layout
from lymphct.patients.importing.masks import Told, drawn_nodes, drawn_structures, drawn_tumor
from lymphct.patients.importing.matching import FoundPatient
from lymphct.patients.reading import require_plausible

PATIENT_FILE: Final = "patient.json"
MASKS_FOLDER: Final = "masks"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Where a cohort goes and by what layout it is read.

    Attributes:
        out: folder of the cohort.
        layout: of the data set.

    """

    out: Path
    layout: Layout


@dataclass(frozen=True, slots=True)
class Importer:
    """Imports one patient after the other; travels to other processes."""

    request: Import

    def __call__(self, found: FoundPatient) -> dict[str, Any]:
        """Return the patient's line of the manifest, and beside it `notices`.

        Raises:
            InputError: the id, the CT or a mask is refused; the error names the patient.

        """
        try:
            return import_patient(found, self.request)
        except LymphctError as error:
            name = found.patient_id if is_allowed_id(found.patient_id) else ""
            raise error.at(patient=name) from error.__cause__


def import_patient(found: FoundPatient, request: Import) -> dict[str, Any]:
    """Make a patient's masks unless they are there and current; return the line of the manifest.

    Raises:
        InputError: as `Importer`.

    """
    if not is_allowed_id(found.patient_id):
        msg = f"the id {shown_id(found.patient_id)} is not allowed"
        raise InputError(msg, code="E_PATIENT_ID", cure=ID_CURE)
    files = {"image": found.image.path} | {
        f"{column}:{word}": file.path for column, masks in found.masks.items() for word, file in masks.items()
    }
    if found.arterial is not None:
        files["arterial"] = found.arterial.path
    rules = request.layout.model_dump(mode="json", include={"structures", "tumor", "nodes"})
    recipe = Recipe.of_files(files, rules, ("patients.importing.patient",))
    place = request.out / MASKS_FOLDER / found.patient_id
    made(place, recipe, partial(_make, found=found, layout=request.layout))
    record: Any = read_json(place / PATIENT_FILE)
    files_made = {column: place / name for column, name in record["files"].items()}
    kinds = {
        f"{column}_by": next(iter(masks.values())).kind
        for column, masks in found.masks.items()
        if any(rule.kind for rule in request.layout.masks[column].files)
    }
    return {
        "patient_id": found.patient_id,
        "venous": found.image.path,
        "arterial": None if found.arterial is None else found.arterial.path,
        **dict.fromkeys(request.layout.masks),
        **files_made,
        LABELLED_COLUMN: ", ".join(record["labelled"]) or None,
        "split": found.image.split or None,
        "dataset": request.layout.name,
        **kinds,
        IMAGE_DIGEST: record[IMAGE_DIGEST],
        "notices": record["notices"],
    }


def _make(folder: Path, *, found: FoundPatient, layout: Layout) -> None:
    told, files = Told(), {}
    image = found.image.path
    if is_numpy_file(image):
        ct = read_ct(read_numpy_volume(image), phase=Phase.VENOUS)
        files["venous"] = "venous.nii.gz"
        write_volume(folder / files["venous"], ct.volume)
    else:
        ct = read_ct(image, phase=Phase.VENOUS)
    told.notices += [notice.text for notice in ct.notices]
    if found.arterial is not None:
        arterial = read_ct(found.arterial.path, phase=Phase.ARTERIAL)
        told.notices += [notice.text for notice in check_pair(ct, arterial)]
    labelled = _write_masks(folder, found, layout, (ct.volume, told, files))
    record: dict[str, JSON] = {
        "files": dict(files),
        "labelled": [structure.label for structure in labelled],
        "notices": list(told.notices),
        IMAGE_DIGEST: image_digest(ct.volume),
    }
    write_json(folder / PATIENT_FILE, record)


def _write_masks(
    folder: Path, found: FoundPatient, layout: Layout, into: tuple[Volume, Told, dict[str, str]]
) -> tuple[Structure, ...]:
    ct, told, files = into
    labelled: tuple[Structure, ...] = ()
    masks = found.masks
    if layout.structures is not None and masks.get("structures"):
        drawn = drawn_structures(layout.structures, masks["structures"], ct.geometry, told)
        require_plausible(drawn.volume, "lymphct", "structures")
        labelled = drawn.labelled
        files["structures"] = "structures.nii.gz"
        write_volume(folder / files["structures"], drawn.volume)
    if layout.tumor is not None and masks.get("tumor"):
        tumor = drawn_tumor(layout.tumor, masks["tumor"], ct.geometry, told)
        if tumor.array.any():
            files["tumor"] = "tumor.nii.gz"
            write_volume(folder / files["tumor"], tumor)
        else:
            told.notices.append("no tumor is drawn: the column stays blank")
    if layout.nodes is not None and masks.get("nodes"):
        nodes = drawn_nodes(layout.nodes, next(iter(masks["nodes"].values())), ct, told)
        files["nodes"] = "nodes.nii.gz"
        write_nodes(folder / files["nodes"], nodes)
    return labelled
