"""Every problem of a manifest at once, each with its cure (`lymphct check`)."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lymphct.core.errors import InputError
from lymphct.io.images.sources import exists, is_there, same_source, source_of
from lymphct.io.labelled_structures import LABELLED_COLUMN, labelled_structures
from lymphct.io.manifest import SPLITS, Manifest, PatientRecord
from lymphct.io.results.fingerprints import digest_file

PATIENT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"""What an id may look like: it names a folder on every system and leaves no output folder."""

ID_CURE: Final = "use 1 to 64 letters, digits, dots, hyphens or underscores, a letter or digit first"
"""What is said beside a refused id."""

_SHOWN: Final = 24
_SAMPLES: Final = 32
_SAMPLE: Final = 4096
"""Number and bytes of the samples by which files of one size are told apart before they are read whole."""

# Windows reserves these names, with any suffix; results are copied there.
_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong in a manifest.

    Attributes:
        scope: "cohort" forbids any work; "patient" fails that patient and no other.
        error: cause, code and cure, told of the patient and the manifest's line.
        column: of the manifest; empty where it concerns none.

    """

    scope: Literal["cohort", "patient"]
    patient_id: str
    line: int
    error: InputError
    column: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.error}"


def manifest_problems(manifest: Manifest, *, needs: Sequence[str] = ()) -> list[Problem]:
    """Find every problem of a manifest.

    Args:
        manifest: as `read_manifest` returned it.
        needs: columns that no patient may leave blank, such as `structures` to train them.

    Returns:
        Problems in the order of the lines; none when work can start.

    """
    problems = [*_ids(manifest.patients)]
    for patient in manifest.patients:
        problems += _cells(patient, needs)
        problems += _files(patient)
    problems += _shared_images(manifest.patients)
    return sorted(problems, key=lambda problem: problem.line)


def require_usable(manifest: Manifest, *, needs: Sequence[str] = ()) -> dict[str, InputError]:
    """Refuse a manifest that forbids any work; return what fails single patients, by id.

    Raises:
        InputError: the first problem of scope "cohort", with the number of the others.

    """
    problems = manifest_problems(manifest, needs=needs)
    fatal = [problem for problem in problems if problem.scope == "cohort"]
    if fatal:
        first, others = fatal[0], len(fatal) - 1
        more = f" (and {others} more problems: lymphct check)" if others else ""
        cause = f"line {first.line}: {first.error.cause}{more}"
        raise InputError(cause, code=first.error.code, cure=first.error.cure).at(file=manifest.path.name)
    failing: dict[str, InputError] = {}
    for problem in problems:
        failing.setdefault(problem.patient_id, problem.error)
    return failing


def _ids(patients: Sequence[PatientRecord]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for patient in patients:
        name = patient.patient_id
        if not is_allowed_id(name):
            cause = f"the patient_id {shown_id(name)} is not allowed" if name else "the patient_id is missing"
            yield _problem(
                patient, "cohort", InputError(cause, code="E_PATIENT_ID", cure=ID_CURE), "patient_id"
            )
            continue
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            cause = f"the patient_id {name} stands in line {seen[key]} already (case does not count)"
            cure = "give each patient one line and one id"
            yield _problem(patient, "cohort", InputError(cause, code="E_PATIENT_ID", cure=cure), "patient_id")
        seen.setdefault(key, patient.line)


def is_allowed_id(name: str) -> bool:
    """Return whether an id may name a patient, and a folder on every system."""
    return bool(PATIENT_ID.fullmatch(name)) and not _RESERVED.fullmatch(name)


def shown_id(name: str) -> str:
    r"""Return a refused id for a message: escaped, and shortened since it may be a whole line of text.

    >>> print(shown_id("Jane" + chr(10)), shown_id("x" * 99))
    'Jane\n' 'xxxxxxxxxxxxxxxxxxxxxxxx'…
    """
    return ascii(name[:_SHOWN]) + ("…" if len(name) > _SHOWN else "")


def _cells(patient: PatientRecord, needs: Sequence[str]) -> Iterator[Problem]:
    status = patient.cells.get("n_status", "")
    if status not in {"", "0", "1"}:
        cause = f"n_status is {status[:20]!r}"
        cure = "write 0 (no metastasis), 1 (metastasis) or nothing"
        yield _problem(patient, "cohort", InputError(cause, code="E_LABELS", cure=cure), "n_status")
    if patient.split not in {"", *SPLITS}:
        # Whoever writes "holdout" means a patient nobody may learn from: never guessed.
        cause = f"split is {patient.cells['split'][:20]!r}"
        cure = "write train, test or nothing"
        yield _problem(patient, "cohort", InputError(cause, code="E_SPLIT", cure=cure), "split")
    if patient.is_excluded:
        return
    try:
        labelled_structures(patient.cells.get(LABELLED_COLUMN, ""))
    except InputError as unknown:
        yield _problem(patient, "cohort", unknown, LABELLED_COLUMN)
    for column in dict.fromkeys(("venous", *needs)):
        if not patient.cells.get(column):
            error = InputError(f"{column} is missing", code="E_MISSING", cure=f"fill in {column}")
            yield _problem(patient, "patient", error, column)


def _files(patient: PatientRecord) -> Iterator[Problem]:
    if patient.is_excluded:
        return
    for column, path in patient.paths.items():
        if any(not character.isprintable() for character in str(path)):
            cause = f"the path in column {column} holds control characters"
            error = InputError(cause, code="E_PATH", cure="rename the file")
            yield _problem(patient, "cohort", error, column)
        elif not exists(source_of(path)[0]):
            error = InputError(_not_there(patient, column, path), code="E_MISSING", cure="check the path")
            yield _problem(patient, "patient", error.at(file=path.name), column)
        elif not is_there(path):
            error = InputError(
                f"{column}: no regular file and no folder", code="E_NOT_A_FILE", cure="give a file"
            )
            yield _problem(patient, "patient", error.at(file=path.name), column)
    if patient.arterial is not None and same_source(patient.arterial, patient.venous):
        cause = "arterial and venous phase are the same file"
        error = InputError(cause, code="E_SAME_FILE", cure="give both phases, or leave arterial blank")
        yield _problem(patient, "patient", error, "arterial")


def _not_there(patient: PatientRecord, column: str, path: Path) -> str:
    """Say which path the user wrote, and where it was looked for: relative to the manifest."""
    written = patient.cells.get(column, "")
    where = "" if written == str(path) else f" (looked for at {path})"
    return f"{column}: no such file: {written}{where}"


def _shared_images(patients: Sequence[PatientRecord]) -> Iterator[Problem]:
    """Find images that two patients share, by path or by content: one of the lines is wrong."""
    images = [
        (path.resolve(), column, patient)
        for patient in patients
        for column, path in patient.paths.items()
        if column in {"venous", "arterial"} and not patient.is_excluded and exists(source_of(path)[0])
    ]
    files = {path for path, *_ in images if path.is_file()}
    sizes = Counter(path.stat().st_size for path in files)
    # Files that are not compressed often have one size; samples of them tell nearly all apart.
    looks = {path: _look(path) for path in files if sizes[path.stat().st_size] > 1}
    counts = Counter(looks.values())
    paths: dict[Path, PatientRecord] = {}
    contents: dict[str, PatientRecord] = {}
    for path, column, patient in images:
        owner = paths.setdefault(path, patient)
        how = "is also that"
        # Only files that look the same can have equal content: most are never read here.
        if owner is patient and path in looks and counts[looks[path]] > 1:
            owner = contents.setdefault(_digest(path), patient)
            how = "has the same content as that"
        if owner is not patient:
            cause = f"the image {how} of the patient in line {owner.line}"
            cure = "give each patient their own image"
            error = InputError(cause, code="E_SAME_FILE", cure=cure)
            yield _problem(patient, "patient", error.at(file=path.name), column)


def _look(path: Path) -> tuple[int, str]:
    """Return the size of a file and a digest of samples from all over it."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            for number in range(_SAMPLES):
                stream.seek(number * size // _SAMPLES)
                digest.update(stream.read(_SAMPLE))
    except OSError:
        return 0, str(path)  # the patient fails when it is read
    return size, digest.hexdigest()


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except InputError:
        return str(path)  # unreadable: equal to itself only; the patient fails when it is read


def _problem(
    patient: PatientRecord, scope: Literal["cohort", "patient"], error: InputError, column: str
) -> Problem:
    is_safe = bool(PATIENT_ID.fullmatch(patient.patient_id))
    named = error.at(patient=patient.patient_id if is_safe else "")
    return Problem(scope=scope, patient_id=patient.patient_id, line=patient.line, error=named, column=column)
