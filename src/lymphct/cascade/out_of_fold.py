"""Evidence of every patient by models that never saw him (decision 0006)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from lymphct.cascade.evidence import EvidenceSettings, examined
from lymphct.cascade.models import Models
from lymphct.cascade.prepared import Prepared
from lymphct.core.errors import LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Roles
from lymphct.evaluation.folds import Fold


def out_of_fold(
    patients: Mapping[str, Prepared],
    folds: Sequence[Fold],
    fit: Callable[[Roles], Models],
    settings: EvidenceSettings = EvidenceSettings(),  # noqa: B008 - frozen
) -> dict[str, Evidence]:
    """Fit a cascade on each fold and let it examine the fold's test patients.

    Args:
        patients: by id.
        folds: each patient is tested at most once.
        fit: trains on the roles of a fold, for example `partial(fit_cascade, patients, start=start)`.
        settings: how patients are examined.

    Returns:
        id → evidence of every test patient.

    Raises:
        InputError: a patient lacks the arterial phase and the networks cannot do without.
        LeakageError: a patient is tested twice, or by models that learned from him.

    """
    roles = [Roles(train=fold.train, validation=fold.validation) for fold in folds]
    _require_tested_once(folds)
    found: dict[str, Evidence] = {}
    for fold, teachers in zip(folds, roles, strict=True):
        models = fit(teachers)
        for name in fold.test:
            models.require_unseen(name)
        for name in fold.test:
            found[name] = examined(patients[name], models, settings)
    return found


def _require_tested_once(folds: Sequence[Fold]) -> None:
    times = Counter(name for fold in folds for name in fold.test)
    for name, count in times.items():
        if count > 1:
            msg = f"the patient is tested in {count} folds"
            raise LeakageError(msg, cure="split each patient into one test part").at(patient=name)
