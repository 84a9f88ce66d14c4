"""A patient who fails leaves no older result that looks current, and a cohort that is stopped says so."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lymphct.config import Config
from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.results.store import is_current
from lymphct.patients.predicting import prediction
from lymphct.patients.predicting.prediction import PredictionRequest, predict_cohort, predict_single


@pytest.fixture
def request_of(config: Config) -> PredictionRequest:
    given = ("structures", "tumor", "nodes")
    return PredictionRequest(bundle=shipped_bundle_path(), config=config, device="cpu", given=given)


@pytest.fixture
def two(cohort: Manifest) -> Manifest:
    return replace(cohort, patients=cohort.patients[:2])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a result without any network: what becomes of files is asked here."""

    def write(folder: Path, **_: object) -> None:
        result: dict[str, Any] = {
            "notices": [],
            "sources": {},
            "patient_id": folder.name.split(".")[1],
            **dict.fromkeys(("probability", "threshold", "predicted_n_status", "nodes_total")),
            **dict.fromkeys(("nodes_positive", "nodes_implausible")),
        }
        (folder / "result.json").write_text(json.dumps(result))

    monkeypatch.setattr(prediction, "_predict_into", write)
    monkeypatch.setattr(prediction, "cohort_page", lambda _: "page")


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.mark.usefixtures("quick")
def test_a_patient_whose_image_is_damaged_later_has_no_older_result(
    two: Manifest, request_of: PredictionRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two.patients
    out = tmp_path / "out"
    assert not predict_cohort(two, request_of, out).failures
    before = visible(out)

    venous = tmp_path / "venous.nii.gz"
    venous.write_bytes(first.venous.read_bytes()[:5000])
    monkeypatch.undo()
    torn = replace(two, patients=(replace(first, venous=venous),))
    outcome = predict_cohort(torn, request_of, out)
    assert outcome.failures[first.patient_id].exit_code == 3
    assert visible(out) == ["failures.jsonl", "index.html", second.patient_id, "summary.json"]
    assert set(before) - set(visible(out)) == {first.patient_id}
    assert is_current(out / f".{first.patient_id}.superseded", verify=True)


@pytest.mark.usefixtures("quick")
def test_a_patient_whose_image_is_gone_has_no_older_result_and_it_comes_back(
    two: Manifest, request_of: PredictionRequest, tmp_path: Path
) -> None:
    first, second = two.patients
    out = tmp_path / "out"
    predict_cohort(two, request_of, out)
    content = (out / first.patient_id / "DONE.json").read_bytes()
    lost = replace(first, venous=tmp_path / "gone.nii.gz")
    assert set(predict_cohort(replace(two, patients=(lost, second)), request_of, out).failures) == {
        first.patient_id
    }
    assert first.patient_id not in visible(out)
    with pytest.raises(InputError):
        predict_single(lost, request_of, out / first.patient_id)
    assert not predict_cohort(two, request_of, out).failures
    assert (out / first.patient_id / "DONE.json").read_bytes() == content
    assert not list(out.glob(".*superseded"))


@pytest.mark.usefixtures("quick")
def test_a_full_disk_stops_a_cohort_and_keeps_who_is_done(
    two: Manifest,
    request_of: PredictionRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = two.patients
    out, whole = tmp_path / "out", prediction._predict_into
    predict_cohort(two, request_of, out)
    told = (out / "summary.json").read_bytes()

    def fills(folder: Path, **how: object) -> None:
        if second.patient_id in folder.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "a.nii.gz"))
        whole(folder, **how)  # type: ignore[arg-type] # of the stand-in

    monkeypatch.setattr(prediction, "_predict_into", fills)
    other = replace(request_of, registration="none" if request_of.registration is None else None)
    with pytest.raises(EnvironmentProblemError, match=f"{second.patient_id}: .*no space left") as stopped:
        predict_cohort(two, other, out)
    assert stopped.value.exit_code == 6
    assert visible(out) == [first.patient_id]
    assert is_current(out / first.patient_id, verify=True)
    monkeypatch.setattr(prediction, "_predict_into", whole)
    assert not predict_cohort(two, other, out).failures
    assert (out / "summary.json").read_bytes() == told


def test_a_patient_who_takes_too_long_is_stopped_listed_and_leaves_nothing(
    two: Manifest, request_of: PredictionRequest, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    timed = replace(request_of, patient_timeout=1e-3)
    one = replace(two, patients=two.patients[:1])
    assert {error.code for error in predict_cohort(one, timed, out).failures.values()} == {"E_TIMEOUT"}
    (line,) = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert line["code"] == "E_TIMEOUT"
    assert line["exit_code"] == 6
    assert visible(out) == ["failures.jsonl", "index.html", "summary.json"]
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
