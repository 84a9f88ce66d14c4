"""Where a folder holds the mask of each patient: by the id in a name, or as `predict` lays its results."""

from pathlib import Path
from typing import Final

from lymphct.io.images.single_file import image_stem

PATIENT: Final = "{patient}"
"""What stands for the id in a path."""
PLACES: Final = (
    "{patient}.nii.gz",
    "{patient}.nii",
    "{patient}.nrrd",
    "{patient}.mha",
    "{patient}/structures.nii.gz",
    "{patient}/seg/structures.nii.gz",
    "{patient}",
)
"""Where the structures of a patient are looked for in a plain folder, the first that is there; a folder of a
patient holds a mask per structure. `predict` writes `seg/structures.nii.gz`."""


def patient_file(pattern: str, patient_id: str) -> Path | None:
    """Return where the structures of a patient lie; None where there are none.

    Args:
        pattern: a folder, or a path with `{patient}`.
        patient_id: whose.

    """
    patterns = [pattern] if PATIENT in pattern else [str(Path(pattern) / place) for place in PLACES]
    paths = [Path(one.replace(PATIENT, patient_id)) for one in patterns]
    return next((path for path in paths if path.exists()), None)


def patients_in(pattern: str) -> tuple[str, ...]:
    """Return the ids of the patients that a folder or pattern holds structures of, sorted."""
    if PATIENT not in pattern:
        folder = Path(pattern)
        names = [image_stem(path.name) or path.name for path in folder.iterdir() if path.name[0] != "."]
        return tuple(sorted({name for name in names if patient_file(pattern, name) is not None}))
    before, _, after = pattern.partition(PATIENT)
    folder, start = Path(before), ""
    if not before.endswith(("/", "\\")) and before:
        folder, start = Path(before).parent, Path(before).name
    end = after.replace("\\", "/").split("/", maxsplit=1)[0]
    there = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    whole = [name for name in there if name.startswith(start) and name.endswith(end)]
    found = {name[len(start) : len(name) - len(end)] for name in whole}
    return tuple(sorted(name for name in found if name and patient_file(pattern, name) is not None))
