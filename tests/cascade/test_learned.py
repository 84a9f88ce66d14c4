"""Statistics and bands are measured on training patients, and a bundle gives them back."""

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.fitting import fit_bands
from lymphct.attention.mapping import guided_by
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.description import BundleInfo, PartInfo
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import new_description
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import CascadeSettings, Config
from lymphct.cascade.sight import Sight
from lymphct.core.errors import InputError
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase, StageName, Structure
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, IntensityStatistics, fit_intensity

MakePatient = Callable[..., PreparedPatient]
MEASURED = Config(cascade=CascadeSettings(fit_intensity=True, fit_bands=True))
FIXED = Config(cascade=CascadeSettings(fit_intensity=False, fit_bands=False))
FITTED = Config(cascade=CascadeSettings(fit_intensity=True))
SALT = "the key of a bundle"
STAGES = tuple(StageName)
ONE_SET = IntensityStatistics(-50.0, 300.0, 20.0, 40.0)


class Watched(Mapping[str, PreparedPatient]):
    """Patients that are made when they are asked for; who was, and how many were alive at once."""

    def __init__(self, make: Callable[[str], PreparedPatient], names: str) -> None:
        self.make, self.names = make, names
        self.asked: list[str] = []
        self.alive: list[weakref.ref[Any]] = []
        self.most = 0

    def __getitem__(self, name: str) -> PreparedPatient:
        self.asked.append(name)
        patient = self.make(name)
        self.alive.append(weakref.ref(patient.ct.venous.array))
        self.most = max(self.most, sum(ref() is not None for ref in self.alive))
        return patient

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


@pytest.fixture
def patients(make_patient: MakePatient) -> Watched:
    return Watched(lambda name: make_patient(name, noise=9.0), "abcde")


GIVEN = AttentionSettings.model_validate(
    {"bands": {"stomach": {"d_min": -2, "d_max": 15}, "spleen": {"d_min": 0, "d_max": 10}}}
)
OWN = {Structure.STOMACH: Band(-2.0, 15.0), Structure.SPLEEN: Band(0.0, 10.0)}


def test_given_bands_are_taken_as_they_are_and_belong_to_nobody(patients: Watched) -> None:
    learned = fit_learned(patients, ["d", "b"], FIXED.model_copy(update={"attention": GIVEN}))
    assert learned.bands == learned.prior == OWN
    assert patients.asked == []
    assert learned.fitted_on == {}


@pytest.mark.parametrize("has_stage_1", [False, True])
def test_given_bands_stand_beside_a_bundle_unless_it_has_a_stage_1_of_others(
    *, has_stage_1: bool, caplog: pytest.LogCaptureFixture
) -> None:
    other = {Structure.SPLEEN: Band(1.0, 2.0)}
    fitted = Learned(bands=other, fitted_on={"bands": FittedOn.of(["a"])})
    info = new_description("other", fitted, FIXED, salt=SALT, is_phantom=True)
    if has_stage_1:
        part = PartInfo(sha256="0" * 64, architecture={}, patients={})
        info = info.model_copy(update={"parts": {StageName.NODES: part}})
    with caplog.at_level("WARNING"):
        beside = Learned(bands=OWN).beside(info)
    assert beside.bands == (other if has_stage_1 else OWN)
    assert ("bands" in beside.fitted_on) is has_stage_1
    assert ("bands of the bundle" in caplog.text) is has_stage_1


@pytest.mark.parametrize("config", [MEASURED, FIXED])
def test_nobody_but_the_training_patients_is_looked_at(patients: Watched, config: Config) -> None:
    learned = fit_learned(patients, ["d", "b"], config)
    assert set(patients.asked) <= {"b", "d"}
    group = FittedOn.of(["b", "d"]) if config is MEASURED else FittedOn()
    assert [sight.fitted_on for sight in learned.sights.values()] == [group] * 3
    assert learned.fitted_on == ({"bands": group} if config is MEASURED else {})


def test_each_network_and_phase_is_measured_within_what_the_network_learns_to_find(patients: Watched) -> None:
    learned = fit_learned(patients, ["b", "d"], MEASURED)
    drawn = [patients["b"], patients["d"]]
    for stage, name in ((StageName.STRUCTURES, "structures"), (StageName.TUMOR, "tumor")):
        sight = learned.sight(stage)
        assert sight.foreground == name
        for phase in Phase:
            pairs = [(getattr(patient.ct, phase.value), getattr(patient, name)) for patient in drawn]
            assert sight.phases[phase] == fit_intensity(pairs, ["b", "d"]).value
    nodes = learned.sight(StageName.NODES)
    instances = [(patient.ct.arterial, patient.instances) for patient in drawn]
    expected = fit_intensity([(ct, mask) for ct, mask in instances if ct and mask], ["b", "d"]).value
    assert (nodes.foreground, nodes.phases[Phase.ARTERIAL]) == ("nodes", expected)
    assert len({sight.phases[Phase.VENOUS] for sight in learned.sights.values()}) == 3
    other = fit_learned(patients, ["b", "c"], MEASURED)
    assert nodes.phases != other.sight(StageName.NODES).phases


def test_a_network_sees_as_the_one_it_starts_from_or_looks_at(patients: Watched) -> None:
    learned = fit_learned(patients, ["b", "d"], MEASURED)
    assert learned.sight(StageName.IDENTIFICATION) is learned.sight(StageName.NODES)
    assert learned.sight(StageName.METASTASIS) is learned.sight(StageName.TUMOR)


def test_gas_in_the_mask_of_a_node_is_no_lymph_node(make_patient: MakePatient) -> None:
    patient = make_patient(noise=9.0)
    assert patient.instances is not None
    clean = fit_learned({"p0": patient}, ["p0"], MEASURED).sight(StageName.NODES)
    array = patient.ct.venous.array.copy()
    array[np.argwhere(patient.instances.array > 0)[0][0], :, :] = -900
    gas = replace(patient.ct, venous=patient.ct.venous.with_array(array))
    seen = fit_learned({"p0": replace(patient, ct=gas)}, ["p0"], MEASURED).sight(StageName.NODES)
    assert seen.phases[Phase.VENOUS].low > -60
    assert seen.phases[Phase.VENOUS] != clean.phases[Phase.VENOUS]
    pairs = [(gas.venous, patient.instances)]
    assert seen.phases[Phase.VENOUS] == fit_intensity(pairs, ["p0"], least=-200.0).value
    assert fit_intensity(pairs, ["p0"]).value.low == -900


def test_voxels_of_which_nobody_said_what_they_are_are_no_foreground(make_patient: MakePatient) -> None:
    patient = make_patient(noise=9.0)
    assert patient.structures is not None
    open_ended = patient.structures.array.copy()
    open_ended[:, :, 12:][open_ended[:, :, 12:] == 0] = 255
    partly = replace(patient, structures=patient.structures.with_array(open_ended))
    one, other = (fit_learned({"p0": p}, ["p0"], FITTED) for p in (patient, partly))
    assert one.sights == other.sights


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ((), ("structures", "tumor", "nodes")),
        (("nodes",), ("structures", "tumor", "structures")),
        (("structures",), ("tumor", "tumor", "nodes")),
        (("tumor",), ("structures", "structures", "nodes")),
        (("structures", "nodes"), ("tumor", "tumor", "tumor")),
        (("structures", "tumor"), ("nodes", "nodes", "nodes")),
        (("structures", "tumor", "nodes"), ("fixed", "fixed", "fixed")),
    ],
)
def test_what_nobody_has_drawn_is_replaced_in_the_stated_order(
    without: tuple[str, ...], expected: tuple[str, ...], make_patient: MakePatient
) -> None:
    patient = make_patient(noise=9.0, without=without)
    learned = fit_learned({"p0": patient}, ["p0"], FITTED)
    stages = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES)
    assert tuple(learned.sight(stage).foreground for stage in stages) == expected
    if expected[0] == "tumor":
        assert patient.tumor is not None
        pairs = [(patient.ct.venous, patient.tumor)]
        assert learned.sight(stages[0]).phases[Phase.VENOUS] == fit_intensity(pairs, ["p0"]).value
    if expected[0] == "fixed":
        assert learned.sight(stages[0]).phases == dict.fromkeys(Phase, DEFAULT_INTENSITY)


def test_a_phase_that_nobody_has_leaves_the_fixed_values(make_patient: MakePatient) -> None:
    alone = make_patient(without=("arterial",), noise=9.0)
    learned = fit_learned({"p0": alone}, ["p0"], MEASURED)
    for sight in learned.sights.values():
        assert sight.phases[Phase.ARTERIAL] == DEFAULT_INTENSITY
        assert sight.phases[Phase.VENOUS] != DEFAULT_INTENSITY


def test_a_foreground_without_voxels_or_of_one_value_is_passed_over_and_said(
    make_patient: MakePatient, caplog: pytest.LogCaptureFixture
) -> None:
    patient = make_patient(noise=9.0)
    assert patient.structures is not None
    assert patient.tumor is not None
    empty = patient.structures.with_array(np.zeros_like(patient.structures.array))
    single = np.zeros_like(patient.tumor.array)
    single[18, 10, 6] = 1
    one = patient.tumor.with_array(single)
    learned = fit_learned({"p0": replace(patient, structures=empty, tumor=one)}, ["p0"], FITTED)
    assert learned.sight(StageName.STRUCTURES).foreground == "nodes"
    assert learned.sight(StageName.TUMOR).foreground == "nodes"
    assert "structures: intensities cannot be measured on structures: no foreground voxel" in caplog.text
    assert "tumor: intensities cannot be measured on tumor: intensity statistics need" in caplog.text


def test_masks_without_a_voxel_are_refused(make_patient: MakePatient) -> None:
    patient = make_patient(without=("tumor", "nodes"))
    assert patient.structures is not None
    empty = patient.structures.with_array(np.zeros_like(patient.structures.array))
    with pytest.raises(InputError, match=r"no foreground voxel in any training patient.*\[E_INTENSITY\]"):
        fit_learned({"p0": replace(patient, structures=empty)}, ["p0"], MEASURED)


def test_fixed_values_and_tab_ii_are_taken_when_the_settings_say_so(patients: Watched) -> None:
    learned = fit_learned(patients, ["a", "b"], FIXED)
    for stage in StageName:
        assert learned.sight(stage).phases == dict.fromkeys(Phase, DEFAULT_INTENSITY)
    assert learned.bands == PAPER_BANDS


def test_bands_are_those_of_the_drawn_nodes_around_structures_and_tumor(make_patient: MakePatient) -> None:
    cohort = {
        "a": make_patient("a"),
        "b": make_patient("b", without=("nodes",)),
        "c": make_patient("c", without=("structures",)),
    }
    config = MEASURED.model_copy(
        update={"attention": MEASURED.attention.model_copy(update={"band_percentile": 10.0})}
    )
    learned = fit_learned(cohort, ["a", "b", "c"], config)
    structures, nodes = cohort["a"].structures, cohort["a"].instances
    assert structures is not None
    assert nodes is not None
    drawn = [(guided_by(structures, cohort["a"].tumor), nodes)]
    assert learned.bands == fit_bands(drawn, ["a"], percentile=10.0).value
    pancreas = learned.bands[Structure.PANCREAS]
    assert pancreas != PAPER_BANDS[Structure.PANCREAS]
    assert pancreas != fit_bands(drawn, ["a"]).value[Structure.PANCREAS]
    # Only beside the tumor, which counts as pancreas, lies a node above the pancreas.
    alone = fit_learned({"a": replace(cohort["a"], tumor=None)}, ["a"], config).bands[Structure.PANCREAS]
    assert alone != pancreas


def test_one_patient_is_in_memory_at_a_time(patients: Watched) -> None:
    fit_learned(patients, "abcde", MEASURED)
    assert len(patients.asked) >= 5
    assert patients.most <= 2  # the one before, until the loop lets go of it


def part_of(learned: Learned, stage: StageName) -> PartInfo:
    """Return a part of a bundle as far as it says how it sees."""
    sight = learned.sight(stage).described(SALT)
    return PartInfo(architecture={}, patients={"train": (), "validation": ()}, intensity=sight)


def test_a_bundle_gives_back_what_its_networks_learned_with(patients: Watched, tiny: Config) -> None:
    learned = fit_learned(patients, ["a", "b"], MEASURED)
    info = new_description("test", learned, tiny, salt=SALT, is_phantom=False)
    assert info.intensity == {}
    info = info.model_copy(update={"parts": {stage: part_of(learned, stage) for stage in STAGES[:4]}})
    back = Learned.of_bundle(info)
    for stage in STAGES:  # the status network, which is not in it yet, will see as the tumor network does
        seen, told = back.sight(stage), learned.sight(stage)
        assert (seen.phases, seen.foreground, seen.fills) == (told.phases, told.foreground, told.fills)
        assert [name in seen.fitted_on for name in "abc"] == [True, True, False]
    assert dict(back.bands) == dict(learned.bands)
    assert [name in info.fitted_on_anybody for name in "abc"] == [True, True, False]
    assert set(info.parts_that_saw("a")) == {*STAGES[:4], "bands"}


def test_a_bundle_of_one_set_of_statistics_has_it_for_every_network(tiny: Config) -> None:
    learned = Learned(
        intensity=dict.fromkeys(Phase, ONE_SET), bands=PAPER_BANDS, fitted_on={"intensity": FittedOn.of("a")}
    )
    info = new_description("old", learned, tiny, salt=SALT, is_phantom=False)
    old = PartInfo(architecture={}, patients={"train": (), "validation": ()})
    info = info.model_copy(update={"parts": {StageName.NODES: old}})
    back = Learned.of_bundle(BundleInfo.model_validate(info.model_dump(mode="json")))
    for stage in StageName:
        assert back.sight(stage).phases == dict.fromkeys(Phase, ONE_SET)
        assert back.sight(stage).foreground == "any"
        assert "a" in back.sight(stage).fitted_on


def test_a_part_that_is_taken_over_keeps_its_way_to_see_beside_new_ones(
    patients: Watched, tiny: Config
) -> None:
    learned = fit_learned(patients, ["a", "b"], MEASURED)
    common = replace(learned, sights={}, intensity=dict.fromkeys(Phase, ONE_SET))
    info = new_description("mixed", common, tiny, salt=SALT, is_phantom=False)
    old = PartInfo(architecture={}, patients={"train": (), "validation": ()})
    info = info.model_copy(
        update={"parts": {StageName.IDENTIFICATION: old, StageName.NODES: part_of(learned, StageName.NODES)}}
    )
    back = Learned.of_bundle(info)
    assert back.sight(StageName.IDENTIFICATION).phases == dict.fromkeys(Phase, ONE_SET)
    assert back.sight(StageName.NODES).phases == learned.sight(StageName.NODES).phases
    # A stage that is trained into this bundle sees as the part does whose weights it starts from.
    other = fit_learned(patients, ["c", "d"], MEASURED).with_parts(info)
    assert other.sight(StageName.IDENTIFICATION).phases == learned.sight(StageName.NODES).phases
    assert other.sight(StageName.TUMOR).phases != learned.sight(StageName.TUMOR).phases


def test_a_bundle_without_bands_means_those_of_tab_ii(tiny: Config) -> None:
    learned = Learned(intensity={}, bands={Structure.AORTA: Band(0.0, 1.0)})
    info = new_description("test", learned, tiny, salt=SALT, is_phantom=False)
    back = Learned.of_bundle(info.model_copy(update={"bands": {}}))
    assert back.bands == PAPER_BANDS
    assert back.sight(StageName.NODES).phases == dict.fromkeys(Phase, DEFAULT_INTENSITY)
    assert all("a" not in group for group in back.fitted_on.values())


def test_outside_the_image_lies_the_lower_clip_value_of_each_phase() -> None:
    alone = Sight(phases={Phase.ARTERIAL: IntensityStatistics(0.0, 1.0, 0.5, 0.2)})
    assert alone.fills == (-2.5, DEFAULT_INTENSITY.fill)


def test_a_sight_that_no_foreground_has_is_refused_before_anything_is_trained(
    patients: Watched, tiny: Config
) -> None:
    flat = Sight(phases={Phase.VENOUS: IntensityStatistics(40.0, 41.0, 40.01, 0.01)})
    learned = replace(fit_learned(patients, ["a"], MEASURED), sights={StageName.TUMOR: flat})
    with pytest.raises(InputError, match="what was learned makes no bundle: sd"):
        new_description("test", learned, tiny, salt=SALT, is_phantom=False)


def test_structures_and_ct_of_different_grids_are_refused(make_patient: MakePatient) -> None:
    patient = make_patient()
    moved = replace(patient.ct.venous.geometry, origin=(0.0, 0.0, 0.0))
    ct = Multiphase(venous=replace(patient.ct.venous, geometry=moved))
    with pytest.raises(InputError, match="the foreground mask lies on another voxel grid than the CT"):
        fit_learned({"p0": replace(patient, ct=ct)}, ["p0"], MEASURED)
