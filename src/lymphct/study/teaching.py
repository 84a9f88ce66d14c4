"""Who may teach a student of structures, asked before any work (decision 0040)."""

from collections.abc import Sequence

from lymphct.core.errors import InputError, LeakageError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.patients.sources.named_teachers import teachers_named
from lymphct.patients.sources.teachers import BundleSource, FileSource, MaskSource
from lymphct.study.request import TrainingRequest


def chosen_teachers(request: TrainingRequest, train: Sequence[str]) -> tuple[MaskSource, ...]:
    """Return the sources that a request names, in their order of trust.

    Args:
        request: with `teaching`.
        train: patients who may teach; a bundle that learned from any other patient of the cohort is refused.

    Raises:
        UsageError: no source, or one that is none.
        EnvironmentProblemError: a program that would draw the masks is missing.
        ModelError: a bundle is refused, or has no structures network.
        LeakageError: a bundle learned structures from patients who choose or are kept for a test.
        InputError: a source of files has none of any training patient.

    """
    if request.teaching is None:
        msg = "nobody teaches"
        raise UsageError(msg, cure="give --teacher")
    sources = teachers_named(
        request.teaching.sources,
        labels=request.labels,
        device=request.device,
        tracing=request.config.tracing,
    )
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"the source {twice} is named twice"
        raise UsageError(msg, code="E_SOURCE", cure="name each source once, the most trusted first")
    for source in sources:
        if isinstance(source, BundleSource):
            _require_unseen(source, request, train)
        elif isinstance(source, FileSource) and not any(map(source.path, train)):
            msg = f"there is no mask of any of {len(train)} training patients, such as {train[0]}"
            cure = "check the path of --teacher: {patient} stands for the id"
            raise InputError(msg, code="E_NO_LABELS", cure=cure).at(file=source.name)
    return sources


def _require_unseen(source: BundleSource, request: TrainingRequest, train: Sequence[str]) -> None:
    part = source.info.parts[StageName.STRUCTURES]
    seen = FittedOn(hashes=part.seen, salt=source.info.salt)
    others = {record.patient_id for record in request.records} - set(train)
    known = sorted(name for name in others if name in seen)
    if known:
        more = f" (and from {len(known) - 1} more)" if len(known) > 1 else ""
        msg = f"the teacher {source.name} learned from this patient{more}, who must not teach"
        cure = "exclude the patient, let split say train, or take a teacher that did not see him"
        raise LeakageError(msg, cure=cure).at(patient=known[0])
