"""What is to be trained, and what a request for it must be."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.cascade.settings import Config
from lymphct.core.errors import UsageError
from lymphct.core.origin import Origin
from lymphct.core.terms import StageName
from lymphct.io.images.labels import Scheme
from lymphct.io.manifest import PatientRecord
from lymphct.metastasis.prediction import build_status_network
from lymphct.metastasis.pretrained import Pretrained, fitting
from lymphct.metastasis.settings import require_start
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.plan import PLAN_FILE

logger = logging.getLogger(__name__)


SELF_LEARNING: Final = "self_learning"
"""Folder of the rounds of self-learning in a run, and their record in a bundle's part."""


FOUND: Final = "found"
"""Folder of a run that keeps what stage 1 found in those stage 2 learns from, and the networks that did."""
FEW: Final = "few"
"""Folder of the steps from few drawn tumors to masks for everybody in a run."""
HARVEST: Final = "harvest"
"""Their record in the part of a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teaching:
    """Who teaches structures besides what was drawn, and how often (Sec. III-A.1).

    Attributes:
        sources: of masks, in an order of trust, as `patients.sources.teachers.mask_sources` reads them.
        rounds: 1, or 2: the student of the first teaches the second.

    """

    sources: str
    rounds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """What to train, from whom, and where.

    Attributes:
        folder: of the run.
        name: of the bundle.
        records: the cohort.
        config: settings; sizes may be given at another spacing than that of the grid.
        seed: of split, weights and patches.
        labels: numbering of the structures in the cohort's files.
        work: store of the prepared patients, which runs may share; None keeps them in the run.
        device: on which the networks run.
        devices: several of them, for stages that do not wait for one another; empty leaves all to `device`.
        jobs: processes side by side.
        init: bundle whose parts are taken over where this run trains none; fitted on other patients.
        start_from: bundle from whose network the one stage that is trained starts.
        origins: data sets the records come from.
        resume: go on with a run that was interrupted.
        rehash: hash every input and every prepared image, even where its files look untouched.
        pretrained: start weights of the status network, such as ImageNet's.
        teaching: masks of a teacher that the structures are learned from, besides drawn ones.
        nnunet: results folder of an nnU-Net whose encoder and decoder stage 1 starts from.
        few: learn tumors from few drawn masks and those that networks draw in everybody else (Sec. IV-B).

    """

    folder: Path
    name: str
    records: Sequence[PatientRecord]
    config: Config
    seed: int = 0
    labels: Scheme = "auto"
    work: Path | None = None
    device: str = "auto"
    devices: tuple[str, ...] = ()
    jobs: int = 1
    init: Path | None = None
    start_from: Path | None = None
    origins: tuple[Origin, ...] = ()
    resume: bool = False
    rehash: bool = False
    pretrained: Pretrained | None = None
    teaching: Teaching | None = None
    nnunet: Path | None = None
    few: bool = False

    @property
    def preparation(self) -> Preparation:
        """How the patients are prepared, and where."""
        return Preparation(
            folder=self.work or self.folder / "prepared",
            spacing=self.config.imaging.spacing,
            registration=self.config.registration,
            labels=self.labels,
            rehash=self.rehash,
        )

    @property
    def teachers(self) -> Sequence[PatientRecord]:
        """Return those a training may look at: neither excluded nor kept for the test."""
        return [record for record in self.records if record.may_teach]

    @property
    def places(self) -> tuple[str, ...]:
        """Return the devices that trainings may take."""
        return self.devices or (self.device,)


def require_nothing_taken_over(request: TrainingRequest) -> None:
    """Refuse `--init` and `--from` where all stages are trained.

    Raises:
        UsageError: a bundle to take parts or start weights from was given.

    """
    if request.start_from is not None:
        msg = "all stages are trained here, and --from is the start of one"
        raise UsageError(msg, cure="leave out --from, or name the one stage to train")
    if request.init is not None:
        msg = "all stages are trained here, nothing is taken over from --init"
        raise UsageError(msg, cure="leave out --init, or name the one stage to train")


def require_start_weights(request: TrainingRequest) -> None:
    """Refuse to train a status network that would start from ImageNet without weights that fit it.

    Raises:
        UsageError: there are none.
        ModelError: they do not fit.

    """
    settings = request.config.metastasis
    require_start(settings, given=request.pretrained is not None)
    if request.pretrained is not None:
        fitting(build_status_network(settings), request.pretrained.tensors)
        logger.info("start weights of the status network: SHA-256 %s", request.pretrained.digest)


def require_begun(request: TrainingRequest, stage: StageName | None = None) -> None:
    """Refuse to resume what was not begun.

    Raises:
        UsageError: the run, or the one stage of it, left no trace.

    """
    trace = request.folder / PLAN_FILE if stage is None else request.folder / "stages" / stage
    is_taught = request.teaching is not None and (request.folder / SELF_LEARNING).exists()
    is_harvested = request.few and (request.folder / FEW).exists()
    is_searched = stage is StageName.IDENTIFICATION and (request.folder / FOUND).exists()
    if request.resume and not (trace.exists() or is_taught or is_harvested or is_searched):
        msg = f"there is nothing to resume in {request.folder.name}"
        raise UsageError(msg, code="E_NOT_BEGUN", cure="leave out --resume, or check --out")
