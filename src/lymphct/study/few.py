"""Who does what where few tumors are drawn: teaches, is harvested, chooses, is scored (Sec. IV-B)."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lymphct.core.errors import InputError, LymphctError, UsageError
from lymphct.core.leakage import Roles
from lymphct.core.terms import counted
from lymphct.io.manifest import PatientRecord
from lymphct.patients.foresight.inventory import is_held_out
from lymphct.study.request import TrainingRequest

logger = logging.getLogger(__name__)

_TEACH_AND_CHOOSE = 2
"""Drawn patients that are left at least when some are kept aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who does what, sorted ids.

    Attributes:
        few: training patients with a drawn tumor.
        harvested: training patients without one and with an arterial phase.
        judges: validation patients with a drawn tumor.
        scored: patients with a drawn tumor from whom nothing learns.
        arterial: those of all four who have an arterial phase.
        left_out: training patients with neither a drawn tumor nor an arterial phase.

    """

    few: tuple[str, ...]
    harvested: tuple[str, ...]
    judges: tuple[str, ...]
    scored: tuple[str, ...]
    arterial: frozenset[str]
    left_out: tuple[str, ...]

    def seen(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of some patients who have an arterial phase."""
        return tuple(name for name in names if name in self.arterial)


def scored_records(request: TrainingRequest) -> list[PatientRecord]:
    """Return the patients who are kept for the scores: of split `test`, with a drawn tumor."""
    return [r for r in request.records if is_held_out(r) and not r.is_excluded and r.tumor is not None]


def with_some_kept_aside(request: TrainingRequest) -> TrainingRequest:
    """Return the request with a share of the drawn patients kept for the scores, where the manifest has none.

    They count as of split `test`. The same patients are kept with the same seed, whoever else is there: by
    the hash of seed and id. At least two drawn patients are left, one to teach and one to choose.
    """
    drawn = sorted(record.patient_id for record in request.teachers if record.tumor is not None)
    share, spare = request.config.tumor_harvest.kept_aside, len(drawn) - _TEACH_AND_CHOOSE
    if not request.few or not share or spare < 1 or scored_records(request):
        return request
    order = sorted(drawn, key=lambda name: hashlib.sha256(f"{request.seed}\naside\n{name}".encode()).digest())
    kept = frozenset(order[: min(max(round(share * len(drawn)), 1), spare)])
    logger.info(
        "nobody of split test has a drawn tumor: %s of %d with one are kept for the scores: %s",
        counted(len(kept), "patient"), len(drawn), ", ".join(sorted(kept)),
    )  # fmt: skip
    records = [
        replace(r, cells={**r.cells, "split": "test"}) if r.patient_id in kept else r for r in request.records
    ]
    return replace(request, records=records)


def require_few(request: TrainingRequest) -> None:
    """Refuse a cohort of which it is plain, whatever the split, that nothing can be harvested.

    Raises:
        InputError: nobody has a drawn tumor, everybody has one, or no arterial phase is there.
        UsageError: a network to start from was given.

    """
    for reason in few_refusals(request):
        raise reason


def few_refusals(request: TrainingRequest) -> Iterator[LymphctError]:
    """Yield why a cohort cannot be harvested, whatever the split."""
    records = request.teachers
    drawn = [record for record in records if record.tumor is not None]
    others = [record for record in records if record.tumor is None]
    if request.start_from is not None:
        msg = "--few trains its networks from scratch, and --from names one to go on from"
        yield UsageError(msg, cure="leave out --from, or --few")
    if not drawn:
        msg = f"none of {counted(len(records), 'patient')} who may teach has a drawn tumor"
        yield InputError(msg, code="E_NO_LABELS", cure="draw a few, and fill the column tumor")
        return
    if not others:
        msg = f"all of {counted(len(records), 'patient')} who may teach have a drawn tumor: nobody to harvest"
        yield InputError(msg, code="E_NOBODY", cure="leave out --few, or add patients without a drawn tumor")
        return
    for words, group in (("a drawn tumor", drawn), ("no drawn tumor", others)):
        if all(record.arterial is None for record in group):
            msg = f"none of {counted(len(group), 'patient')} with {words} has an arterial phase"
            yield InputError(msg, code="E_ARTERIAL", cure="fill the column arterial, or leave out --few")


def chosen_cast(request: TrainingRequest, roles: Roles) -> Cast:
    """Return who does what in a split.

    Args:
        request: with the records of the cohort, those kept for the scores among them.
        roles: who teaches the tumor network, and who chooses.

    Raises:
        InputError: among the training patients nobody has a drawn tumor, or nobody can be harvested.

    """
    records = {record.patient_id: record for record in request.records}
    few = tuple(name for name in roles.train if records[name].tumor is not None)
    others = tuple(name for name in roles.train if records[name].tumor is None)
    judges = tuple(name for name in roles.validation if records[name].tumor is not None)
    scored = tuple(sorted(record.patient_id for record in scored_records(request)))
    everybody = (*few, *others, *judges, *scored)
    arterial = frozenset(name for name in everybody if records[name].arterial is not None)
    cast = Cast(
        few=few,
        harvested=tuple(name for name in others if name in arterial),
        judges=judges,
        scored=scored,
        arterial=arterial,
        left_out=tuple(name for name in others if name not in arterial),
    )
    if not few:
        msg = "no training patient has a drawn tumor"
        raise InputError(msg, code="E_NO_LABELS", cure="draw more, or take another --seed")
    if not cast.seen(few):
        msg = f"none of {counted(len(few), 'training patient')} with a drawn tumor has an arterial phase"
        raise InputError(msg, code="E_ARTERIAL", cure="fill the column arterial, or take another --seed")
    if not cast.harvested:
        msg = "no training patient without a drawn tumor has an arterial phase: nobody to harvest"
        raise InputError(msg, code="E_NOBODY", cure="add such patients, or leave out --few")
    return cast
