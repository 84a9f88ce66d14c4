import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.config import Config
from lymphct.core.errors import EnvironmentProblemError, InputError, OutputInUseError, UsageError
from lymphct.core.leakage import Roles
from lymphct.core.terms import Structure
from lymphct.evaluation.folds import stratified_folds
from lymphct.io.images.nifti import read_nifti, write_nifti
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.io.settings import load_config
from lymphct.patients.foresight.outlook import Need
from lymphct.patients.nnunet import export as nnunet_export
from lymphct.patients.nnunet.export import NnunetExport, channels_of, export_nnunet
from lymphct.patients.nnunet.labels import TARGETS
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.prepared.dataset import prepared_cohort
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.nnunet_folds import nnunet_folds
from lymphct.study.single.split import split_cohort

PATIENTS = 5


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("cohort")
    settings = PhantomSettings(size="nano", phase_shift=False)
    return read_manifest(
        write_phantoms(PhantomCohort(folder=folder, settings=settings, seed=5, patients=PATIENTS))
    )


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config("phantom_nano", [])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all exports: patients are prepared once."""
    return tmp_path_factory.mktemp("work")


def _request(cohort: Manifest, config: Config, work: Path, out: Path, **given: Any) -> NnunetExport:
    folds = nnunet_folds(cohort.patients, "folds", 3, 0)
    fields: dict[str, Any] = {
        "out": out,
        "number": 7,
        "name": "Test",
        "folds": folds,
        "config": config,
        "work": work,
    }
    return NnunetExport(**(fields | given))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_data_set_holds_what_nnunet_asks_for(
    cohort: Manifest, config: Config, work: Path, tmp_path: Path
) -> None:
    channels = channels_of("A,V,attention")
    request = _request(cohort, config, work, tmp_path, channels=channels)
    done = export_nnunet(cohort, request)
    folder = tmp_path / "Dataset007_Test"
    assert done.folder == folder
    assert len(done.train) == PATIENTS
    content = _json(folder / "dataset.json")
    assert content["channel_names"] == {"0": "CT", "1": "CT", "2": "noNorm"}
    assert (content["numTraining"], content["file_ending"]) == (PATIENTS, ".nii.gz")
    assert content["labels"] == {"background": 0} | {s.label: int(s) for s in Structure}
    assert content["lymphct"]["channels"] == ["arterial", "venous", "attention"]
    stored = prepared_cohort(request.preparation, cohort.patients)
    name = done.train[0]
    for number, channel in enumerate(("arterial", "venous")):
        image = read_nifti(folder / "imagesTr" / f"{name}_{number:04d}.nii.gz").volume
        view = stored[name].view(channel)  # type: ignore[arg-type] # a phase
        assert view is not None
        assert image.geometry.matches(view.geometry)
        assert_array_equal(image.array, view.whole().array)
    attention = read_nifti(folder / "imagesTr" / f"{name}_0002.nii.gz").volume.array
    assert attention.dtype == np.float32
    assert (float(attention.min()), float(attention.max())) == (0.0, 1.0)
    labels = read_nifti(folder / "labelsTr" / f"{name}.nii.gz").volume
    structures = stored[name].structures
    assert structures is not None
    assert_array_equal(labels.array, structures.array)


def test_the_splits_are_our_folds(cohort: Manifest, config: Config, work: Path, tmp_path: Path) -> None:
    export_nnunet(cohort, _request(cohort, config, work, tmp_path))
    splits = _json(tmp_path / "Dataset007_Test" / "splits_final.json")
    strata = {r.patient_id: f"{r.n_status} {r.tumor_location}" for r in cohort.patients}
    expected = stratified_folds(strata, 3, 0)
    assert [split["val"] for split in splits] == [list(fold.test) for fold in expected]
    assert [split["train"] for split in splits] == [
        sorted((*fold.train, *fold.validation)) for fold in expected
    ]
    plan = nnunet_folds(cohort.patients, "plan", 5, 3)
    parts = split_cohort(cohort.patients, 3)
    assert [(set(f.train), set(f.validation)) for f in plan] == [
        tuple({n for n, p in parts.items() if p.part == part} for part in ("train", "validation"))
    ]


def test_patients_of_no_fold_of_the_test_and_without_a_mask_have_images_alone(
    cohort: Manifest, config: Config, tmp_path: Path
) -> None:
    records = list(cohort.patients)
    records[0] = replace(records[0], cells={**records[0].cells, "split": "test"})
    records[1] = replace(records[1], tumor=None)
    changed = replace(cohort, patients=tuple(records))
    request = _request(changed, config, tmp_path / "own", tmp_path, target="tumor")
    done = export_nnunet(changed, request)
    folder = tmp_path / "Dataset007_Test"
    outside = {records[0].patient_id, records[1].patient_id}
    assert set(done.test) == outside
    assert {p.name[:-12] for p in (folder / "imagesTs").iterdir()} == outside
    assert {p.name[:-7] for p in (folder / "labelsTr").iterdir()} == set(done.train)
    splits = _json(folder / "splits_final.json")
    assert not outside & {name for split in splits for names in split.values() for name in names}
    assert _json(folder / "dataset.json")["labels"] == {"background": 0, "tumor": 1}


def test_an_export_is_made_once_and_again_only_for_another_request(
    cohort: Manifest, config: Config, work: Path, tmp_path: Path
) -> None:
    request = _request(cohort, config, work, tmp_path, target="nodes", channels=("venous",))
    export_nnunet(cohort, request)
    label = next((tmp_path / "Dataset007_Test" / "labelsTr").iterdir())
    before = label.stat().st_mtime_ns
    export_nnunet(cohort, request)
    assert label.stat().st_mtime_ns == before
    export_nnunet(cohort, replace(request, target="node-classes"))
    content = _json(tmp_path / "Dataset007_Test" / "dataset.json")
    assert content["labels"] == {"background": 0, "positive": 1, "negative": 2}


def test_an_interrupted_export_leaves_no_data_set_and_what_was_prepared(
    cohort: Manifest, config: Config, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _request(cohort, config, work, tmp_path)

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nnunet_export, "write_nifti", broken)
    with pytest.raises(KeyboardInterrupt):
        export_nnunet(cohort, request)
    assert list(tmp_path.iterdir()) == []
    assert request.preparation.store.place(cohort.patients[0].patient_id).is_dir()


@pytest.fixture
def partial(cohort: Manifest, tmp_path: Path) -> Manifest:
    """The cohort whose first patient has 255 in a corner and only the aorta drawn, the second no class."""
    folder = tmp_path / "partial"
    rows = []
    for number, record in enumerate(cohort.patients):
        row: dict[str, Any] = {"patient_id": record.patient_id, **record.paths}
        if number == 0:
            assert record.structures is not None
            image = read_nifti(record.structures).volume
            values = np.where(image.array == Structure.AORTA, Structure.AORTA, 0).astype(np.uint8)
            values[:4, :4, :4] = 255
            row["structures"] = folder / "structures.nii.gz"
            write_nifti(row["structures"], image.with_array(values))
            row["structures_labelled"] = "aorta"
        rows.append(row)
    write_manifest(folder / "cohort.csv", rows)
    return read_manifest(folder / "cohort.csv")


def test_where_nobody_looked_nnunet_is_told_to_ignore(
    partial: Manifest, config: Config, tmp_path: Path
) -> None:
    done = export_nnunet(partial, _request(partial, config, tmp_path / "work", tmp_path / "out"))
    content = _json(done.folder / "dataset.json")
    assert content["labels"]["ignore"] == len(Structure) + 1
    first, second = (partial.patients[n].patient_id for n in range(2))
    values = read_nifti(done.folder / "labelsTr" / f"{first}.nii.gz").volume.array
    # The other structures may lie anywhere in its background.
    assert set(np.unique(values)) == {int(Structure.AORTA), len(Structure) + 1}
    values = read_nifti(done.folder / "labelsTr" / f"{second}.nii.gz").volume.array
    assert 0 in values
    assert len(Structure) + 1 not in values


def test_a_fold_without_anybody_on_one_side_is_refused(
    cohort: Manifest, config: Config, work: Path, tmp_path: Path
) -> None:
    fold = Roles(train=tuple(record.patient_id for record in cohort.patients))
    with pytest.raises(InputError, match="fold 0 has no patient with labels in 'val'"):
        export_nnunet(cohort, _request(cohort, config, work, tmp_path, folds=(fold,)))


def test_a_patient_without_a_channel_is_left_out(
    cohort: Manifest, config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = list(cohort.patients)
    records[0] = replace(records[0], arterial=None)
    records[1] = replace(records[1], structures=None)
    changed = replace(cohort, patients=tuple(records))
    names = [record.patient_id for record in records]
    fold = Roles(train=(names[0], names[1], names[2]), validation=(names[3], names[4]))
    request = _request(
        changed, config, tmp_path / "own", tmp_path / "out", target="nodes",
        channels=("arterial", "venous", "attention"), folds=(fold,),
    )  # fmt: skip
    left_out = export_nnunet(changed, request).left_out
    assert dict(left_out) == {
        records[0].patient_id: "no arterial phase",
        records[1].patient_id: "no structures, so no attention",
    }
    assert f"{records[0].patient_id}: left out, no arterial phase" in caplog.text


def test_what_cannot_be_exported_is_refused(
    cohort: Manifest, config: Config, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = replace(cohort, patients=tuple(replace(r, nodes=None) for r in cohort.patients))
    with pytest.raises(InputError, match="no training patient has a nodes mask") as caught:
        export_nnunet(bare, _request(cohort, config, tmp_path / "own", tmp_path / "out", target="nodes"))
    assert caught.value.code == "E_NO_LABELS"
    foreign = tmp_path / "Dataset007_Test"
    foreign.mkdir()
    (foreign / "dataset.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputInUseError, match=r"holds no DONE.json of ours"):
        export_nnunet(cohort, _request(cohort, config, work, tmp_path))
    for number, name in ((1000, "Test"), (7, "a b"), (7, "../x")):
        with pytest.raises(UsageError, match="no name of a data set"):
            _request(cohort, config, work, tmp_path, number=number, name=name)
    for text in ("A,B", "attention", "A,A", ""):
        with pytest.raises(UsageError, match="--channels"):
            channels_of(text)
    monkeypatch.setattr(nnunet_export, "room_to_prepare", lambda *_: Need(needed=0, free=1))
    monkeypatch.setattr(nnunet_export, "free_space", lambda _: 1)
    with pytest.raises(EnvironmentProblemError, match=r"MB are needed, 0 MB are free"):
        export_nnunet(cohort, _request(cohort, config, work, tmp_path / "full"))


def test_every_target_has_a_name() -> None:
    assert TARGETS == ("structures", "tumor", "nodes", "node-classes")
