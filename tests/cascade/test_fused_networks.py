"""A network of all nodes in the status network: trained, stored, asked, calibrated (decision 0060)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned as LearnedStatistics
from lymphct.cascade.models import Models, new_description
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.patient import predict_patient
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError, LeakageError, ModelError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.patient import Clinical, Node, PatientInput
from lymphct.core.terms import NodeClass, StageName
from lymphct.evaluation.folds import stratified_folds
from lymphct.io.models.bundles import read_bundle, verify_bundle, write_bundle
from lymphct.io.models.loading import load_models, tensor_names
from lymphct.learning.keeping import Forget
from lymphct.learning.training import EpochRecord, TrainingState
from lymphct.metastasis import node_score
from lymphct.metastasis.settings import Learned, NodeNetworkSettings, ScoreCalibrationSettings

MakePatient = Callable[..., PreparedPatient]
STATUS = STAGES[StageName.METASTASIS]
KINDS: tuple[Learned, ...] = ("node_set", "node_graph")
SALT = "the key of a bundle"
STATISTICS = LearnedStatistics(bands=PAPER_BANDS)


def patient(number: int) -> Evidence:
    """A patient, every second one N+ with a more probable node."""
    rng = np.random.default_rng(number)
    status = number % 2
    nodes = tuple(
        Node(
            label=label,
            volume=float(rng.uniform(100, 500)),
            center=(7.0 * label, 0.0, 0.0),
            node_class=NodeClass.POSITIVE,
            probability=float(rng.uniform(0.1, 0.6)) + 0.3 * status,
            tumor_distance=float(rng.uniform(2, 30)),
        )
        for label in (1, 2)
    )
    return Evidence(
        patient=f"p{number:02d}",
        patches=rng.normal(size=(2, 3, 32, 32)).astype(np.float32),
        tumor_volume=4000.0,
        nodes=nodes,
        features=np.zeros((2, 7)),
        clinical=Clinical(n_status=status),
        fitted_on=FittedOn.of(["teacher"]),
    )


def config_of(tiny: Config, kind: Learned, **changes: object) -> Config:
    nodes = NodeNetworkSettings(iterations=10, folds=2)
    update = {"fused": kind, "nodes": nodes, **changes}
    return tiny.model_copy(update={"metastasis": tiny.metastasis.model_copy(update=update)})


def roles_of(train: int, validation: int) -> Roles:
    names = [f"p{number:02d}" for number in range(train + validation)]
    return Roles(train=tuple(names[:train]), validation=tuple(names[train:]))


def trained(config: Config, roles: Roles, *, seed: int = 3, keep: Forget | None = None) -> Part:
    evidence = {item.patient: item for item in map(patient, range(40))}
    start = Start(config=config, evidence=evidence, seed=seed)
    return fit_stage(STATUS, {}, roles, STATISTICS, start, keep or Forget())


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Learned:
    return request.param  # type: ignore[no-any-return] # one of `KINDS`


@pytest.fixture(scope="module")
def part(kind: Learned, tiny: Config) -> Part:
    return trained(config_of(tiny, kind), roles_of(8, 4))


def written(folder: Path, part: Part, config: Config, weights: dict[str, torch.Tensor]) -> Path:
    info = new_description("test", STATISTICS, config, salt=SALT, is_phantom=False)
    info = info.model_copy(update={"parts": {part.stage: part.described(SALT)}})
    write_bundle(folder, info, {part.stage: weights}, "# test\n")
    return folder


def test_the_part_brings_the_network_of_nodes_and_says_who_taught_it(part: Part) -> None:
    names = {name for name in part.weights if name.startswith("node_score.")}
    assert {"node_score.mean", "node_score.sd"} < names
    assert float(part.weights["node_score.sd"].min()) > 0
    assert part.train == FittedOn.of(roles_of(8, 4).train)
    assert part.validation == FittedOn.of(roles_of(8, 4).validation)


def test_the_same_seed_gives_the_same_part(part: Part, kind: Learned, tiny: Config) -> None:
    again, other = (trained(config_of(tiny, kind), roles_of(8, 4), seed=seed) for seed in (3, 4))
    assert again.weights.keys() == part.weights.keys()
    assert all(torch.equal(again.weights[name], x) for name, x in part.weights.items())
    assert any(not torch.equal(other.weights[name], x) for name, x in part.weights.items())


def test_the_network_of_nodes_is_the_same_in_whatever_order_patients_come(
    part: Part, kind: Learned, tiny: Config
) -> None:
    roles = roles_of(8, 4)
    turned = trained(config_of(tiny, kind), Roles(train=roles.train[::-1], validation=roles.validation))
    for name, tensor in part.weights.items():
        if name.startswith("node_score."):
            assert torch.equal(turned.weights[name], tensor)


def test_a_training_that_goes_on_ends_as_if_it_had_never_stopped(
    part: Part, kind: Learned, tiny: Config
) -> None:
    states: list[TrainingState] = []

    class Kept(Forget):
        def add(self, record: EpochRecord, epochs: int) -> None:
            del epochs
            states.append(record.state)

    class First(Forget):
        def last(self) -> TrainingState:
            return states[0]

    trained(config_of(tiny, kind), roles_of(8, 4), keep=Kept())
    resumed = trained(config_of(tiny, kind), roles_of(8, 4), keep=First())
    assert all(torch.equal(resumed.weights[name], x) for name, x in part.weights.items())


def test_a_bundle_predicts_with_the_network_of_nodes_and_tells_its_number(  # noqa: PLR0917 - fixtures
    part: Part, kind: Learned, tiny: Config, answering: Models, make_patient: MakePatient, tmp_path: Path
) -> None:
    config = config_of(tiny, kind)
    folder = written(tmp_path / "bundle", part, config, dict(part.weights))
    bundle = read_bundle(folder)
    assert verify_bundle(folder, tensor_names(bundle))
    loaded = load_models(bundle, torch.device("cpu"))
    assert loaded.metastasis is not None
    assert loaded.metastasis.settings.fused == kind
    with pytest.raises(LeakageError):
        loaded.require_unseen("p00")
    models = replace(answering, metastasis=loaded.metastasis)
    who = make_patient(noise=3.0)
    asked = PatientInput(patient_id="p0", venous=who.ct.venous, arterial=who.ct.arterial)
    told = predict_patient(asked, models, config, registration="none")
    assert told.probability is not None
    assert told.drivers is not None
    assert told.drivers.score == pytest.approx(told.probability)
    assert told.drivers.by_nodes is not None
    assert 0 < told.drivers.by_nodes < 1
    assert len(told.drivers.nodes) == len([node for node in told.nodes.nodes if node.is_plausible])
    again = predict_patient(asked, models, config, registration="none")
    assert again.probability == told.probability


def test_a_bundle_without_the_network_of_nodes_is_refused(
    part: Part, kind: Learned, tiny: Config, tmp_path: Path
) -> None:
    without = {name: x for name, x in part.weights.items() if not name.startswith("node_score.")}
    folder = written(tmp_path / "bundle", part, config_of(tiny, kind), without)
    with pytest.raises(ModelError, match=r"metastasis does not fit its description.*node_score\.mean"):
        load_models(read_bundle(folder), torch.device("cpu"))
    plain = trained(tiny, roles_of(8, 4))
    folder = written(tmp_path / "other", plain, tiny, dict(part.weights))
    with pytest.raises(ModelError, match="does not fit its description"):
        load_models(read_bundle(folder), torch.device("cpu"))


def test_one_patient_of_a_class_cannot_be_left_out(tiny: Config) -> None:
    with pytest.raises(InputError, match=r"takes two N\+ and two N-; there are 1 N\+ and 1 N-"):
        trained(config_of(tiny, "node_set"), roles_of(2, 2))


def test_calibration_out_of_fold_teaches_the_network_of_nodes_without_whom_it_judges(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[frozenset[str]] = []
    fit = node_score.fit_network

    def watched(*given: object, **named: int) -> object:
        fitted = fit(*given, **named)  # type: ignore[arg-type] # handed on
        taught.append(fitted.patients)
        return fitted

    monkeypatch.setattr(node_score, "fit_network", watched)
    calibration = ScoreCalibrationSettings(patients="out_of_fold", folds=2)
    config = config_of(tiny, "node_set", calibration=calibration)
    part = trained(config, roles_of(16, 8))
    assert part.calibration is not None
    assert part.calibration.value["calibrated_on"] == "out_of_fold"
    everybody = frozenset(roles_of(16, 8).everybody)
    assert part.calibration.patients == everybody
    # Two inner folds and all, once for the network of the bundle and once in each fold of the calibration.
    assert len(taught) == 9
    assert taught[2] == frozenset(roles_of(16, 8).train)
    whole = [taught[5], taught[8]]
    assert all(inner < whole[n] for n in (0, 1) for inner in taught[3 + 3 * n : 5 + 3 * n])
    folds = stratified_folds({name: str(int(name[1:]) % 2) for name in everybody}, 2, 3)
    assert whole == [frozenset(fold.train) for fold in folds]  # neither those who choose nor those judged
    again = trained(config, roles_of(16, 8))
    assert again.calibration is not None
    assert again.calibration.value == part.calibration.value
