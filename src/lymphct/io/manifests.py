"""Several manifests as one cohort: every patient once, every CT once."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lymphct.core.errors import InputError, LeakageError
from lymphct.io.manifest import Manifest, read_manifest

logger = logging.getLogger(__name__)

IMAGE_DIGEST: Final = "image_digest"
"""Column that an import fills: the digest of the voxels of the venous CT, whatever file holds them."""


def read_manifests(paths: Sequence[Path]) -> Manifest:
    """Read manifests and return them as one; its path is that of the first.

    Raises:
        InputError: one of them is refused, or a patient_id stands in two of them.
        LeakageError: the CT of a patient is that of another, by the column `image_digest`.

    """
    manifests = [read_manifest(path) for path in paths]
    patients = tuple(patient for manifest in manifests for patient in manifest.patients)
    if len(manifests) > 1:
        _require_distinct_ids(manifests)
    columns = tuple(dict.fromkeys(column for manifest in manifests for column in manifest.columns))
    merged = Manifest(path=manifests[0].path, columns=columns, patients=patients)
    require_distinct_images(merged)
    return merged


def _require_distinct_ids(manifests: Sequence[Manifest]) -> None:
    seen: dict[str, int] = {}
    for number, manifest in enumerate(manifests):
        for patient in manifest.patients:
            first = seen.setdefault(patient.patient_id.casefold(), number)
            if first != number:
                where = f"{_shown(manifests[first].path)} and {_shown(manifest.path)}"
                msg = f"the patient_id {patient.patient_id[:64]!r} stands in {where}"
                cure = "give one of the patients another id, or leave one cohort out"
                raise InputError(msg, code="E_PATIENT_ID", cure=cure)


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.parent.name else path.name


def require_distinct_images(manifest: Manifest) -> None:
    """Refuse two patients with one CT: whoever is in two parts of a split leaks from one to the other.

    Raises:
        LeakageError: that is so, by the column `image_digest`.

    """
    seen: dict[str, str] = {}
    for patient in manifest.patients:
        digest = "" if patient.is_excluded else patient.cells.get(IMAGE_DIGEST, "")
        if digest and digest in seen:
            msg = f"the CT is that of {seen[digest]} as well: the patient would teach and be tested on"
            cure = "fill exclude_reason of one of the two, or import one cohort with --beside the other"
            raise LeakageError(msg, cure=cure).at(patient=patient.patient_id)
        if digest:
            seen[digest] = patient.patient_id
