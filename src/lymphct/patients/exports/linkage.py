"""The way back from pseudonyms to patients: the user's own file, written only when asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lymphct.core.errors import OutputInUseError
from lymphct.io.images.dicom.heads import person_of_file
from lymphct.io.manifest import rows_as_csv
from lymphct.io.pseudonyms import write_private
from lymphct.io.results.disk import environment_errors
from lymphct.patients.exports.phases import Judged
from lymphct.patients.exports.tables import patient_of

COLUMNS: Final = ("patient_id", "dicom_patient_id", "dicom_issuer", "dicom_name", "dicom_birth_date")


def write_linkage(path: Path, series: Sequence[Judged]) -> None:
    """Write who is who, for the owner of the file alone (0600).

    Raises:
        OutputInUseError: something else than such a table stands there.
        EnvironmentProblemError: it cannot be written.

    """
    first = {patient_of(one): one.series.files[0] for one in reversed(series)}
    rows = [
        dict(zip(COLUMNS, (name, *person_of_file(place)), strict=True))
        for name, place in sorted(first.items())
    ]
    heading = ",".join(COLUMNS).encode("ascii")
    with environment_errors():
        if path.exists() and not (path.is_file() and path.read_bytes().startswith(heading)):
            msg = "it is no linkage file, so it is not overwritten"
            raise OutputInUseError(msg, cure="choose another name").at(file=path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, rows_as_csv(COLUMNS, rows, path.parent))
