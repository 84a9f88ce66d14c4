"""Networks that see one phase alone: in training, validation, application and in a bundle."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from lymphct.anatomy.settings import StructureSettings, TumorSettings
from lymphct.cascade.alignment import normalized
from lymphct.cascade.cases import Material, segmentation_cases
from lymphct.cascade.examination import Given, find_structures, find_tumor, require_phases
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, assembled
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError
from lymphct.core.leakage import Roles
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phases, StageName
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.models.loading import models_in
from lymphct.learning.channels import network_channels
from lymphct.learning.keeping import Forget
from lymphct.learning.patches import PatchSampler

MakePatient = Callable[..., PreparedPatient]
STAGES_HERE = (StageName.STRUCTURES, StageName.TUMOR)
ROLES = Roles(train=("a", "b"), validation=("c",))
HIDDEN: dict[Phases, int] = {"venous": 0, "arterial": 1}
"""Number of the channel a network of these phases does not see."""
BOTH_STAGES = pytest.mark.parametrize("stage", STAGES_HERE)
EITHER_PHASE = pytest.mark.parametrize("phases", ["arterial", "venous"])


def seeing(config: Config, phases: Phases) -> Config:
    """The settings, with both networks of the anatomy seeing these phases."""
    groups = {name.value: getattr(config, name).model_copy(update={"phases": phases}) for name in STAGES_HERE}
    return config.model_copy(update=groups)


@pytest.fixture(scope="module")
def patients(make_patient: MakePatient) -> dict[str, PreparedPatient]:
    return {name: make_patient(name, noise=5.0) for name in "abc"}


@pytest.fixture(scope="module")
def trained(patients: dict[str, PreparedPatient], tiny: Config) -> Callable[[Phases], tuple[Models, Learned]]:
    """Both networks, trained for four iterations to see some phases."""

    @cache
    def train(phases: Phases) -> tuple[Models, Learned]:
        config = seeing(tiny, phases)
        learned = fit_learned(patients, ROLES.train, config)
        parts: dict[StageName, Part] = {
            name: fit_stage(STAGES[name], patients, ROLES, learned, Start(config=config, seed=1), Forget())
            for name in STAGES_HERE
        }
        return assembled(parts, learned, config, torch.device("cpu")), learned

    return train


@BOTH_STAGES
@EITHER_PHASE
def test_a_training_case_is_zero_where_the_network_does_not_look(
    stage: StageName, phases: Phases, patients: dict[str, PreparedPatient], tiny: Config
) -> None:
    learned = fit_learned(patients, ROLES.train, tiny)
    whole, shown = (
        segmentation_cases(Material(patients=patients, learned=learned, config=config), ["a"], stage)[0]
        for config in (tiny, seeing(tiny, phases))
    )
    hidden = HIDDEN[phases]
    assert_array_equal(shown.normalized_image()[hidden], 0.0)
    assert_array_equal(np.asarray(shown.image)[hidden], 0)  # it is not even read
    assert_array_equal(shown.normalized_image()[1 - hidden], whole.normalized_image()[1 - hidden])
    assert shown.is_acquired == tuple(number != hidden for number in range(2))
    group = getattr(tiny, stage)
    batch = PatchSampler([shown], group.sampling, group.augmentation, seed=3).batch(0)
    assert not batch.image[:, hidden].any()
    assert batch.image[:, 1 - hidden].any()


@BOTH_STAGES
def test_a_network_of_the_arterial_phase_learns_from_those_who_have_it(
    stage: StageName, make_patient: MakePatient, tiny: Config
) -> None:
    patients = {"a": make_patient("a"), "v": make_patient("v", without=("arterial",))}
    learned = fit_learned(patients, ["a", "v"], tiny)
    found: dict[Phases, list[str]] = {}
    each: tuple[Phases, ...] = ("arterial", "venous", "both")
    for phases in each:
        material = Material(patients=patients, learned=learned, config=seeing(tiny, phases))
        found[phases] = [case.patient for case in segmentation_cases(material, ["a", "v"], stage)]
    assert found == {"arterial": ["a"], "venous": ["a", "v"], "both": ["a", "v"]}


@EITHER_PHASE
def test_what_is_found_does_not_depend_on_the_phase_that_is_not_seen(
    phases: Phases,
    patients: dict[str, PreparedPatient],
    trained: Callable[[Phases], tuple[Models, Learned]],
) -> None:
    models, _ = trained(phases)
    ct = patients["c"].ct
    assert ct.arterial is not None
    shuffled = (
        np.random.default_rng(0).permutation(ct.venous.array.reshape(-1)).reshape(ct.venous.array.shape)
    )
    other = {
        "venous": Multiphase(venous=ct.venous, arterial=ct.venous.with_array(shuffled)),
        # Windows are laid over the body of the venous phase, so that its air stays where it is.
        "arterial": Multiphase(venous=ct.venous.with_array(ct.venous.array + 40), arterial=ct.arterial),
    }[phases]
    structures = [find_structures(seen, Given(), models).array for seen in (ct, other)]
    tumors = [find_tumor(seen, None, Given(), models).array for seen in (ct, other)]
    assert_array_equal(structures[0], structures[1])
    assert_array_equal(tumors[0], tumors[1])
    # With both phases the same change does change what a network is given.
    view = [models.view(one, StageName.STRUCTURES) for one in (ct, other)]
    assert any((a.array != b.array).any() for a, b in zip(*map(network_channels, view), strict=True))


def test_training_and_validation_see_what_prediction_sees(
    patients: dict[str, PreparedPatient], trained: Callable[[Phases], tuple[Models, Learned]], tiny: Config
) -> None:
    models, learned = trained("venous")
    material = Material(patients=patients, learned=learned, config=seeing(tiny, "venous"))
    (case,) = segmentation_cases(material, ["c"], StageName.STRUCTURES)
    seen = normalized(patients["c"].ct, models.intensity(StageName.STRUCTURES))
    channels = network_channels(seen, "venous")
    assert_array_equal(case.normalized_image(), np.stack([c.array.transpose(2, 1, 0) for c in channels]))


def test_the_phases_of_a_network_are_part_of_its_bundle(
    trained: Callable[[Phases], tuple[Models, Learned]], tmp_path: Path
) -> None:
    models, _ = trained("venous")
    weights = {name.value: getattr(models, name).network.state_dict() for name in STAGES_HERE}
    write_bundle(tmp_path / "bundle", models.info, weights, "card")
    info = read_bundle(tmp_path / "bundle").info
    assert {part.architecture["phases"] for part in info.parts.values()} == {"venous"}
    loaded = models_in(tmp_path / "bundle", "cpu")
    assert loaded.structures is not None
    assert loaded.tumor is not None
    assert loaded.structures.settings.phases == loaded.tumor.settings.phases == "venous"


def test_an_older_part_that_does_not_say_sees_both_phases() -> None:
    for settings in (StructureSettings, TumorSettings):
        older = {name: value for name, value in settings().model_dump().items() if name != "phases"}
        assert settings.model_validate(older) == settings()
        assert settings().phases == "both"


def test_networks_of_the_venous_phase_do_without_the_arterial_one(
    make_patient: MakePatient, trained: Callable[[Phases], tuple[Models, Learned]]
) -> None:
    patient = make_patient("v", without=("arterial",))
    venous, _ = trained("venous")
    require_phases("v", patient.ct.arterial, venous)
    assert find_structures(patient.ct, Given(), venous).geometry == patient.ct.venous.geometry
    both, _ = trained("both")
    with pytest.raises(InputError, match="was trained with both phases"):
        require_phases("v", patient.ct.arterial, both)


def test_emptying_the_only_phase_is_refused() -> None:
    with pytest.raises(ValidationError, match="with phases arterial nothing is left"):
        StructureSettings.model_validate({"phases": "arterial", "sampling": {"phase_dropout": 0.2}})
