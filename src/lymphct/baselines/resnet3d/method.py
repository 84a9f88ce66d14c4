"""ResNet3D-18 as a method of the table (Sec. IV-E, Tab. VI)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import nn

from lymphct.baselines.cascade_methods import Weights
from lymphct.baselines.method import StatusMethod
from lymphct.baselines.resnet3d.network import build_resnet3d
from lymphct.baselines.resnet3d.training import (
    BoxCase,
    BoxSampler,
    box_cases,
    box_loss,
    predict_box,
)
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Fitted, require_unseen
from lymphct.learning import training
from lymphct.learning.devices import chosen_device
from lymphct.learning.keeping import FORGET, Keep, followed
from lymphct.learning.training import best_weights
from lymphct.metastasis.heads import Judge, fit_judge
from lymphct.metastasis.prediction import status_quality
from lymphct.metastasis.settings import MetastasisSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxHead:
    """A network of a box around the tumor, trained as the status network is.

    Attributes:
        settings: of the status network: width, batches, augmentation, optimiser.
        kinetics: start weights of the backbone; None for a random start.
        keep: takes the states of the training, gives back the last one of an interrupted one.
        device: where the network learns and judges.

    """

    settings: MetastasisSettings
    kinetics: Weights | None = None
    keep: Keep = FORGET
    device: str = "auto"

    def require_weights_that_fit(self) -> None:
        """Refuse start weights of another architecture.

        Raises:
            ModelError: they do not fit.

        """
        if self.kinetics is not None:
            build_resnet3d(self.settings.network, self.kinetics, seed=0)

    def fit(self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int) -> Fitted[Judge]:
        """Train the network; validation patients choose the epoch, then the threshold.

        Raises:
            InputError: training or validation patients are not of both classes.
            LeakageError: models behind the evidence learned from the patient, or one has two roles.
            ModelError: the start weights do not fit.

        """
        require_out_of_fold([*train, *validation])
        require_unseen([item.patient for item in train], [item.patient for item in validation])
        network = build_resnet3d(self.settings.network, self.kinetics, seed=seed)
        network = network.to(chosen_device(self.device))
        sampler = BoxSampler(box_cases(train), self.settings.sampling, self.settings.augmentation, seed)
        judged = box_cases(validation)
        course = partial(
            training.train,
            network,
            sampler.batch,
            box_loss,
            self.settings.training,
            validate=(lambda now: _quality(now, judged)) if judged else None,
        )
        state = followed(course, self.settings.training, self.keep, "ResNet3D-18")
        network.load_state_dict(best_weights(state))
        judge = fit_judge(_Score(network), validation)
        return Fitted(judge.value, judge.patients | frozenset(item.patient for item in train))


def resnet3d(
    settings: MetastasisSettings,
    kinetics: Weights | None = None,
    *,
    keep: Keep = FORGET,
    device: str = "auto",
) -> StatusMethod:
    """Return ResNet3D-18; a random start is said in its name, and so in every table."""
    start = "" if kinetics is not None else " (random start)"
    head = BoxHead(settings=settings, kinetics=kinetics, keep=keep, device=device)
    return StatusMethod(
        name=f"ResNet3D-18{start}", needs=("crop",), fit=head.fit, require=head.require_weights_that_fit
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Score:
    network: nn.Module

    def __call__(self, evidence: Evidence) -> float | None:
        return None if evidence.crop is None else predict_box(self.network, evidence.crop)


def _quality(network: nn.Module, judged: Sequence[BoxCase]) -> float:
    return status_quality(
        [case.n_status for case in judged], [predict_box(network, case.box) for case in judged]
    )
