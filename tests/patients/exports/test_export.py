"""From a folder as a PACS exports it to a cohort; series are looked at here in the test's own process."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from lymphct.core.errors import InputError, UsageError
from lymphct.io.images.dicom.series_child import _answer
from lymphct.io.images.dicom.series_worker import SeriesWorker
from lymphct.io.manifest import read_manifest
from lymphct.io.manifest_check import manifest_problems
from lymphct.io.table import read_table
from lymphct.patients.exports.cohort import ImportedExport, Request, import_export
from lymphct.patients.exports.tables import PROPOSALS_FILE, SERIES_FILE
from lymphct.patients.reading import read_patient

Import = Callable[..., ImportedExport]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Answer requests here, as the child would; return those that were made."""
    requests: list[dict[str, Any]] = []

    def answer(_: SeriesWorker, line: bytes) -> Any:
        requests.append(json.loads(line))
        return json.loads(json.dumps(_answer(requests[-1])))

    monkeypatch.setattr(SeriesWorker, "_answer", answer)
    return requests


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    def run(folder: Path, out: str = "cohort", **wanted: Any) -> ImportedExport:
        given = {"out": tmp_path / out, "key": tmp_path / "hospital.key", **wanted}
        return import_export(folder, Request(**given))

    return run


def reasons(out: Path) -> dict[str, str]:
    """Return why each series is left out, by its description."""
    rows = [row.cells for row in read_table(out / SERIES_FILE, ("reason",))]
    return {f"{row['modality']} {row['description']}": row["reason"] for row in rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_nothing_is_taken_that_nobody_accepted(export: Path, imported: Import, tmp_path: Path) -> None:
    found = imported(export)
    assert found.manifest is None
    assert not (tmp_path / "cohort" / "cohort.csv").exists()
    assert [one.is_sure for one in found.proposals] == [True, True]
    assert found.record["files"] == {"count": 105, "of_no_series": {"no DICOM": 1}}
    assert found.record["series"]["left_out"] == {
        "MR, no CT": 1,
        "a localizer": 1,
        "a report (SR)": 1,
        "1 damaged file: incomplete or damaged file: the file claims 300 frames and describes 0 "
        "(functional groups)": 1,
        "no CT image (secondary capture, dose report or the like)": 1,
    }
    assert reasons(tmp_path / "cohort")["CT ABD PV"] == "proposed as venous, --accept takes it"


def test_who_is_sure_is_taken_and_can_be_read(export: Path, imported: Import, tmp_path: Path) -> None:
    found = imported(export, accept=True)
    assert found.manifest is not None
    manifest = read_manifest(found.manifest)
    assert manifest_problems(manifest) == []
    assert len(manifest.patients) == 2
    for record in manifest.patients:
        patient = read_patient(record)
        assert patient.arterial is not None
        assert [notice.code for notice in patient.notices] == []
    places = {record.venous.name for record in manifest.patients}
    # Both series of the first patient share a folder, and are written; the others lie alone.
    assert places == {"ct.nii.gz", "2"}
    told = reasons(tmp_path / "cohort")
    assert (told["CT ABD PV"], told["CT ABD ART"], told["MR other"]) == ("", "", "MR, no CT")


def test_no_text_of_the_patient_tags_is_in_any_output(
    export: Path, imported: Import, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    named = tmp_path / "CanaryName_John"
    shutil.copytree(export / "A", named)
    for path in named.rglob("*"):
        if path.is_file():
            dataset = dcmread(path)
            dataset.PatientName = "CANARYNAME^JOHN"
            dataset.save_as(path)
    for folder, out in ((export, "cohort"), (named, "other")):
        found = imported(folder, out, accept=True)
        assert found.manifest is not None
        texts = [str(found.record), repr(found.proposals[0].doubts), caplog.text]
        for name, content in contents(tmp_path / out).items():
            plain = gzip.decompress(content) if name.endswith(".gz") else content
            texts += [name, plain.decode("latin-1")]
        for text in texts:
            assert "canary" not in text.casefold()
            assert "19521103" not in text
            assert "20240206" not in text
    # A folder that names the patient is not referred to.
    assert {p.venous.name for p in read_manifest(tmp_path / "other" / "cohort.csv").patients} == {"ct.nii.gz"}


def test_a_second_run_changes_nothing_and_looks_at_nothing(
    export: Path, imported: Import, tmp_path: Path, asked: list[Any]
) -> None:
    imported(export, accept=True)
    before = contents(tmp_path / "cohort")
    asked.clear()
    imported(export, accept=True)
    assert contents(tmp_path / "cohort") == before
    assert asked == []


def test_pseudonyms_belong_to_the_key(export: Path, imported: Import, tmp_path: Path) -> None:
    first = imported(export)
    again = imported(export, "again")
    other = imported(export, "other", key=tmp_path / "other.key")
    ids = [{one.patient_id for one in found.proposals} for found in (first, again, other)]
    assert ids[0] == ids[1]
    assert not ids[0] & ids[2]
    with pytest.raises(InputError, match=r"cohort: the cohort was imported with another key"):
        imported(export, key=tmp_path / "other.key")


def test_the_way_back_is_written_only_when_asked_for(export: Path, imported: Import, tmp_path: Path) -> None:
    who = tmp_path / "who.csv"
    found = imported(export, linkage=who)
    rows = {row.cells["dicom_patient_id"]: row.cells["patient_id"] for row in read_table(who, ())}
    assert set(rows) == {"CANARY-7", "CANARY-8"}
    assert set(rows.values()) == {one.patient_id for one in found.proposals}
    assert who.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="the linkage file would lie in the folder of the cohort"):
        imported(export, linkage=tmp_path / "cohort" / "who.csv")


def test_a_cohort_never_lies_in_its_export(export: Path, imported: Import) -> None:
    with pytest.raises(UsageError, match="the cohort would lie in the export"):
        imported(export, out=str(export / "cohort"))


@pytest.fixture
def swapped(tmp_path: Path, tools: Any) -> Path:
    """One patient whose tags exchange the phases, and whose second study has a broken series."""
    folder = tmp_path / "swapped"
    person = tools.Person(name="A^B", patient_id="77")
    tools.write_stack(folder, person, tools.body("arterial"), number=2, description="PV", time="101515")
    tools.write_stack(folder, person, tools.body("venous"), number=3, description="ART", time="101550")
    return folder


def test_exchanged_tags_are_a_doubt_until_the_user_names_the_series(
    swapped: Path, imported: Import, tmp_path: Path
) -> None:
    found = imported(swapped, accept=True)
    assert found.manifest is None
    (proposal,) = found.proposals
    assert proposal.doubts[0].startswith("venous s")
    assert "its tags say arterial, its HU venous (aorta 1" in proposal.doubts[0]
    (row,) = read_table(tmp_path / "cohort" / PROPOSALS_FILE, ())
    assert (row.cells["state"], row.cells["venous"], row.cells["arterial"]) == ("doubtful", "", "")
    venous, arterial = row.cells["proposed_venous"], row.cells["proposed_arterial"]
    choices = tmp_path / "choices.csv"
    choices.write_text(f"patient_id,venous,arterial\n{proposal.patient_id},{venous},{arterial}\n")
    named = imported(swapped, choices=choices)
    assert named.manifest is not None
    (record,) = read_manifest(named.manifest).patients
    assert record.arterial is not None
    unread = tmp_path / "cohort" / "images" / proposal.patient_id
    assert {path.name for path in unread.iterdir()} == {"venous", "arterial"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nobody,s1,", "the patient 'nobody' is none of the export"),
        ("{id},s1,", "has no series 's1'"),
        ("{id},{venous},\n{id},{venous},", "line 3 names series of a patient who has some already"),
    ],
)
def test_choices_that_name_nothing_are_refused(
    swapped: Path, imported: Import, tmp_path: Path, line: str, message: str
) -> None:
    (proposal,) = imported(swapped).proposals
    assert proposal.venous is not None
    choices = tmp_path / "choices.csv"
    text = line.format(id=proposal.patient_id, venous=proposal.venous.series.key)
    choices.write_text(f"patient_id,venous,arterial\n{text}\n")
    with pytest.raises(InputError, match=message):
        imported(swapped, choices=choices)


def test_columns_filled_by_hand_stay(export: Path, imported: Import) -> None:
    manifest = imported(export, accept=True).manifest
    assert manifest is not None
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([f"{lines[0]},n_status", *(f"{line},1" for line in lines[1:])]) + "\n")
    imported(export, accept=True)
    assert [record.n_status for record in read_manifest(manifest).patients] == [1, 1]


def test_broken_series_cost_themselves_alone(tmp_path: Path, imported: Import, tools: Any) -> None:
    folder = tmp_path / "broken"
    person = tools.Person(name="A^B", patient_id="77")
    tools.two_phases(folder / "good", person)
    array = tools.body("venous")

    def tilted(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [-166.0, -124.0 + 1.5 * k, -500.0 + 5.0 * k]

    late = {"number": 4, "time": "101800"}
    tools.write_stack(folder / "tilt", person, array, description="late tilt", edit=tilted, **late)
    for path in tools.write_stack(folder / "gap", person, array, number=5, description="late gap")[7:9]:
        path.unlink()
    cut = tools.write_stack(folder / "cut", person, array, number=6, description="late cut")[-1]
    cut.write_bytes(cut.read_bytes()[:-100])
    tools.write_stack(folder / "few", person, array[:, :, :8], number=7, description="few")
    found = imported(folder, accept=True)
    assert found.manifest is not None
    told = reasons(tmp_path / "cohort")
    assert told["CT late tilt"].startswith("gantry tilt: the slices shift sideways by 17 degrees [E_TILT]")
    assert told["CT late gap"].startswith("missing slices: 2 (a gap of 15 mm")
    assert told["CT late cut"].startswith("1 damaged file: incomplete or damaged file: the pixels claim")
    assert told["CT few"] == "8 slices, 20 are needed"
    again = imported(folder, "resampled", accept=True, resample=True)
    assert again.manifest is not None
    assert reasons(tmp_path / "resampled")["CT late tilt"] == "late phase"


def test_a_resampled_series_is_written_and_noticed(tmp_path: Path, imported: Import, tools: Any) -> None:
    def tilted(dataset: Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [-166.0, -124.0 + 0.5 * k, -500.0 + 5.0 * k]

    person = tools.Person(name="A^B", patient_id="77")
    tools.write_stack(tmp_path / "tilt", person, tools.body("venous"), description="PV", edit=tilted)
    assert imported(tmp_path / "tilt", accept=True).manifest is None
    found = imported(tmp_path / "tilt", "mended", accept=True, resample=True)
    assert found.manifest is not None
    (notices,) = found.record["patients"]["notices"].values()
    assert notices[0].startswith("venous: resampled onto an even grid of 5 mm: gantry tilt")


def test_two_phases_in_one_series_are_parted_by_their_acquisition(
    tmp_path: Path, imported: Import, tools: Any
) -> None:
    folder, person = tmp_path / "both", tools.Person(name="A^B", patient_id="77")
    tools.two_phases(folder, person)
    uid = "1.2.3.4"
    for path in folder.iterdir():
        dataset = dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = uid, 2, "ABD"
        dataset.save_as(path)
    found = imported(folder, accept=True)
    assert found.manifest is not None
    (proposal,) = found.proposals
    assert set(proposal.phases) == {"venous", "arterial"}


def test_a_folder_without_dicom_files_is_refused(tmp_path: Path, imported: Import) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(InputError, match=r"texts: the folder holds no files"):
        imported(folder)
    (folder / "a.txt").write_text("a")
    with pytest.raises(InputError, match=r"texts: none of 1 files is a DICOM file that can be read"):
        imported(folder)


def test_the_same_ct_under_two_ids_is_taken_once(tmp_path: Path, imported: Import, tools: Any) -> None:
    for number in ("1", "2"):
        person = tools.Person(name="A^B", patient_id=number)
        tools.write_stack(tmp_path / "twice" / number, person, tools.body("venous"), description="PV")
    found = imported(tmp_path / "twice", accept=True)
    first, second = sorted(one.patient_id for one in found.proposals)
    assert found.record["patients"]["excluded"] == {second: f"the same CT as {first}"}


def test_a_damaged_file_beside_slices_is_a_doubt(tmp_path: Path, imported: Import, tools: Any) -> None:
    folder = tmp_path / "beside"
    tools.two_phases(folder, tools.Person(name="A^B", patient_id="77"))
    (folder / "lost").write_bytes((folder / "I020000").read_bytes()[:300])
    found = imported(folder, accept=True)
    assert found.manifest is None
    assert any("a damaged file lies beside its slices" in doubt for doubt in found.proposals[0].doubts)
