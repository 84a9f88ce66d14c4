"""One study is imported without a guess and predicted, in a process that ends with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from tests.dicom_exports import write_series
from tests.serving_studies import CANARY, drop

from lymphct.config import Config
from lymphct.core.orientation import to_working_axes
from lymphct.io.results.store import is_current
from lymphct.patients.serving.child import examined
from lymphct.patients.serving.examining import ANSWER_FILE, How, InChild
from lymphct.patients.serving.ledger import State
from lymphct.patients.serving.settings import ServingSettings
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings


def how(tmp_path: Path, bundle: Path | None = None, *, dicom: bool = False) -> How:
    return How(
        key=str(tmp_path / "key"),
        bundle=str(bundle or tmp_path),
        config=Config().model_dump_json(),
        device="cpu",
        dicom=dicom,
    )


def write_phantom(folder: Path) -> None:
    """Write both phases of a phantom as one study, each in a folder of its own."""
    patient = generate_patient(PhantomSettings(size="nano", phase_shift=False), seed=3, index=0)
    for number, (phase, volume) in enumerate((("ART", patient.arterial), ("PV", patient.venous))):

        def edit(slice_: Dataset, _: int, phase: str = phase, number: int = number) -> None:
            slice_.StudyInstanceUID, slice_.FrameOfReferenceUID = "1.2.3", "1.2.3.4"
            slice_.SeriesDescription, slice_.SeriesNumber = f"ABD {phase}", number
            slice_.AcquisitionTime, slice_.ContrastBolusStartTime = f"1015{15 + 35 * number}", "101440"

        write_series(folder / phase, to_working_axes(volume), edit=edit)


def test_a_study_becomes_a_result_with_dicom_objects(tmp_path: Path, bundle: Path) -> None:
    write_phantom(tmp_path / "export")
    answer = examined(tmp_path, how(tmp_path, bundle, dicom=True))
    assert answer.reason == ""
    assert answer.state is State.DONE
    assert answer.patient.startswith("p")
    assert is_current(tmp_path / "result", verify=True)
    assert (tmp_path / "result" / "dicom" / "seg.dcm").is_file()


def test_models_that_were_exchanged_after_the_verification_examine_nobody(
    tmp_path: Path, bundle: Path
) -> None:
    write_phantom(tmp_path / "export")
    answer = examined(tmp_path, replace(how(tmp_path, bundle), signed="0" * 64))
    assert (answer.state, answer.code) == (State.FAILED, "E_SIGNATURE")
    assert not (tmp_path / "result" / "result.json").exists()


def test_a_study_of_two_patients_is_refused(tmp_path: Path) -> None:
    drop(tmp_path / "export" / "s")
    drop(tmp_path / "export" / "t", series=2, PatientID=f"{CANARY}-other")
    answer = examined(tmp_path, how(tmp_path))
    assert (answer.state, answer.code) == (State.REFUSED, "E_PATIENTS")
    assert answer.reason.startswith("the study names 2 patients - ")


def test_a_doubtful_study_is_refused_with_its_doubts(tmp_path: Path) -> None:
    drop(tmp_path / "export" / "s")
    answer = examined(tmp_path, how(tmp_path))
    assert (answer.state, answer.code) == (State.REFUSED, "E_DOUBT")
    assert "no series is a venous phase" in answer.reason
    assert CANARY not in answer.reason


def test_no_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "a.dcm").write_bytes(b"PK" + bytes(300))
    answer = examined(tmp_path, how(tmp_path))
    assert (answer.state, answer.code) == (State.REFUSED, "E_NO_SLICES")


def test_choices_that_name_nothing_are_refused(tmp_path: Path) -> None:
    drop(tmp_path / "export" / "s")
    choices = tmp_path / "choices.csv"
    choices.write_text("patient_id,venous,arterial\npnobody,s0123456789,\n")
    answer = examined(tmp_path, how(tmp_path), choices)
    assert (answer.state, answer.code) == (State.REFUSED, "E_CHOICES")


@pytest.mark.parametrize(
    ("program", "code", "words"),
    [
        ("raise SystemExit(3)", "E_LOST", r"ended before its time (exit 3)"),
        ("import os; os.kill(os.getpid(), 9)", "E_MEMORY", "was killed"),
        ("import time; time.sleep(60)", "E_LIMITS", "it took more than 1 s"),
    ],
)
def test_a_process_that_is_lost_costs_its_study_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, code: str, words: str
) -> None:
    child = tmp_path / "child"
    child.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{program}"\n')
    child.chmod(0o755)
    monkeypatch.setattr("lymphct.patients.serving.examining.sys.executable", str(child))
    answer = InChild(how=how(tmp_path), settings=ServingSettings(study_seconds=1))(tmp_path, None)
    assert (answer.state, answer.code) == (State.FAILED, code)
    assert words in answer.reason
    assert not (tmp_path / ANSWER_FILE).exists()


def test_the_process_ends_with_its_parent() -> None:
    endless = (
        "import os, time; from lymphct.patients.serving.parenthood import end_with; end_with(os.getppid()); "
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {endless!r}], "
        "start_new_session=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("the child lives on")
