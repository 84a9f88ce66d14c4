"""Evidence of every patient by models that never saw him (decision 0006)."""

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
        LeakageError: a patient is tested twice, or by models that learned from him.

    """
    found: dict[str, Evidence] = {}
    for fold in folds:
        models = fit(Roles(train=fold.train, validation=fold.validation))
        for name in fold.test:
            if name in found:
                msg = "the patient is tested in two folds"
                raise LeakageError(msg, cure="split each patient into one test part").at(patient=name)
            models.require_unseen(name)
            found[name] = examined(patients[name], models, settings)
    return found
