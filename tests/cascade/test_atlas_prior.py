"""An atlas, or trapezia, are fitted on training patients, travel in the bundle, and guide stage 1."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.atlas_fitting import fit_atlas
from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import guided_by, guiding_attention
from lymphct.attention.prior import FittedPrior
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.trapezia_fitting import fit_trapezia
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.description import BundleInfo, PartInfo
from lymphct.cascade.examination import Given, Stopwatch, examine
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, new_description
from lymphct.cascade.partial_examination import examine_until
from lymphct.cascade.parts import Start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError, LeakageError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.terms import StageName, Structure
from lymphct.core.unjudged import BITS
from lymphct.io.settings import load_config
from lymphct.learning.keeping import Forget
from lymphct.learning.tensors import to_network

MakePatient = Callable[..., PreparedPatient]
ASKED = AttentionSettings(prior="atlas")
SALT = "a key of hashes"


@pytest.fixture(params=["atlas", "trapezia"])
def prior(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asking(tiny: Config, prior: str) -> Config:
    return tiny.model_copy(update={"attention": AttentionSettings.model_validate({"prior": prior})})


@pytest.fixture
def cohort(make_patient: MakePatient) -> dict[str, PreparedPatient]:
    return {name: make_patient(name, noise=9.0) for name in "abcd"}


def test_it_is_fitted_on_training_patients_with_structures_and_nodes_alone(
    make_patient: MakePatient, asking: Config, prior: str
) -> None:
    patients = {
        "a": make_patient("a", noise=9.0),
        "b": make_patient("b", noise=9.0, without=("tumor",)),
        "c": make_patient("c", noise=9.0, without=("structures",)),
        "d": make_patient("d", noise=9.0, without=("nodes",)),
        "e": replace(make_patient("e", noise=9.0), labelled=(Structure.SPLEEN,)),
        "f": make_patient("f", noise=9.0),
    }
    learned = fit_learned(patients, ["e", "d", "b", "c", "a"], asking)
    assert learned.fitted_on == {prior: FittedOn.of("ab")}
    drawn = [
        (guided_by(p.structures, p.tumor), p.tumor, p.instances)
        for p in (patients["a"], patients["b"])
        if p.structures is not None and p.instances is not None
    ]
    assert learned.prior == (fit_atlas if prior == "atlas" else fit_trapezia)(drawn, "ab").value
    assert learned.prior == getattr(learned, prior)
    assert (learned.atlas is None) != (learned.trapezia is None)
    assert learned.bands is PAPER_BANDS
    for name in "ab":
        with pytest.raises(LeakageError, match=f"{name}: the models were fitted on this patient"):
            learned.fitted_on[prior].require_unseen(name)


def test_its_settings_are_those_of_the_attention(cohort: dict[str, PreparedPatient], tiny: Config) -> None:
    wide, narrow = (
        fit_learned(
            cohort,
            "ab",
            tiny.model_copy(
                update={"attention": ASKED.model_copy(update={"atlas_outside": o, "atlas_faint": f})}
            ),
        ).atlas
        for o, f in ((0.0, 0.1), (0.2, 0.6))
    )
    assert wide is not None
    assert narrow is not None
    assert wide.effects == narrow.effects
    assert (wide.least < narrow.least, wide.full < narrow.full) == (True, True)
    assert fit_learned(cohort, "ab", tiny).fitted_prior is None


def test_voxels_in_which_nobody_looked_for_nodes_are_no_background(
    cohort: dict[str, PreparedPatient], asking: Config
) -> None:
    patient = cohort["a"]
    assert patient.instances is not None
    unlooked = np.zeros(patient.instances.array.shape, np.uint8)
    unlooked[:, :, 8:] = BITS[StageName.NODES]
    partly = replace(patient, unjudged=patient.instances.with_array(unlooked))
    whole, part = (fit_learned({"a": p}, "a", asking).fitted_prior for p in (patient, partly))
    assert whole != part
    assert part is not None


def test_nobody_to_fit_it_on_is_said_and_not_passed_over(make_patient: MakePatient, asking: Config) -> None:
    patients = {"a": make_patient("a", noise=9.0, without=("nodes",))}
    with pytest.raises(InputError, match="nobody has a lymph node near a guiding structure") as told:
        fit_learned(patients, "a", asking)
    assert told.value.code == "E_PRIOR"
    assert "attention.prior=bands" in str(told.value)


@pytest.fixture
def learned(cohort: dict[str, PreparedPatient], asking: Config) -> Learned:
    return fit_learned(cohort, "ab", asking)


def described(learned: Learned, config: Config, *parts: StageName) -> BundleInfo:
    info = new_description("test", learned, config, salt=SALT, is_phantom=False)
    part = PartInfo(architecture={}, patients={"train": (), "validation": ()})
    info = info.model_copy(update={"parts": dict.fromkeys(parts, part)})
    return BundleInfo.model_validate_json(info.model_dump_json())


def test_a_bundle_gives_it_back_with_the_patients_behind_it(
    learned: Learned, asking: Config, prior: str
) -> None:
    info = described(learned, asking)
    back = Learned.of_bundle(info)
    assert back.prior == learned.prior
    assert [name in back.fitted_on[prior] for name in "abc"] == [True, True, False]
    assert info.parts_that_saw("a") == (prior,)
    assert [name in info.fitted_on_anybody for name in "abc"] == [True, True, False]


@pytest.mark.parametrize("prior", ["atlas"], indirect=True)
def test_a_bundle_that_says_nothing_of_it_has_bands(learned: Learned, tiny: Config) -> None:
    record = new_description(
        "old", replace(learned, atlas=None, trapezia=None, fitted_on={}), tiny, salt=SALT, is_phantom=False
    ).model_dump(mode="json")
    del record["atlas"], record["trapezia"], record["suppress_other_organs"]
    back = Learned.of_bundle(BundleInfo.model_validate(record))
    assert (back.fitted_prior, back.suppress_other_organs) == (None, False)
    assert back.prior == PAPER_BANDS


def test_a_damaged_one_is_refused(learned: Learned, asking: Config, prior: str) -> None:
    record: Any = described(learned, asking).model_dump(mode="json")
    numbers, words = {
        "atlas": ("knots", "the knots of the atlas do not rise"),
        "trapezia": ("structures", "the trapezium of aorta is empty"),
    }[prior]
    found = record[prior][numbers]
    (found if prior == "atlas" else found["aorta"]).reverse()
    with pytest.raises(ValueError, match=words):
        BundleInfo.model_validate(record)


def test_a_bundle_with_both_is_refused(cohort: dict[str, PreparedPatient], tiny: Config) -> None:
    configs = [
        tiny.model_copy(update={"attention": AttentionSettings(prior=p)}) for p in ("atlas", "trapezia")
    ]
    atlas, trapezia = (fit_learned(cohort, "ab", config) for config in configs)
    record = described(atlas, configs[0]).model_dump(mode="json")
    assert trapezia.trapezia is not None
    record["trapezia"] = trapezia.trapezia.model_dump(mode="json")
    with pytest.raises(ValueError, match="of which one alone can make the attention"):
        BundleInfo.model_validate(record)


def test_what_goes_on_from_a_bundle_keeps_the_prior_of_its_stage_1(
    learned: Learned, asking: Config, tiny: Config, prior: str, caplog: pytest.LogCaptureFixture
) -> None:
    bands = replace(learned, atlas=None, trapezia=None, fitted_on={})
    # Structures alone know no attention: the new one stands, with the patients behind it.
    new = learned.beside(described(bands, tiny, StageName.STRUCTURES))
    assert new.prior == learned.prior
    assert "a" in new.fitted_on[prior]
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        kept = learned.beside(described(bands, tiny, StageName.NODES))
    assert kept.prior == PAPER_BANDS
    assert prior not in kept.fitted_on
    assert "that of the bundle it starts from stands" in caplog.text
    theirs = bands.beside(described(learned, asking, StageName.NODES))
    assert theirs.prior == learned.prior
    assert "b" in theirs.fitted_on[prior]


def test_stage_1_is_shown_its_map_and_prediction_makes_the_same(
    cohort: dict[str, PreparedPatient], learned: Learned, asking: Config, answering: Models
) -> None:
    patient = cohort["c"]
    assert patient.structures is not None
    assert isinstance(learned.prior, FittedPrior)
    expected = guiding_attention(patient.structures, patient.tumor, learned.prior)
    material = Material(patients=cohort, learned=learned, config=asking)
    assert_array_equal(material.attention("c").array, expected.array)  # type: ignore[union-attr] # has structures
    case = segmentation_cases(material, ["c"], StageName.NODES)[0]
    shown = np.asarray(case.attention)
    assert_array_equal(shown > 0, to_network(expected.array) > 0)
    info = answering.info.model_copy(update={"atlas": learned.atlas, "trapezia": learned.trapezia})
    models = replace(answering, info=info)
    given = Given(structures=patient.structures, tumor=patient.tumor)
    found = examine(patient.ct, given, models, AttentionSettings(), Stopwatch())
    assert_array_equal(found.attention.array, expected.array)
    masks = examine_until(patient.ct, given, models, AttentionSettings(), Stopwatch(), last=StageName.NODES)
    assert_array_equal(masks.attention.array, expected.array)


@pytest.mark.parametrize("prior", ["bands", "atlas", "trapezia"])
def test_organs_dark_in_training_are_dark_in_prediction(
    prior: str, cohort: dict[str, PreparedPatient], tiny: Config, answering: Models
) -> None:
    settings = AttentionSettings.model_validate({"prior": prior, "suppress_other_organs": True})
    config = tiny.model_copy(update={"attention": settings})
    info = described(fit_learned(cohort, "ab", config), config, StageName.NODES)
    assert info.suppress_other_organs
    assert Learned.of_bundle(info).beside(info).suppress_other_organs
    patient = cohort["c"]
    assert patient.structures is not None
    models = replace(answering, info=info)
    given = Given(structures=patient.structures, tumor=patient.tumor)
    found = examine(
        patient.ct, given, replace(models, nodes=answering.nodes), AttentionSettings(), Stopwatch()
    )
    expected = guiding_attention(patient.structures, patient.tumor, models.prior, settings)
    assert_array_equal(found.attention.array, expected.array)
    assert not found.attention.array[patient.structures.array == Structure.LIVER].any()


@pytest.mark.parametrize(
    ("prior", "heads"),
    [
        ("atlas", {}),
        ("trapezia", {}),
        ("atlas", {"log_prior": 1.0, "use_attention": False}),
        ("atlas", {"attention_channel": True}),
    ],
    indirect=["prior"],
)
def test_stage_1_trains_with_it_whatever_its_heads_make_of_it(
    heads: dict[str, Any], cohort: dict[str, PreparedPatient], learned: Learned, asking: Config
) -> None:
    nodes = asking.nodes.model_copy(
        update={"heads": asking.nodes.heads.model_copy(update=heads), "hard_gate": True}
    )
    config = asking.model_copy(update={"nodes": nodes})
    roles = Roles(train=("a", "b"), validation=("c", "d"))
    one, again = (
        fit_stage(STAGES[StageName.NODES], cohort, roles, learned, Start(config=config, seed=1), Forget())
        for _ in range(2)
    )
    assert one.train == FittedOn.of("ab")
    for name, tensor in one.weights.items():
        assert_array_equal(np.asarray(tensor), np.asarray(again.weights[name]))


def test_the_defaults_and_the_preset_of_the_paper_have_neither() -> None:
    for config in (Config(), load_config("paper")):
        assert config.attention.prior == "bands"
        assert not config.attention.suppress_other_organs
