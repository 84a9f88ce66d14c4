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
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import new_description
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import CascadeSettings, Config
from lymphct.core.errors import InputError
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase, Structure
from lymphct.imaging.preprocess import DEFAULT_INTENSITY, IntensityStatistics, fit_intensity

MakePatient = Callable[..., PreparedPatient]
MEASURED = Config(cascade=CascadeSettings(fit_intensity=True, fit_bands=True))
FIXED = Config(cascade=CascadeSettings(fit_intensity=False, fit_bands=False))
SALT = "the key of a bundle"


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


@pytest.mark.parametrize("config", [MEASURED, FIXED])
def test_nobody_but_the_training_patients_is_looked_at(patients: Watched, config: Config) -> None:
    learned = fit_learned(patients, ["d", "b"], config)
    assert set(patients.asked) <= {"b", "d"}
    group = FittedOn.of(["b", "d"])
    assert learned.fitted_on == ({"intensity": group, "bands": group} if config is MEASURED else {})


def test_each_phase_is_measured_within_what_was_drawn_of_the_training_patients(patients: Watched) -> None:
    learned = fit_learned(patients, ["b", "d"], MEASURED)
    drawn = [patients["b"], patients["d"]]
    for phase in Phase:
        pairs = [
            (getattr(patient.ct, phase.value), patient.structures)
            for patient in drawn
            if patient.structures is not None
        ]
        assert learned.intensity[phase] == fit_intensity(pairs, ["b", "d"]).value
    venous = learned.intensity[Phase.VENOUS]
    assert venous != learned.intensity[Phase.ARTERIAL]
    assert venous != fit_learned(patients, ["b", "c"], MEASURED).intensity[Phase.VENOUS]
    assert learned.fill == (venous.low - venous.mean) / venous.sd


def test_where_structures_are_missing_the_tumor_is_measured(make_patient: MakePatient) -> None:
    patient = make_patient(noise=9.0, without=("structures",))
    assert patient.tumor is not None
    learned = fit_learned({"p0": patient}, ["p0"], MEASURED)
    assert (
        learned.intensity[Phase.VENOUS] == fit_intensity([(patient.ct.venous, patient.tumor)], ["p0"]).value
    )


def test_a_phase_that_nobody_has_and_patients_nobody_drew_in_leave_the_fixed_values(
    make_patient: MakePatient,
) -> None:
    venous_only = fit_learned({"p0": make_patient(without=("arterial",))}, ["p0"], MEASURED)
    assert venous_only.intensity[Phase.ARTERIAL] == DEFAULT_INTENSITY
    assert venous_only.intensity[Phase.VENOUS] != DEFAULT_INTENSITY
    undrawn = make_patient(without=("structures", "tumor", "nodes"))
    assert fit_learned({"p0": undrawn}, ["p0"], MEASURED).intensity == dict.fromkeys(Phase, DEFAULT_INTENSITY)


def test_masks_without_a_voxel_are_refused(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.structures is not None
    empty = patient.structures.with_array(np.zeros_like(patient.structures.array))
    with pytest.raises(InputError, match=r"no foreground voxel in any training patient.*\[E_INTENSITY\]"):
        fit_learned({"p0": replace(patient, structures=empty)}, ["p0"], MEASURED)


def test_fixed_values_and_tab_ii_are_taken_when_the_settings_say_so(patients: Watched) -> None:
    learned = fit_learned(patients, ["a", "b"], FIXED)
    assert learned.intensity == dict.fromkeys(Phase, DEFAULT_INTENSITY)
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


def test_a_bundle_gives_back_what_its_networks_learned_with(patients: Watched, tiny: Config) -> None:
    learned = fit_learned(patients, ["a", "b"], MEASURED)
    info = new_description("test", learned, tiny, salt=SALT, is_phantom=False)
    back = Learned.of_bundle(info)
    assert back.intensity == learned.intensity
    assert dict(back.bands) == dict(learned.bands)
    behind = back.fitted_on["intensity"]
    assert [name in behind for name in "abc"] == [True, True, False]
    assert back.fill == learned.fill


def test_a_bundle_without_bands_means_those_of_tab_ii(tiny: Config) -> None:
    learned = Learned(intensity={}, bands={Structure.AORTA: Band(0.0, 1.0)})
    info = new_description("test", learned, tiny, salt=SALT, is_phantom=False)
    back = Learned.of_bundle(info.model_copy(update={"bands": {}}))
    assert back.bands == PAPER_BANDS
    assert back.intensity == {}
    assert all("a" not in group for group in back.fitted_on.values())


def test_without_a_venous_statistic_the_fill_is_the_fixed_one() -> None:
    alone = Learned(intensity={Phase.ARTERIAL: IntensityStatistics(0.0, 1.0, 0.5, 0.2)}, bands=PAPER_BANDS)
    assert alone.fill == DEFAULT_INTENSITY.fill == -2.0


def test_structures_and_ct_of_different_grids_are_refused(make_patient: MakePatient) -> None:
    patient = make_patient()
    moved = replace(patient.ct.venous.geometry, origin=(0.0, 0.0, 0.0))
    ct = Multiphase(venous=replace(patient.ct.venous, geometry=moved))
    with pytest.raises(InputError, match="the foreground mask lies on another voxel grid than the CT"):
        fit_learned({"p0": replace(patient, ct=ct)}, ["p0"], MEASURED)
