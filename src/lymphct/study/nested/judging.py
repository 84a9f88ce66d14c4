"""One status method in one outer fold: it learns from evidence out of fold and judges whom nobody saw."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lymphct.baselines.method import StatusMethod
from lymphct.core.errors import InputError
from lymphct.core.evidence import Evidence, require_out_of_fold

Views = Mapping[str, Sequence[Evidence]]
"""Patients by id, each as several cascades see him; none where the images were refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a method says of one patient.

    Attributes:
        patient: pseudonymous id.
        score: mean over the cascades that show the method what it needs; None where none does.
        call: 1 for N+, 0 for N-; None likewise.
        lacking: what the patient lacks.

    """

    patient: str
    score: float | None
    call: int | None
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A method after one outer fold.

    Attributes:
        threshold: score from which it calls a patient N+.
        fitted_on: everybody it learned from.
        verdicts: of those who were judged.

    """

    threshold: float
    fitted_on: frozenset[str]
    verdicts: tuple[Verdict, ...]


def judged_in_fold(
    method: StatusMethod,
    train: Sequence[Evidence],
    validation: Sequence[Evidence],
    asked: Views,
    *,
    seed: int,
) -> Judged:
    """Let a method learn from the patients of a fold and judge others.

    The score of a patient whom several cascades saw is the mean of their scores.

    Args:
        method: a row of the table.
        train: evidence of those who teach.
        validation: of those who choose.
        asked: test patients and patients of other cohorts.
        seed: of what is drawn.

    Raises:
        LeakageError: somebody who is asked taught, or models behind the evidence learned from its patient.
        InputError: the method has no patients of both classes to learn or to choose from.

    """
    require_out_of_fold([*train, *validation])
    for views in asked.values():
        require_out_of_fold(views)
    teaching, choosing = (
        [item for item in group if not method.lacking(item) and item.clinical.n_status is not None]
        for group in (train, validation)
    )
    for words, group in (("training", teaching), ("validation", choosing)):
        if len({item.clinical.n_status for item in group}) < 2:
            msg = f"the method {method.name} has {len(group)} {words} patients, not of both classes"
            raise InputError(msg, code="E_ONE_CLASS", cure="leave the method out, or add patients")
    fitted = method.fit(teaching, choosing, seed=seed)
    everybody = fitted.patients | {item.patient for item in (*teaching, *choosing)}
    judge = fitted.for_unseen(asked)
    found = []
    for name, views in asked.items():
        scores = [judge.score(view) for view in views if not method.lacking(view)]
        known = [score for score in scores if score is not None]
        score = fmean(known) if known else None
        lacking = () if known else method.lacking(views[0]) if views else ("images",)
        found.append(
            Verdict(
                patient=name,
                score=score,
                call=None if score is None else int(score >= judge.threshold),
                lacking=tuple(lacking),
            )
        )
    return Judged(threshold=judge.threshold, fitted_on=everybody, verdicts=tuple(found))
