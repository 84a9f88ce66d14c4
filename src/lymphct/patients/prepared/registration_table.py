"""`registration.csv`: one row a patient, how the phases were brought together and whether to look closer."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lymphct.cascade.registration_check import NUMBERS
from lymphct.core.errors import InputError
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.disk import replace_file
from lymphct.patients.prepared.preparation import Preparation, load_alignment

TABLE_FILE: Final = "registration.csv"

COLUMNS: Final = ("patient_id", "state", "method", *NUMBERS, "flags", "notices")


def write_registration_table(
    folder: Path, preparation: Preparation, records: Sequence[PatientRecord]
) -> Path:
    """Write the table into `folder` from what the store holds of each patient, in the order of the manifest.

    The state is `registered`, `flagged` (not trusted, see `flags`), `not registered` (it failed or was not
    asked for), `no arterial phase`, `excluded`, or `not prepared`. Blank: no such number.

    Raises:
        EnvironmentProblemError: it cannot be written.

    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(_row(record, preparation) for record in records)
    target = folder / TABLE_FILE
    replace_file(target, text.getvalue().encode("utf-8"))
    return target


def _row(record: PatientRecord, preparation: Preparation) -> dict[str, object]:
    row: dict[str, object] = {"patient_id": record.patient_id}
    if record.is_excluded:
        return row | {"state": "excluded"}
    try:
        alignment = load_alignment(preparation.store.place(record.patient_id))
    except InputError:
        return row | {"state": "not prepared"}
    row["notices"] = " ".join(notice["code"] for notice in alignment["notices"])
    found = alignment["registration"]
    if found is None:
        return row | {"state": "not registered" if alignment["has_arterial"] else "no arterial phase"}
    return row | _registered(found)


def _registered(found: Mapping[str, Any]) -> dict[str, object]:
    numbers = {name: "" if found[name] is None else found[name] for name in NUMBERS}
    state = "flagged" if found["flags"] else "registered"
    return {"state": state, "method": found["method"], **numbers, "flags": "; ".join(found["flags"])}
