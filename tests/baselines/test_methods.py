"""Methods beside the cascade: what each needs, how each judges, and that the table has one row a method."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lymphct.baselines.method import StatusMethod
from lymphct.baselines.rules import CT_REPORTED, NODE_COUNT, TUMOR_VOLUME
from lymphct.baselines.settings import BaselineSettings
from lymphct.baselines.table import METHODS, methods
from lymphct.core.errors import InputError, LeakageError, ModelError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.patient import Clinical, Node
from lymphct.core.terms import NodeClass
from lymphct.learning.keeping import Forget, Keep
from lymphct.learning.training import EpochRecord, TrainingState
from lymphct.metastasis.network import StatusNetwork
from lymphct.metastasis.settings import (
    MetastasisSettings,
    StatusNetworkSettings,
    StatusSamplingSettings,
    StatusTrainingSettings,
)
from lymphct.study.keeping import Checkpoints, Sparing
from lymphct.study.methods import judged

torch.set_num_threads(1)

QUICK = MetastasisSettings(
    network=StatusNetworkSettings(width=0.125),
    sampling=StatusSamplingSettings(batch_size=4),
    training=StatusTrainingSettings(epochs=1, iterations_per_epoch=2),
)


def evidence(number: int, *, reported: int | None = 0, has_tumor: bool = True, nodes: int = 2) -> Evidence:
    """Patient `number`: N+ where odd, with a positive node of 400 mm³ then."""
    found = [
        Node(label=n, volume=100.0, center=(0.0, 0.0, 9.0 * n), node_class=NodeClass.NEGATIVE)
        for n in range(1, nodes + 1)
    ]
    if number % 2:
        found.append(Node(label=99, volume=400.0, center=(0.0, 0.0, 0.0), node_class=NodeClass.POSITIVE))
    patches = np.random.default_rng(number).normal(size=(9, 3, 32, 32)).astype(np.float32)
    return Evidence(
        patient=f"case{number:02d}",
        patches=patches if has_tumor else None,
        tumor_volume=1000.0 + 100 * number if has_tumor else 0.0,
        nodes=tuple(found),
        features=np.zeros((len(found), 7)),
        clinical=Clinical(n_status=number % 2, ct_reported_n=reported, center="here"),
        fitted_on=FittedOn.of(["somebody"]),
        crop=np.random.default_rng(number).normal(size=(3, 16, 16, 16)).astype(np.float32),
        radiomics={f"venous_{n}": float(x) for n, x in enumerate(patches[0, 0, 0])},
    )


def cohort(count: int = 16) -> dict[str, Evidence]:
    found = [evidence(number, reported=number % 4 // 3) for number in range(count)]
    return {item.patient: item for item in found}


def roles() -> tuple[Roles, tuple[str, ...]]:
    names = tuple(cohort())
    return Roles(train=names[:8], validation=names[8:12]), names[12:]


def test_a_method_says_what_a_patient_lacks() -> None:
    assert CT_REPORTED.lacking(evidence(1, reported=None)) == ("ct_reported_n",)
    assert CT_REPORTED.lacking(evidence(1)) == ()
    assert TUMOR_VOLUME.lacking(evidence(1, has_tumor=False)) == ("tumor",)
    both = METHODS["combined"](QUICK)
    assert both.lacking(evidence(1, has_tumor=False)) == ("tumor",)
    assert both.lacking(evidence(1)) == ()


def test_the_report_of_a_radiologist_is_its_own_call() -> None:
    everybody = list(cohort().values())
    judge = CT_REPORTED.fit([], everybody, seed=0).value
    assert judge.threshold == 0.5
    assert [judge.call(item) for item in everybody[:4]] == [0, 0, 0, 1]
    assert judge.call(evidence(1, reported=None)) is None


def test_controls_count_nodes_and_measure_the_tumor() -> None:
    counted = NODE_COUNT.fit([], list(cohort().values()), seed=0).value
    assert counted.score(evidence(1)) == 3.0
    measured = TUMOR_VOLUME.fit([], list(cohort().values()), seed=0).value
    assert measured.score(evidence(3)) == 1300.0
    assert measured.score(evidence(3, has_tumor=False)) is None


def test_every_method_of_the_table_judges_the_same_patients() -> None:
    teachers, test = roles()
    methods = [make(QUICK) for make in METHODS.values()]
    found = judged(methods, cohort(), teachers, test)
    assert [(item.method, item.patient) for item in found] == [
        (method.name, name) for method in methods for name in test
    ]
    assert all(item.score is not None and item.call in {0, 1} for item in found)
    by_nodes = [item.call for item in found if item.method == "ClsbyLNSeg"]
    assert by_nodes == [0, 1, 0, 1]
    assert len({method.name for method in methods}) == len(METHODS)


def test_a_patient_who_lacks_something_is_told_and_not_scored() -> None:
    teachers, test = roles()
    everybody = cohort() | {test[0]: evidence(12, has_tumor=False)}
    (first, *_) = judged([METHODS["tumor"](QUICK)], everybody, teachers, test)
    assert (first.patient, first.score, first.call, first.lacking) == (test[0], None, None, ("tumor",))


def test_the_same_seed_gives_the_same_scores() -> None:
    teachers, test = roles()
    methods = [METHODS["combined"](QUICK)]
    assert judged(methods, cohort(), teachers, test) == judged(methods, cohort(), teachers, test)
    other = judged(methods, cohort(), teachers, test, seed=1)
    assert [item.score for item in other] != [
        item.score for item in judged(methods, cohort(), teachers, test)
    ]


def test_nobody_is_judged_who_taught() -> None:
    teachers, _ = roles()
    with pytest.raises(LeakageError, match="were used for fitting"):
        judged([METHODS["combined"](QUICK)], cohort(), teachers, teachers.train[:1])


def test_evidence_by_models_that_saw_the_patient_is_refused() -> None:
    teachers, test = roles()
    everybody = cohort()
    leaking = evidence(14)
    everybody[leaking.patient] = Evidence(
        patient=leaking.patient,
        patches=leaking.patches,
        tumor_volume=leaking.tumor_volume,
        nodes=leaking.nodes,
        features=leaking.features,
        clinical=leaking.clinical,
        fitted_on=FittedOn.of([leaking.patient]),
    )
    with pytest.raises(LeakageError, match="case14: the models were fitted on this patient"):
        judged([NODE_COUNT], everybody, teachers, test)


def test_a_method_without_anybody_to_choose_from_is_refused() -> None:
    teachers, test = roles()
    blank = {name: evidence(number, reported=None) for number, name in enumerate(cohort())}
    with pytest.raises(InputError):
        judged([CT_REPORTED], blank, teachers, test)


def test_the_networks_of_the_table_lack_one_part_each() -> None:
    names = {name: METHODS[name](QUICK).name for name in ("resnet2d", "deepten")}
    assert names == {"resnet2d": "ResNet2D-18", "deepten": "DeepTEN"}
    for name, parts in {"resnet2d": (True, False), "deepten": (False, True)}.items():
        network = METHODS[name](QUICK).fit.__self__.settings.network  # type: ignore[attr-defined]
        assert (network.global_pooling, network.texture_encoding) == parts
        assert network.mask_branch
        assert not network.volume_fusion


def test_a_network_of_the_tumor_does_not_see_the_nodes() -> None:
    everybody = list(cohort().values())
    for name in ("resnet2d", "deepten", "tumor"):
        judge = METHODS[name](QUICK).fit(everybody[:8], everybody[8:12], seed=0).value
        assert judge.score(evidence(13)) == judge.score(
            replace(evidence(13), nodes=(), features=np.zeros((0, 7)))
        )


def test_imagenet_weights_start_every_network_of_the_patches() -> None:
    torch.manual_seed(5)
    weights = StatusNetwork(QUICK.network).resnet.state_dict()
    networks = {"resnet2d", "deepten", "tumor", "combined", "permuted_labels"}
    everybody = list(cohort().values())
    started, plain = methods(BaselineSettings(), imagenet=weights), METHODS
    changed = {
        name
        for name in networks | {"nodes", "node_count", "resnet3d"}
        if len(
            {
                table[name](QUICK).fit(everybody[:8], everybody[8:12], seed=0).value.score(everybody[13])
                for table in (started, plain)
            }
        )
        == 2
    }
    assert changed == networks
    for name in networks:
        started[name](QUICK).require()
        plain[name](QUICK).require()
        with pytest.raises(ModelError, match="start weights"):
            methods(BaselineSettings(), imagenet={})[name](QUICK).require()


def test_nodes_without_attention_ask_for_the_other_cascade() -> None:
    asked = {name: make(QUICK).cascade for name, make in METHODS.items()}
    assert [name for name, cascade in asked.items() if cascade == "none"] == ["nodes_without_attention"]


def test_one_more_method_is_one_more_row() -> None:
    extra = StatusMethod(name="always N+", needs=(), fit=NODE_COUNT.fit)
    teachers, test = roles()
    assert {item.method for item in judged([extra], cohort(), teachers, test)} == {"always N+"}


@dataclass
class Noting:
    """Passes on what another keeps, remembers the last state, and is killed after so many epochs."""

    keep: Keep
    epochs: int | None = None
    state: TrainingState | None = None
    first: int = 0

    def last(self) -> TrainingState | None:
        return self.keep.last()

    def told(self, done: int, total: int) -> None:
        self.first = self.first or done
        self.keep.told(done, total)

    def add(self, record: EpochRecord, epochs: int) -> None:
        self.keep.add(record, epochs)
        self.state = record.state
        if record.epoch == self.epochs:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["combined", "resnet2d", "deepten", "tumor", "resnet3d", "permuted_labels"])
def test_a_network_that_was_killed_goes_on_to_the_very_weights(tmp_path: Path, name: str) -> None:
    training = StatusTrainingSettings(epochs=3, iterations_per_epoch=2)
    settings = QUICK.model_copy(update={"training": training})
    everybody = list(cohort().values())

    def scores(keep: Noting) -> list[float | None]:
        method = methods(BaselineSettings(), keep=keep)[name](settings)
        judge = method.fit(everybody[:8], everybody[8:12], seed=3).value
        return [judge.threshold, *(judge.score(item) for item in everybody[12:])]

    quiet = Noting(Forget())
    undisturbed = scores(quiet)
    with pytest.raises(KeyboardInterrupt):
        scores(Noting(Sparing(Checkpoints.open(tmp_path, resume=True), every=0.0), epochs=2))
    resumed = Noting(Checkpoints.open(tmp_path, resume=True))
    assert scores(resumed) == undisturbed
    assert resumed.first == 5  # the third epoch alone was left
    assert quiet.state is not None
    assert resumed.state is not None
    assert set(resumed.state.tensors) == set(quiet.state.tensors)
    for tensor, weights in quiet.state.tensors.items():
        assert torch.equal(resumed.state.tensors[tensor], weights), tensor
    over = Noting(Checkpoints.open(tmp_path, resume=True))  # killed behind the last epoch
    assert scores(over) == undisturbed
    assert over.first == 0
