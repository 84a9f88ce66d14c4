"""One row a patient, in the order of the manifest, whatever became of the registration."""

import csv
import errno
import os
from pathlib import Path

import pytest

from lymphct.cascade.registration_check import NUMBERS
from lymphct.core.errors import EnvironmentProblemError
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.patients.prepared.files import ALIGNMENT_FILE
from lymphct.patients.prepared.preparation import Preparation
from lymphct.patients.prepared.registration_table import COLUMNS, write_registration_table
from lymphct.registration.settings import RegistrationSettings

MEASURED: dict[str, JSON] = {name: 0.5 + n for n, name in enumerate(NUMBERS)}


@pytest.fixture
def preparation(tmp_path: Path) -> Preparation:
    return Preparation(
        folder=tmp_path / "work", spacing=(1.0, 1.0, 1.0), registration=RegistrationSettings(method="deeds")
    )


def aligned(
    preparation: Preparation,
    name: str,
    registration: dict[str, JSON] | None = None,
    notices: tuple[str, ...] = (),
    *,
    has_arterial: bool = True,
) -> PatientRecord:
    """Store how the phases of a patient were brought together."""
    place = preparation.store.place(name)
    place.mkdir(parents=True)
    told: list[JSON] = [{"code": code, "text": "a sentence", "value": None} for code in notices]
    write_json(
        place / ALIGNMENT_FILE,
        {"has_arterial": has_arterial, "registration": registration, "notices": told},
    )
    return PatientRecord(patient_id=name, venous=Path("v"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_state_has_its_word_and_the_order_is_that_of_the_manifest(
    preparation: Preparation, tmp_path: Path
) -> None:
    fine = MEASURED | {"method": "deeds", "flags": []}
    records = [
        aligned(preparation, "e", fine),
        aligned(preparation, "d", fine | {"flags": ["it folds", "too far"]}, ("registration_flagged",)),
        aligned(preparation, "c", None, ("odd_file", "registration_failed")),
        aligned(preparation, "b", None, has_arterial=False),
        PatientRecord(patient_id="a", venous=Path("v")),
        PatientRecord(patient_id="x", venous=Path("v"), cells={"exclude_reason": "no consent"}),
    ]
    target = write_registration_table(tmp_path, preparation, records)
    assert target == tmp_path / "registration.csv"
    assert target.read_text().splitlines()[0] == ",".join(COLUMNS)
    found = rows(target)
    assert [(row["patient_id"], row["state"]) for row in found] == [
        ("e", "registered"),
        ("d", "flagged"),
        ("c", "not registered"),
        ("b", "no arterial phase"),
        ("a", "not prepared"),
        ("x", "excluded"),
    ]
    assert [row["method"] for row in found] == ["deeds", "deeds", "", "", "", ""]
    assert (found[1]["flags"], found[1]["notices"]) == ("it folds; too far", "registration_flagged")
    assert (found[2]["flags"], found[2]["notices"]) == ("", "odd_file registration_failed")
    assert {name: float(found[0][name]) for name in NUMBERS} == MEASURED
    assert all(not found[2][name] for name in NUMBERS)


def test_a_number_that_was_not_measured_is_blank_and_a_zero_is_a_zero(
    preparation: Preparation, tmp_path: Path
) -> None:
    found = MEASURED | {"method": "deeds", "flags": [], "consistency_p95_mm": None, "folding_percent": 0.0}
    (row,) = rows(write_registration_table(tmp_path, preparation, [aligned(preparation, "a", found)]))
    assert (row["consistency_p95_mm"], row["folding_percent"]) == ("", "0.0")


def test_what_was_prepared_otherwise_does_not_count(preparation: Preparation, tmp_path: Path) -> None:
    record = aligned(preparation, "a", MEASURED | {"method": "deeds", "flags": []})
    other = Preparation(
        folder=preparation.folder, spacing=(2.0, 1.0, 1.0), registration=preparation.registration
    )
    (row,) = rows(write_registration_table(tmp_path, other, [record]))
    assert row["state"] == "not prepared"


def test_the_same_store_gives_the_same_bytes_and_a_table_that_cannot_be_written_is_said(
    preparation: Preparation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = aligned(preparation, "a", MEASURED | {"method": "deeds", "flags": []})
    first = write_registration_table(tmp_path, preparation, [record]).read_bytes()
    assert write_registration_table(tmp_path, preparation, [record]).read_bytes() == first

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(EnvironmentProblemError, match="no space"):
        write_registration_table(tmp_path, preparation, [])
    assert (tmp_path / "registration.csv").read_bytes() == first
