"""No task gets an artefact that was fitted on the patients it would use it on: planted leaks are caught."""

from pathlib import Path

import pytest
from tests.study.nested.cohorts import seen

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.config import Config
from lymphct.core.errors import LeakageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.evaluation.folds import Fold
from lymphct.io.models.bundle_reading import Bundle, PartWeights
from lymphct.io.models.bundles import PartInfo, write_bundle
from lymphct.study.evidence import write_evidence
from lymphct.study.nested.folds import FeaturesKind
from lymphct.study.nested.guard import BUNDLE, LEARNED_FILE, Artefacts, require_foreign, write_learned
from lymphct.study.nested.plan import (
    COHORT,
    CascadeRole,
    NestedPlan,
    StoredFold,
    StoredNestedFold,
    StudyPatient,
)

SALT = "a key of hashes"
OUTER = Fold(train=("a", "b"), validation=("c",), test=("d",))
INNER = Fold(train=("a",), validation=("b",), test=("c",))
CASCADE = CascadeRole(fold=1, inner=1)


def plan_of(features: FeaturesKind = "oof") -> NestedPlan:
    inner = (StoredFold.of(INNER),) if features == "oof" else ()
    return NestedPlan(
        name="study",
        seed=0,
        salt=SALT,
        threads=1,
        is_phantom=True,
        folds="strict",
        features=features,
        methods=("nodes",),
        titles={"nodes": "ClsbyLNSeg"},
        config=Config(),
        manifests={COHORT: "cohort.csv"},
        patients={name: StudyPatient(cohort=COHORT, n_status=0) for name in "abcd"},
        nested=(StoredNestedFold(outer=StoredFold.of(OUTER), inner=inner),),
    )


def learned_from(*names: str) -> Learned:
    return Learned(bands=PAPER_BANDS, fitted_on={"bands": FittedOn.of(names)})


def lay_bundle(artefacts: Artefacts, cascade: CascadeRole, *names: str) -> None:
    """Plant a bundle that says it learned from these patients."""
    place = artefacts.place(f"bundle.{cascade.name}")
    place.mkdir(parents=True)
    info = new_description("x", learned_from(*names), Config(), salt=SALT, is_phantom=True)
    write_bundle(place / BUNDLE, info, {}, "")


def lay_evidence(artefacts: Artefacts, cascade: CascadeRole, patient: str) -> None:
    folder = artefacts.place(f"examine.{cascade.name}.{COHORT}") / patient
    folder.mkdir(parents=True)
    write_evidence(folder, seen(patient, 0, volume=50.0))


def test_networks_are_not_handed_out_for_whom_they_learned_from(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path, plan_of())
    lay_bundle(artefacts, CASCADE, "a", "b")
    assert artefacts.models(CASCADE, ["c", "d"], "cpu").nodes is None
    with pytest.raises(LeakageError, match="b: the models were fitted on this patient"):
        artefacts.models(CASCADE, ["c", "b"], "cpu")


def test_a_planted_leak_is_caught_before_a_method_sees_the_evidence(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path, plan_of())
    lay_bundle(artefacts, CASCADE, "a", "b", "c")  # c was to be examined by it, and taught it
    for patient in ("c", "d"):
        lay_evidence(artefacts, CASCADE, patient)
    found = artefacts.evidence(CASCADE, COHORT, "d")
    assert found is not None
    assert "a" in found.fitted_on
    with pytest.raises(LeakageError, match="c: the models were fitted on this patient"):
        artefacts.evidence(CASCADE, COHORT, "c")
    assert artefacts.evidence(CASCADE, COHORT, "nobody") is None  # refused when examined


def test_who_takes_the_networks_of_another_cascade_takes_those_who_taught_them(tmp_path: Path) -> None:
    trained = CascadeRole(fold=1, inner=1, variant="none")
    gated = CascadeRole(fold=1, inner=1, variant="none_gated")
    artefacts = Artefacts(tmp_path, plan_of())
    lay_bundle(artefacts, trained, "a", "b", "c")  # a bundle of the gated one is never made
    for patient in ("c", "d"):
        lay_evidence(artefacts, gated, patient)
    found = artefacts.evidence(gated, COHORT, "d")
    assert found is not None
    assert "a" in found.fitted_on
    with pytest.raises(LeakageError, match="c: the models were fitted on this patient"):
        artefacts.evidence(gated, COHORT, "c")
    assert artefacts.models(gated, ["d"], "cpu").nodes is None
    with pytest.raises(LeakageError, match="a: the models were fitted on this patient"):
        artefacts.models(gated, ["a"], "cpu")


def test_in_sample_evidence_is_handed_out_where_the_study_declares_it(tmp_path: Path) -> None:
    cascade = CascadeRole(fold=1, inner=0)
    artefacts = Artefacts(tmp_path, plan_of("paper"))
    lay_bundle(artefacts, cascade, "a", "b", "c", "d")
    for patient in "ad":
        lay_evidence(artefacts, cascade, patient)
    assert artefacts.evidence(cascade, COHORT, "a") is not None
    with pytest.raises(LeakageError, match="d: the models"):  # a test patient is never declared
        artefacts.evidence(cascade, COHORT, "d")
    with pytest.raises(LeakageError, match="d: the models"):
        artefacts.models(cascade, ["a", "d"], "cpu")


def test_intensities_are_not_handed_out_to_those_who_choose(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path, plan_of())
    place = artefacts.place(f"learned.{CASCADE.shared}")
    place.mkdir(parents=True)
    write_learned(place / LEARNED_FILE, learned_from("a", "b"), SALT)
    assert artefacts.learned(CASCADE, ["c"]).bands == PAPER_BANDS
    assert "a" not in (place / LEARNED_FILE).read_text().split('"')  # hashed
    with pytest.raises(LeakageError, match="b: the models"):
        artefacts.learned(CASCADE, ["b"])


def test_networks_from_elsewhere_must_not_know_anybody(tmp_path: Path) -> None:
    part = PartInfo(
        architecture={}, patients={"train": FittedOn.of(["x", "b"]).hashed(SALT), "validation": ()}
    )
    info = new_description("x", learned_from(), Config(), salt=SALT, is_phantom=True)
    bundle = Bundle(
        info=info.model_copy(update={"parts": {StageName.TUMOR: part}}),
        weights=PartWeights(tmp_path, info),
        digest="",
    )
    require_foreign(bundle, [StageName.TUMOR], ["a", "c"])
    with pytest.raises(
        LeakageError, match="b: the tumor network given with --init learned from this patient"
    ):
        require_foreign(bundle, [StageName.TUMOR], ["a", "b"])
