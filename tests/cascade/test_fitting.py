"""Stages are trained on patients given by id, in memory; what comes out knows on whom it was fitted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from numpy.testing import assert_array_equal

from lymphct.cascade.evidence import EvidenceSettings, examined
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.fitting import fit_cascade, fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.models import Models, assembled, build_models, new_description
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.score import predict_score
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import CASCADE, STAGES
from lymphct.cascade.thresholds import Choice, Lesson
from lymphct.core.errors import InputError, LeakageError, UsageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle, write_bundle
from lymphct.io.models.loading import load_models
from lymphct.learning.keeping import Forget
from lymphct.learning.training import EpochRecord, TrainingState

MakePatient = Callable[..., PreparedPatient]
CPU = torch.device("cpu")
ROLES = Roles(train=("a", "b"), validation=("c", "d"))
FUSION = Roles(train=("e", "f"), validation=("g",))


@dataclass
class Kept:
    """A `Keep` in memory: gives a state back, remembers what it is given."""

    state: TrainingState | None = None
    added: list[tuple[EpochRecord, int]] = field(default_factory=list)

    def last(self) -> TrainingState | None:
        return self.state

    def add(self, record: EpochRecord, epochs: int) -> None:
        self.added.append((record, epochs))

    def told(self, done: int, total: int) -> None:
        pass


@pytest.fixture(scope="module")
def patients(make_patient: MakePatient) -> dict[str, PreparedPatient]:
    return {name: make_patient(name, noise=5.0, n_status=n % 2) for n, name in enumerate("abcdefgh")}


@pytest.fixture(scope="module")
def settings(tiny: Config) -> Config:
    """Settings with which networks of four iterations find something."""
    return tiny.model_copy(
        update={
            "tumor": tiny.tumor.model_copy(update={"threshold": 0.0}),
            "structures": tiny.structures.model_copy(update={"component_share": 0.0}),
        }
    )


@pytest.fixture(scope="module")
def learned(patients: dict[str, PreparedPatient], settings: Config) -> Learned:
    return fit_learned(patients, ROLES.train, settings)


@pytest.fixture(scope="module")
def cascade(
    patients: dict[str, PreparedPatient], settings: Config, learned: Learned
) -> dict[StageName, Part]:
    """The four parts that examine a patient."""
    parts: dict[StageName, Part] = {}
    for name in CASCADE:
        start = Start(config=settings, parts=dict(parts), seed=2)
        parts[name] = fit_stage(STAGES[name], patients, ROLES, learned, start, Forget())
    return parts


@pytest.fixture(scope="module")
def evidence(
    patients: dict[str, PreparedPatient], cascade: dict[StageName, Part], learned: Learned, settings: Config
) -> dict[str, Evidence]:
    models = assembled(cascade, learned, settings, CPU)
    how = EvidenceSettings.of(settings)
    return {name: examined(patients[name], models, how) for name in FUSION.everybody}


@pytest.fixture(scope="module")
def parts(
    patients: dict[str, PreparedPatient],
    cascade: dict[StageName, Part],
    evidence: dict[str, Evidence],
    learned: Learned,
    settings: Config,
) -> dict[StageName, Part]:
    """All five."""
    row = STAGES[StageName.METASTASIS]
    start = Start(config=settings, evidence=evidence, seed=2)
    return cascade | {row.name: fit_stage(row, patients, FUSION, learned, start, Forget())}


def same_weights(one: Part, other: Part) -> bool:
    return one.weights.keys() == other.weights.keys() and all(
        torch.equal(one.weights[name], other.weights[name]) for name in one.weights
    )


def test_a_part_knows_its_stage_and_on_whom_it_was_fitted(parts: dict[StageName, Part]) -> None:
    for name, part in parts.items():
        roles = FUSION if name is StageName.METASTASIS else ROLES
        assert part.stage is name
        assert part.train == FittedOn.of(roles.train)
        assert part.validation == FittedOn.of(roles.validation)


def test_the_operating_points_that_were_chosen_are_in_the_settings_of_the_part(
    parts: dict[StageName, Part], settings: Config
) -> None:
    nodes = parts[StageName.NODES]
    chosen = nodes.settings.model_dump()
    assert nodes.thresholds == {
        "node_voxel": chosen["threshold"], "node_min_volume_mm3": chosen["min_volume"]
    }  # fmt: skip
    assert set(nodes.scores) == {"patch_dice", "recall", "precision", "f"}
    assert parts[StageName.IDENTIFICATION].thresholds.keys() == {"node_positive"}
    assert parts[StageName.METASTASIS].thresholds == {"patient": 0.5}  # one validation patient: no choice
    assert parts[StageName.TUMOR].settings == settings.tumor


def test_a_part_tells_the_course_of_its_training(parts: dict[StageName, Part]) -> None:
    assert set(parts[StageName.TUMOR].scores) == {"patch_dice", "dice"}  # whole patients, in the end
    course = parts[StageName.NODES].course
    assert 0 <= course["rejected_share"] < 1
    assert course["skipped"] == 0
    assert parts[StageName.NODES].described("of the tests").extra == course
    assert parts[StageName.METASTASIS].course == {"skipped": 0}


def test_nobody_without_a_role_is_looked_at(
    patients: dict[str, PreparedPatient], learned: Learned, settings: Config
) -> None:
    asked: set[str] = set()

    class Watched(Mapping[str, PreparedPatient]):
        def __getitem__(self, name: str) -> PreparedPatient:
            asked.add(name)
            return patients[name]

        def __iter__(self) -> Iterator[str]:
            return iter(patients)

        def __len__(self) -> int:
            return len(patients)

    start = Start(config=settings, seed=2)
    fit_stage(STAGES[StageName.NODES], Watched(), ROLES, learned, start, Forget())
    assert asked == {"a", "b", "c", "d"}


def test_the_same_start_gives_the_same_part_and_another_seed_another(
    patients: dict[str, PreparedPatient], cascade: dict[StageName, Part], learned: Learned, settings: Config
) -> None:
    again, other = (
        fit_stage(
            STAGES[StageName.TUMOR], patients, ROLES, learned, Start(config=settings, seed=seed), Forget()
        )
        for seed in (2, 3)
    )
    assert same_weights(again, cascade[StageName.TUMOR])
    assert not same_weights(other, cascade[StageName.TUMOR])


@pytest.mark.parametrize("stage", [StageName.TUMOR, StageName.IDENTIFICATION])
def test_a_training_that_goes_on_in_memory_ends_as_if_it_had_never_stopped(
    stage: StageName,
    patients: dict[str, PreparedPatient],
    cascade: dict[StageName, Part],
    learned: Learned,
    settings: Config,
) -> None:
    start = Start(config=settings, parts={StageName.NODES: cascade[StageName.NODES]}, seed=2)
    whole = Kept()
    part = fit_stage(STAGES[stage], patients, ROLES, learned, start, whole)
    assert [(record.epoch, epochs) for record, epochs in whole.added] == [(1, 2), (2, 2)]
    rest = Kept(state=whole.added[0][0].state)
    begun: list[object] = []
    row = replace(STAGES[stage], begin=lambda *what: begun.append(what))
    resumed = fit_stage(row, patients, ROLES, learned, start, rest)
    assert [record.epoch for record, _ in rest.added] == [2]
    assert same_weights(resumed, part)
    assert (resumed.settings, resumed.scores, resumed.thresholds) == (
        part.settings, part.scores, part.thresholds
    )  # fmt: skip
    assert not begun  # what it starts from is in the state already
    done = fit_stage(STAGES[stage], patients, ROLES, learned, start, Kept(state=whole.added[1][0].state))
    assert same_weights(done, part)


def test_a_stage_that_needs_another_says_which_and_how_to_get_it(
    patients: dict[str, PreparedPatient],
    cascade: dict[StageName, Part],
    evidence: dict[str, Evidence],
    learned: Learned,
    settings: Config,
) -> None:
    start = Start(config=settings)
    with pytest.raises(UsageError, match="stage identification needs nodes first") as caught:
        fit_stage(STAGES[StageName.IDENTIFICATION], patients, ROLES, learned, start, Forget())
    assert (caught.value.code, caught.value.cure) == ("E_STAGE", "train nodes before")
    with_evidence = replace(start, evidence=evidence)  # which no stage but the last learns from
    with pytest.raises(UsageError, match="stage identification needs nodes first"):
        fit_stage(STAGES[StageName.IDENTIFICATION], patients, ROLES, learned, with_evidence, Forget())
    some = replace(start, parts={name: cascade[name] for name in CASCADE[:2]})
    with pytest.raises(UsageError, match="stage metastasis needs nodes, identification first"):
        fit_stage(STAGES[StageName.METASTASIS], patients, FUSION, learned, some, Forget())


@pytest.mark.parametrize(
    "case",
    [
        (StageName.STRUCTURES, "structures", "a structures mask, which stage structures learns from"),
        (StageName.TUMOR, "tumor", "a tumor mask, which stage tumor learns from"),
        (StageName.NODES, "structures", "a nodes mask and structures, which stage nodes learns from"),
        (StageName.IDENTIFICATION, "nodes", "nodes with a class, which stage identification learns from"),
    ],
)
def test_a_stage_without_a_teacher_is_refused(
    case: tuple[StageName, str, str],
    make_patient: MakePatient,
    cascade: dict[StageName, Part],
    learned: Learned,
    settings: Config,
) -> None:
    stage, without, words = case
    # Validation patients have the label, but they do not teach.
    cohort = {name: make_patient(name, without=(without,) if name in "ab" else ()) for name in "abcd"}
    start = Start(config=settings, parts=cascade)
    with pytest.raises(InputError, match=f"no training patient has {words}") as caught:
        fit_stage(STAGES[stage], cohort, ROLES, learned, start, Forget())
    assert caught.value.code == "E_NO_LABELS"


def test_a_status_network_without_a_status_is_refused(
    patients: dict[str, PreparedPatient], evidence: dict[str, Evidence], learned: Learned, settings: Config
) -> None:
    unknown = {
        name: replace(item, clinical=replace(item.clinical, n_status=None)) for name, item in evidence.items()
    }
    for given in (unknown, {}):  # the second where nobody could be examined
        start = Start(config=settings, evidence=given)
        with pytest.raises(InputError, match="no training patient has an n_status and a tumor") as caught:
            fit_stage(STAGES[StageName.METASTASIS], patients, FUSION, learned, start, Forget())
        assert caught.value.code == "E_NO_LABELS"


def test_a_training_of_no_epoch_is_no_training(
    patients: dict[str, PreparedPatient], learned: Learned, settings: Config
) -> None:
    idle = replace(STAGES[StageName.TUMOR], fit=lambda *_, **__: iter(()))
    with pytest.raises(UsageError, match="stage tumor was not trained for a single epoch") as caught:
        fit_stage(idle, patients, ROLES, learned, Start(config=settings), Forget())
    assert (caught.value.code, caught.value.cure) == ("E_EPOCHS", "set its training.epochs to 1 or more")


@pytest.mark.parametrize("group", ["train", "validation"])
def test_evidence_of_models_that_saw_the_patient_is_refused(
    group: str,
    patients: dict[str, PreparedPatient],
    evidence: dict[str, Evidence],
    learned: Learned,
    settings: Config,
) -> None:
    name = getattr(FUSION, group)[0]
    seen = evidence | {name: replace(evidence[name], fitted_on=FittedOn.of(["a", name]))}
    start = Start(config=settings, evidence=seen)
    with pytest.raises(LeakageError, match=f"{name}: the models were fitted on this patient"):
        fit_stage(STAGES[StageName.METASTASIS], patients, FUSION, learned, start, Forget())


def test_the_operating_point_is_chosen_by_the_best_weights_on_validation_patients(
    patients: dict[str, PreparedPatient], learned: Learned, settings: Config
) -> None:
    seen: list[tuple[dict[str, torch.Tensor], Lesson]] = []

    def fit(network: torch.nn.Module, *_: object, **__: object) -> Iterator[EpochRecord]:
        # The last epoch was not the best one.
        own = {name: x.clone() for name, x in network.state_dict().items()}
        best = {f"best/{name}": torch.full_like(x, 0.5) for name, x in own.items()}
        state = TrainingState(1, {f"network/{name}": x for name, x in own.items()} | best)
        yield EpochRecord(1, 0.25, 0.5, 0.125, 1.0, state)

    def choose(network: torch.nn.Module, lesson: Lesson) -> Choice:
        seen.append(({name: x.clone() for name, x in network.state_dict().items()}, lesson))
        return Choice(settings=lesson.settings, scores={"s": 1.0}, thresholds={"t": 0.5})

    row = replace(STAGES[StageName.TUMOR], fit=fit, choose=choose)
    part = fit_stage(row, patients, ROLES, learned, Start(config=settings, seed=2), Forget())
    ((weights, lesson),) = seen
    for tensors in (weights, part.weights):
        assert all(bool((x == 0.5).all()) for x in tensors.values())
    assert [case.patient for case in lesson.cases] == ["a", "b"]
    assert [case.patient for case in lesson.validation] == ["c", "d"]
    assert lesson.roles == ROLES
    assert (part.scores, part.thresholds) == ({"s": 1.0}, {"t": 0.5})


def found_by(models: Models, patient: PreparedPatient, settings: Config) -> tuple[Findings, float | None]:
    found = examine(patient.ct, Given(), models, settings.attention, Stopwatch())
    return found, predict_score(found, models).probability


def test_parts_in_memory_predict_exactly_what_they_predict_from_a_bundle(
    parts: dict[StageName, Part],
    learned: Learned,
    settings: Config,
    patients: dict[str, PreparedPatient],
    tmp_path: Path,
) -> None:
    salt = "the key of a bundle"
    info = new_description("test", learned, settings, salt=salt, is_phantom=False).model_copy(
        update={"parts": {name: part.described(salt) for name, part in parts.items()}}
    )
    write_bundle(tmp_path / "bundle", info, {name: part.weights for name, part in parts.items()}, "# test\n")
    held = assembled(parts, learned, settings, CPU)
    loaded = load_models(read_bundle(tmp_path / "bundle"), CPU)
    one, score = found_by(held, patients["h"], settings)
    other, same_score = found_by(loaded, patients["h"], settings)
    assert one.searched
    assert one.tumor.array.any()
    assert one.nodes.nodes
    for name in ("structures", "tumor", "attention"):
        assert_array_equal(getattr(one, name).array, getattr(other, name).array)
    assert_array_equal(one.nodes.instances.array, other.nodes.instances.array)
    assert one.nodes.nodes == other.nodes.nodes
    assert score is not None
    assert score == same_score


def test_a_part_is_rounded_as_a_bundle_stores_it(parts: dict[StageName, Part]) -> None:
    for part in parts.values():
        for x in part.weights.values():
            assert not x.is_floating_point() or torch.equal(x, x.half().float())


def test_models_in_memory_know_whom_they_have_seen_and_what_was_chosen(
    parts: dict[StageName, Part], learned: Learned, settings: Config
) -> None:
    held = assembled(parts, learned, settings, CPU)
    for name in (*ROLES.everybody, *FUSION.everybody):
        with pytest.raises(LeakageError, match=f"{name}: the models were fitted on this patient"):
            held.require_unseen(name)
    held.require_unseen("h")
    assert held.info.thresholds == {
        name: value for part in parts.values() for name, value in part.thresholds.items()
    }
    assert [held.intensity(stage) for stage in StageName] == [learned.sight(s).phases for s in StageName]
    assert held.bands == learned.bands
    some = assembled({StageName.TUMOR: parts[StageName.TUMOR]}, learned, settings, CPU)
    assert some.tumor is not None
    assert (some.structures, some.nodes, some.identification, some.metastasis) == (None,) * 4


def test_the_cascade_is_the_four_stages_one_after_the_other(
    patients: dict[str, PreparedPatient], cascade: dict[StageName, Part], settings: Config
) -> None:
    models = fit_cascade(patients, ROLES, Start(config=settings, seed=2))
    assert set(models.info.parts) == set(CASCADE)
    assert models.metastasis is None
    for name in CASCADE:
        network = getattr(models, name).network
        assert not network.training
        assert all(torch.equal(x, cascade[name].weights[key]) for key, x in network.state_dict().items())
    assert "e" not in models.fitted_on


def test_a_cascade_is_trained_with_sizes_of_its_grid(
    patients: dict[str, PreparedPatient], settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BegunError(Exception):
        pass

    begun: list[Start] = []

    def begin(*given: object) -> None:
        begun.extend(value for value in given if isinstance(value, Start))
        raise BegunError

    monkeypatch.setattr("lymphct.cascade.fitting.fit_stage", begin)
    coarse = settings.imaging.model_copy(update={"spacing": (1.36, 1.36, 1.6)})
    with pytest.raises(BegunError):
        fit_cascade(patients, ROLES, Start(config=settings.model_copy(update={"imaging": coarse})))
    (start,) = begun
    assert start.config.imaging.sizes_at == "grid"
    given = settings.nodes.sampling.patch_size
    assert start.config.nodes.sampling.patch_size == tuple(n // 2 for n in given)


def test_networks_are_rebuilt_for_prediction_from_their_description_alone(
    parts: dict[StageName, Part], learned: Learned, settings: Config
) -> None:
    info = assembled(parts, learned, settings, CPU).info
    part = parts[StageName.TUMOR]
    models = build_models(info, {StageName.TUMOR: part.weights}, CPU, digest="d")
    assert models.digest == "d"
    assert models.nodes is None  # described, but without weights
    assert models.tumor is not None
    assert models.tumor.settings == part.settings


def test_a_cascade_in_memory_is_guided_by_drawn_masks(
    patients: Mapping[str, PreparedPatient], settings: Config
) -> None:
    sources = settings.cascade.model_copy(update={"structures_source": "network"})
    with pytest.raises(UsageError, match="in memory is guided by drawn structures"):
        fit_cascade(patients, ROLES, Start(config=settings.model_copy(update={"cascade": sources})))
