"""All methods on the same patients of one fold: each learns, is judged, and says whom it cannot judge."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lymphct.baselines.method import StatusMethod
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import Roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one method says of one test patient.

    Attributes:
        method: name of the method.
        patient: pseudonymous id.
        n_status: the truth.
        score: None where the patient lacks what the method needs.
        call: 1 for N+, 0 for N-; None likewise.
        lacking: what the patient lacks.

    """

    method: str
    patient: str
    n_status: int | None
    score: float | None
    call: int | None
    lacking: tuple[str, ...] = ()


def judged(
    methods: Iterable[StatusMethod],
    evidence: Mapping[str, Evidence],
    roles: Roles,
    test: Sequence[str],
    *,
    seed: int = 0,
) -> list[Judgement]:
    """Fit each method on the patients of a fold and let it judge the fold's test patients.

    Args:
        methods: in the order of a table.
        evidence: of everybody, out of fold.
        roles: who teaches and who chooses.
        test: ids that are judged.
        seed: of what is drawn.

    Raises:
        LeakageError: a test patient has a role, or evidence comes from models that learned from its patient.
        InputError: a method has no patient of both classes to learn or to choose from.

    """
    require_out_of_fold([evidence[name] for name in (*roles.everybody, *test)])
    found = []
    for method in methods:
        train, validation = (
            [evidence[name] for name in ids if not method.lacking(evidence[name])]
            for ids in (roles.train, roles.validation)
        )
        fitted = method.fit(train, validation, seed=seed)
        judge = fitted.for_unseen(test)
        for item in (evidence[name] for name in test):
            lacking = method.lacking(item)
            found.append(
                Judgement(
                    method=method.name,
                    patient=item.patient,
                    n_status=item.clinical.n_status,
                    score=None if lacking else judge.score(item),
                    call=None if lacking else judge.call(item),
                    lacking=lacking,
                )
            )
    return found
