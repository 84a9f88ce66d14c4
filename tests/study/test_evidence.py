"""Evidence on disk is what the cascade saw, kept until something it was made from changes."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal, assert_equal

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.settings import AttentionSettings
from lymphct.baselines.settings import RadiomicsSettings, TumorBoxSettings
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.evidence import EvidenceSettings, examined
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.cascade.parts import Part
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import EnvironmentProblemError, InputError, LeakageError, LymphctError, ModelError
from lymphct.core.geometry import Geometry
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical
from lymphct.core.terms import NodeClass, Phase, StageName
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.models.loading import models_in
from lymphct.io.results.arrays import StoredArray
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.store import DONE_FILE, is_current
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.prepared.dataset import PreparedCohort
from lymphct.patients.prepared.preparation import Store
from lymphct.study import evidence
from lymphct.study.evidence import Examination, examined_patients, read_evidence

WHOLE, VENOUS = "whole", "venous"
"""A patient with both phases, and one without the arterial phase."""
SALT = "the key of a bundle"
GRID = Geometry(
    shape=(22, 20, 14),
    spacing=(1.9, 2.1, 2.9),
    origin=(-30.0, 12.0, 45.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)),
)
UNET = {"features": [4, 8], "strides": [[1, 1, 1], [2, 2, 2]], "convolutions_per_stage": 1}
TINY = {"unet": UNET, "sampling": {"patch_size": [16, 16, 8]}}
CONFIG = Config.model_validate(
    {
        "structures": TINY | {"component_share": 0.0},
        "tumor": TINY | {"threshold": 0.0},
        "nodes": TINY | {"threshold": 0.8, "min_volume": 30.0},
        "identification": {"unet": UNET, "sampling": {"crop_size": [8, 8, 8]}, "threshold": 0.0},
        "metastasis": {"patches": {"crop_size": 24}, "network": {"width": 0.125}},
    }
)
"""Networks of random weights that find something, and call every node positive."""


def stored(store: Store, name: str, *, has_arterial: bool = True, seed: int = 0) -> None:
    """Commit images of noise."""
    rng = np.random.default_rng(seed)
    names = ("venous", "arterial") if has_arterial else ("venous",)
    images = {
        key: Volume(array=rng.normal(60, 80, GRID.shape).astype(np.int16), geometry=GRID) for key in names
    }
    recipe = Recipe(settings={"seed": seed}, code=("core.terms",))
    made(store.place(name), recipe, lambda folder: save_volumes(folder, images))


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> PreparedCohort:
    """Two patients nothing was learned from."""
    store = Store(tmp_path_factory.mktemp("work"), "v")
    stored(store, WHOLE)
    stored(store, VENOUS, has_arterial=False)
    return PreparedCohort(store, {WHOLE: Clinical(n_status=1), VENOUS: Clinical(n_status=0)})


@pytest.fixture(scope="module")
def finding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of all five parts: `teacher` taught the cascade, `pupil` the status network."""
    learned = Learned(intensity=dict.fromkeys(Phase, DEFAULT_INTENSITY), bands=PAPER_BANDS)
    parts = [
        Part(
            stage=name,
            settings=stage.settings_in(CONFIG),
            weights=stage.build(stage.settings_in(CONFIG), seed=3).state_dict(),
            train=FittedOn.of(["pupil" if name is StageName.METASTASIS else "teacher"]),
            validation=FittedOn.of([]),
        )
        for name, stage in STAGES.items()
    ]
    info = new_description("test", learned, CONFIG, salt=SALT, is_phantom=False)
    described = info.model_copy(
        update={
            "parts": {part.stage: part.described(SALT) for part in parts},
            "phase_dropout": True,
        }
    )
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    write_bundle(folder, described, {part.stage: part.weights for part in parts}, "# test\n")
    return folder


def changed(
    bundle: Path, folder: Path, architecture: dict[str, dict[str, Any]] | None = None, **fields: Any
) -> Path:
    """Write a bundle with other settings of parts, or other fields."""
    whole = read_bundle(bundle)
    parts = {
        name: part.model_copy(update={"architecture": part.architecture | (architecture or {}).get(name, {})})
        for name, part in whole.info.parts.items()
    }
    info = whole.info.model_copy(update={"parts": parts, **fields})
    write_bundle(folder, info, {name: whole.weights[name] for name in info.parts}, "# changed\n")
    return folder


@pytest.fixture
def examination(patients: PreparedCohort, finding: Path, tmp_path: Path) -> Examination:
    return Examination(
        patients=patients,
        bundle=finding,
        folder=tmp_path / "evidence",
        settings=EvidenceSettings.of(CONFIG),
        device="cpu",
    )


def stamp(folder: Path) -> int:
    return (folder / DONE_FILE).stat().st_mtime_ns


@pytest.mark.parametrize("name", [WHOLE, VENOUS])
def test_evidence_comes_back_as_the_cascade_saw_it(name: str, examination: Examination) -> None:
    found = examined_patients(examination, [name])[name]
    models = models_in(examination.bundle, "cpu")
    seen = examined(examination.patients[name], models, examination.settings)
    assert len(found.nodes) > 1
    assert found.nodes == seen.nodes
    assert_array_equal(found.features, seen.features)
    assert found.features.dtype == np.float64
    # Without the arterial phase three of the seven features are missing.
    assert np.isnan(found.features).any() == (name == VENOUS)
    assert (found.patient, found.clinical) == (name, seen.clinical)
    assert (found.tumor_volume, found.is_searched) == (seen.tumor_volume, seen.is_searched)
    assert found.tumor_volume > 0
    assert seen.patches is not None
    assert isinstance(found.patches, StoredArray)
    assert found.patches.shape == seen.patches.shape
    assert_array_equal(np.asarray(found.patches), np.asarray(seen.patches))
    assert_array_equal(found.patches[3], seen.patches[3])


def test_radiomics_and_crop_come_back_where_they_were_asked_for(
    examination: Examination, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = {"venous_original_firstorder_Mean": 61.25, "arterial_lbp-3D-k_glcm_MCC": float("nan")}
    monkeypatch.setattr("lymphct.cascade.evidence.radiomics_features", lambda *_: measured)
    plain = examined_patients(examination, [WHOLE])[WHOLE]
    assert (plain.radiomics, plain.crop) == (None, None)
    before = stamp(examination.folder / WHOLE)
    box = TumorBoxSettings(size=10, extent=60.0)
    asking = replace(
        examination, settings=replace(examination.settings, radiomics=RadiomicsSettings(), box=box)
    )
    found = examined_patients(asking, [WHOLE, VENOUS])
    assert stamp(examination.folder / WHOLE) > before
    assert_equal(found[WHOLE].radiomics, measured)
    seen = examined(asking.patients[WHOLE], models_in(asking.bundle, "cpu"), asking.settings)
    assert isinstance(found[WHOLE].crop, StoredArray)
    assert seen.crop is not None
    assert_allclose(np.asarray(found[WHOLE].crop), np.asarray(seen.crop), rtol=1e-3, atol=1e-6)
    assert found[VENOUS].radiomics is None  # of both phases or not at all
    assert found[VENOUS].crop is not None


def test_evidence_knows_whom_its_models_learned_from(examination: Examination) -> None:
    found = examined_patients(examination, [WHOLE])[WHOLE]
    assert [name in found.fitted_on for name in ("teacher", "pupil", WHOLE)] == [True, True, False]


def test_what_the_manifest_says_is_not_kept_but_asked_for(examination: Examination) -> None:
    examination(WHOLE)
    other = PreparedCohort(examination.patients.store, {WHOLE: Clinical(n_status=0, center="B")})
    found = examined_patients(replace(examination, patients=other), [WHOLE])[WHOLE]
    assert found.clinical == Clinical(n_status=0, center="B")


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


def test_each_patient_leaves_a_line_in_the_log_when_examined_not_when_read(
    examination: Examination, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="lymphct.study.evidence"):
        found = examined_patients(examination, [WHOLE, VENOUS])
        examined_patients(examination, [WHOLE, VENOUS])
    assert all(seen.patches is not None and len(seen.nodes) > 1 for seen in found.values())
    assert caplog.messages == [
        f"{name}: examined: a tumor, {len(seen.nodes)} lymph nodes" for name, seen in found.items()
    ]


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
    ids=["attention", "patches"],
)
def test_another_way_to_examine_makes_it_anew(
    other: Callable[[EvidenceSettings], EvidenceSettings], examination: Examination
) -> None:
    examination(WHOLE)
    before = stamp(examination.folder / WHOLE)
    replace(examination, settings=other(examination.settings))(WHOLE)
    assert stamp(examination.folder / WHOLE) > before


def wider(info: BundleInfo) -> dict[str, Any]:
    return {"bands": {k: band.model_copy(update={"d_max": band.d_max + 1}) for k, band in info.bands.items()}}


def brighter(info: BundleInfo) -> dict[str, Any]:
    return {"intensity": {k: s.model_copy(update={"mean": s.mean + 1}) for k, s in info.intensity.items()}}


def judging_otherwise(info: BundleInfo) -> dict[str, Any]:
    cascade = {name: part for name, part in info.parts.items() if name is not StageName.METASTASIS}
    return {"parts": cascade, "thresholds": {"patient": 0.75}, "notice": "another notice"}


@pytest.mark.parametrize(("change", "is_anew"), [(wider, 1), (brighter, 1), (judging_otherwise, 0)])
def test_what_the_cascade_sees_by_makes_it_anew_and_what_judges_does_not(
    change: Callable[[BundleInfo], dict[str, Any]], is_anew: int, examination: Examination, tmp_path: Path
) -> None:
    examination(WHOLE)
    before = stamp(examination.folder / WHOLE)
    fields = change(read_bundle(examination.bundle).info)
    replace(examination, bundle=changed(examination.bundle, tmp_path / "other", **fields))(WHOLE)
    assert (stamp(examination.folder / WHOLE) > before) == bool(is_anew)


def test_images_that_were_prepared_anew_are_examined_anew(examination: Examination, tmp_path: Path) -> None:
    store = Store(tmp_path / "work", "v")
    found = []
    for seed in (0, 1):
        stored(store, WHOLE, seed=seed)
        cohort = PreparedCohort(store, {WHOLE: Clinical()})
        found.append(examined_patients(replace(examination, patients=cohort), [WHOLE])[WHOLE])
    assert found[0].nodes != found[1].nodes


def test_a_tumor_that_is_not_found_leaves_no_patches(examination: Examination, tmp_path: Path) -> None:
    examination(WHOLE)
    assert (examination.folder / WHOLE / "patches.npy").exists()
    blind = changed(examination.bundle, tmp_path / "other", {"tumor": {"threshold": 1.0}})
    found = examined_patients(replace(examination, bundle=blind), [WHOLE])[WHOLE]
    assert (found.patches, found.tumor_volume) == (None, 0.0)
    assert not (examination.folder / WHOLE / "patches.npy").exists()


def test_a_patient_without_nodes_comes_back_without(examination: Examination, tmp_path: Path) -> None:
    blind = changed(examination.bundle, tmp_path / "other", {"nodes": {"threshold": 1.0}})
    found = examined_patients(replace(examination, bundle=blind), [WHOLE])[WHOLE]
    assert found.nodes == ()
    assert found.features.shape == (0, 7)
    assert found.is_searched


@pytest.mark.parametrize("seen", ["teacher", "pupil"])
def test_a_patient_the_bundle_has_seen_is_refused_before_anybody_is_examined(
    seen: str, examination: Examination
) -> None:
    clinical = {**examination.patients.clinical, seen: Clinical()}
    leaking = replace(examination, patients=PreparedCohort(examination.patients.store, clinical))
    with pytest.raises(LeakageError, match=f"{seen}: the models were fitted on this patient"):
        examined_patients(leaking, [WHOLE, seen])
    assert not examination.folder.exists()
    with pytest.raises(LeakageError, match=f"{seen}: the models were fitted on this patient"):
        leaking(seen)


def test_a_patient_who_cannot_be_examined_is_left_out_with_the_reason(
    examination: Examination, caplog: pytest.LogCaptureFixture
) -> None:
    clinical = {"nobody": Clinical(), **examination.patients.clinical}
    more = PreparedCohort(examination.patients.store, clinical)
    with caplog.at_level(logging.WARNING, logger="lymphct.study.evidence"):
        found = examined_patients(replace(examination, patients=more), ["nobody", WHOLE])
    assert list(found) == [WHOLE]
    (record,) = caplog.records
    assert record.getMessage().startswith("left out of the status training: nobody: the patient is not prep")
    assert not (examination.folder / "nobody").exists()


def test_a_patient_without_arterial_phase_is_left_out_where_the_networks_never_saw_one(
    examination: Examination, finding: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both_phases = changed(finding, tmp_path / "bundle", phase_dropout=False)
    with caplog.at_level(logging.WARNING, logger="lymphct.study.evidence"):
        found = examined_patients(replace(examination, bundle=both_phases), [WHOLE, VENOUS])
    assert list(found) == [WHOLE]
    (record,) = caplog.records
    assert f"{VENOUS}: the arterial phase is missing and the bundle was" in record.getMessage()


@pytest.mark.parametrize(
    ("problem", "kind", "words"),
    [
        (OSError(28, "No space left on device"), EnvironmentProblemError, "no space left"),
        (KeyError("a slip of ours"), LymphctError, "unexpected KeyError"),
    ],
    ids=["disk", "bug"],
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
    parts = dict(read_bundle(examination.bundle).info.parts)
    del parts[StageName.TUMOR]
    partial = changed(examination.bundle, tmp_path / "partial", parts=parts)
    with pytest.raises(ModelError, match="the bundle has no tumor network"):
        examined_patients(replace(examination, bundle=partial), [WHOLE])


def test_damaged_evidence_is_refused_by_name_and_made_anew(examination: Examination) -> None:
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
