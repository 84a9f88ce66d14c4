"""Evidence on disk is what the cascade saw, kept until something it was made from changes."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.evidence import EvidenceSettings, examined
from lymphct.cascade.stages import CASCADE
from lymphct.config import Config
from lymphct.core.errors import EnvironmentProblemError, InputError, LeakageError, LymphctError, ModelError
from lymphct.core.patient import Clinical
from lymphct.core.terms import NodeClass, StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.results.store import DONE_FILE, is_current
from lymphct.io.results.volumes import StoredArray
from lymphct.patients.dataset import PreparedCohort, prepared_cohort
from lymphct.patients.preparation import Preparation, prepare_patient
from lymphct.study import evidence
from lymphct.study.evidence import Examination, examined_patients, read_evidence
from lymphct.study.plan import Run

WHOLE, VENOUS = "phantom-9-whole", "phantom-9-venous"
"""A patient with both phases, and the same one without the arterial phase."""


@pytest.fixture(scope="module")
def patients(cohort: Manifest, config: Config, tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    """Two patients nothing was learned from, by their ids."""
    preparation = Preparation(
        folder=tmp_path_factory.mktemp("work"),
        spacing=config.imaging.spacing,
        registration=config.registration,
    )
    first = replace(cohort.patients[0], patient_id=WHOLE)
    records = [first, replace(first, patient_id=VENOUS, arterial=None)]
    for record in records:
        prepare_patient(record, preparation)
    return prepared_cohort(preparation, records)


@pytest.fixture(scope="module")
def finding(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four parts that examine; nodes are found easily and each is called positive."""
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    changed(bundle, folder, {"nodes": {"threshold": 0.05}, "identification": {"threshold": 0.0}})
    return folder


def changed(bundle: Path, folder: Path, architecture: dict[str, dict[str, Any]], **fields: Any) -> Path:
    """Write a bundle without the status network, with other settings of parts and other fields."""
    whole = read_bundle(bundle)
    parts = {
        name: part.model_copy(update={"architecture": part.architecture | architecture.get(name, {})})
        for name, part in whole.info.parts.items()
        if name in CASCADE
    }
    info = whole.info.model_copy(update={"parts": parts, **fields})
    write_bundle(folder, info, {name: whole.weights[name] for name in parts}, "# changed\n")
    return folder


@pytest.fixture
def examination(patients: PreparedCohort, finding: Path, config: Config, tmp_path: Path) -> Examination:
    return Examination(
        patients=patients,
        bundle=finding,
        folder=tmp_path / "evidence",
        settings=EvidenceSettings.of(config),
        device="cpu",
    )


def stamp(folder: Path) -> int:
    return (folder / DONE_FILE).stat().st_mtime_ns


@pytest.mark.parametrize("name", [WHOLE, VENOUS])
def test_evidence_comes_back_as_the_cascade_saw_it(name: str, examination: Examination) -> None:
    found = examined_patients(examination, [name])[name]
    seen = examined(examination.patients[name], models_in(examination.bundle, "cpu"), examination.settings)
    assert found.nodes == seen.nodes
    assert found.nodes
    assert_array_equal(found.features, seen.features)
    assert found.features.dtype == np.float64
    # Without the arterial phase three of the seven features are missing.
    assert np.isnan(found.features).any() == (name == VENOUS)
    assert (found.patient, found.clinical) == (seen.patient, seen.clinical)
    assert (found.tumor_volume, found.is_searched) == (seen.tumor_volume, seen.is_searched)
    assert seen.patches is not None
    assert isinstance(found.patches, StoredArray)
    assert found.patches.shape == seen.patches.shape
    assert_array_equal(np.asarray(found.patches), np.asarray(seen.patches))
    assert_array_equal(found.patches[3], seen.patches[3])


def test_evidence_knows_whom_its_models_learned_from(examination: Examination, bundle: Path) -> None:
    found = examined_patients(examination, [WHOLE])[WHOLE]
    plan = Run.open(bundle.parent).plan
    assert all(name in found.fitted_on for name in plan.roles(StageName.NODES).everybody)
    assert WHOLE not in found.fitted_on


def test_evidence_is_made_once_and_read_from_then_on(
    examination: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = examined_patients(examination, [WHOLE, VENOUS])
    before = {name: stamp(examination.folder / name) for name in first}
    assert is_current(examination.folder / WHOLE, verify=True)
    monkeypatch.setattr(evidence, "examined", lambda *_: pytest.fail("examined again"))
    again = examined_patients(examination, [WHOLE, VENOUS])
    assert {name: stamp(examination.folder / name) for name in again} == before
    assert again[WHOLE].nodes == first[WHOLE].nodes
    assert list(again) == [WHOLE, VENOUS]


def test_another_threshold_of_a_part_makes_it_anew(examination: Examination, tmp_path: Path) -> None:
    positive = examined_patients(examination, [WHOLE])[WHOLE]
    before = stamp(examination.folder / WHOLE)
    assert {node.node_class for node in positive.nodes} == {NodeClass.POSITIVE}
    other = changed(examination.bundle, tmp_path / "other", {"identification": {"threshold": 1.0}})
    negative = examined_patients(replace(examination, bundle=other), [WHOLE])[WHOLE]
    assert stamp(examination.folder / WHOLE) > before
    assert {node.node_class for node in negative.nodes} == {NodeClass.NEGATIVE}
    assert [node.volume for node in negative.nodes] == [node.volume for node in positive.nodes]


@pytest.mark.parametrize(
    "other",
    [
        lambda how: replace(how, attention=AttentionSettings(border=1.0)),
        lambda how: replace(how, patches=how.patches.model_copy(update={"crop_size": 16})),
    ],
)
def test_another_way_to_examine_makes_it_anew(
    other: Callable[[EvidenceSettings], EvidenceSettings], examination: Examination
) -> None:
    examination(WHOLE)
    before = stamp(examination.folder / WHOLE)
    replace(examination, settings=other(examination.settings))(WHOLE)
    assert stamp(examination.folder / WHOLE) > before


def described(**changes: Callable[[Any], Any]) -> Callable[[BundleInfo], dict[str, Any]]:
    return lambda info: {name: change(getattr(info, name)) for name, change in changes.items()}


@pytest.mark.parametrize(
    ("change", "is_made_anew"),
    [
        (
            described(
                bands=lambda bands: {k: v.model_copy(update={"d_max": v.d_max + 1}) for k, v in bands.items()}
            ),
            True,
        ),
        (
            described(
                intensity=lambda known: {
                    k: v.model_copy(update={"mean": v.mean + 1}) for k, v in known.items()
                }
            ),
            True,
        ),
        (described(notice=lambda _: "another notice", thresholds=lambda _: {"patient": 0.75}), False),
    ],
)
def test_what_the_cascade_sees_by_makes_it_anew_and_what_judges_does_not(
    change: Callable[[BundleInfo], dict[str, Any]],
    is_made_anew: bool,  # noqa: FBT001
    examination: Examination,
    tmp_path: Path,
) -> None:
    examination(WHOLE)
    before = stamp(examination.folder / WHOLE)
    fields = change(read_bundle(examination.bundle).info)
    replace(examination, bundle=changed(examination.bundle, tmp_path / "other", {}, **fields))(WHOLE)
    assert (stamp(examination.folder / WHOLE) > before) == is_made_anew


def test_images_that_were_prepared_anew_are_examined_anew(
    examination: Examination, cohort: Manifest, config: Config, tmp_path: Path
) -> None:
    preparation = Preparation(
        folder=tmp_path / "work", spacing=config.imaging.spacing, registration=config.registration
    )
    record = replace(cohort.patients[1], patient_id=WHOLE)
    before = examination(WHOLE)
    volume = read_evidence(before, examination.patients, read_bundle(examination.bundle).info).tumor_volume
    prepare_patient(record, preparation)
    other = replace(examination, patients=prepared_cohort(preparation, [record]))
    assert examined_patients(other, [WHOLE])[WHOLE].tumor_volume != volume


def test_a_tumor_that_is_not_found_leaves_no_patches(examination: Examination, tmp_path: Path) -> None:
    examination(WHOLE)
    assert (examination.folder / WHOLE / "patches.npy").exists()
    blind = changed(examination.bundle, tmp_path / "other", {"tumor": {"threshold": 1.0}})
    found = examined_patients(replace(examination, bundle=blind), [WHOLE])[WHOLE]
    assert (found.patches, found.tumor_volume) == (None, 0.0)
    assert not (examination.folder / WHOLE / "patches.npy").exists()


def test_patients_the_bundle_has_seen_are_refused_before_anybody_is_examined(
    bundle: Path, examination: Examination
) -> None:
    run = Run.open(bundle.parent)
    seen = run.plan.roles(StageName.NODES).train[0]
    both = PreparedCohort(examination.patients.store, {**examination.patients.clinical, seen: Clinical()})
    leaking = replace(examination, patients=both)
    with pytest.raises(LeakageError, match=f"{seen}: the models were fitted on this patient"):
        examined_patients(leaking, [WHOLE, seen])
    assert not examination.folder.exists()
    with pytest.raises(LeakageError, match=f"{seen}: the models were fitted on this patient"):
        leaking(seen)
    # The status network of the whole bundle learned from the others.
    fusion = run.plan.roles(StageName.METASTASIS).train[0]
    with pytest.raises(LeakageError, match=f"{fusion}: the models were fitted"):
        examined_patients(replace(examination, patients=run.patients, bundle=bundle), [fusion])


def test_a_patient_who_cannot_be_examined_is_left_out_with_the_reason(
    examination: Examination, caplog: pytest.LogCaptureFixture
) -> None:
    clinical = {"nobody": Clinical(), **examination.patients.clinical}
    more = PreparedCohort(examination.patients.store, clinical)
    with caplog.at_level(logging.WARNING, logger="lymphct.study.evidence"):
        found = examined_patients(replace(examination, patients=more), ["nobody", WHOLE])
    assert list(found) == [WHOLE]
    assert [record.getMessage() for record in caplog.records] == [
        (
            "left out of the status training: nobody: the patient is not prepared [E_NOT_PREPARED] "
            "- run lymphct prepare"
        )
    ]
    assert not (examination.folder / "nobody").exists()


@pytest.mark.parametrize(
    ("problem", "kind", "words"),
    [
        (OSError(28, "No space left on device"), EnvironmentProblemError, "no space left"),
        (KeyError("a slip of ours"), LymphctError, "unexpected KeyError"),
    ],
)
def test_nobody_is_left_out_for_a_full_disk_or_a_bug(
    problem: Exception,
    kind: type[LymphctError],
    words: str,
    examination: Examination,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(evidence, "examined", fail)
    with pytest.raises(kind, match=words) as caught:
        examined_patients(examination, [WHOLE])
    assert not isinstance(caught.value, InputError)


def test_a_bundle_that_lacks_a_network_is_refused_and_leaves_nobody_out(
    examination: Examination, tmp_path: Path
) -> None:
    whole = read_bundle(examination.bundle)
    parts = {name: part for name, part in whole.info.parts.items() if name is not StageName.TUMOR}
    info = whole.info.model_copy(update={"parts": parts})
    write_bundle(tmp_path / "partial", info, {name: whole.weights[name] for name in parts}, "# partial\n")
    with pytest.raises(ModelError, match="the bundle has no tumor network"):
        examined_patients(replace(examination, bundle=tmp_path / "partial"), [WHOLE])


def test_damaged_evidence_is_refused_by_name(examination: Examination) -> None:
    folder = examination(WHOLE)
    info = read_bundle(examination.bundle).info
    (folder / "patches.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"patches\.npy: an intermediate image is missing or damaged"):
        read_evidence(folder, examination.patients, info)
    (folder / "evidence.json").write_text("{")
    with pytest.raises(InputError, match=r"evidence\.json: not valid JSON"):
        read_evidence(folder, examination.patients, info)
    # Its size betrays it: the next look makes it anew.
    assert examined_patients(examination, [WHOLE])[WHOLE].patches is not None
