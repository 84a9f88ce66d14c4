"""What the cascades of a study found in test patients, as its examinations kept it: records, no image."""

from collections.abc import Mapping
from typing import Any

from lymphct.io.results.jsonfile import JSON, read_json
from lymphct.study.nested.mask_tables import Measured
from lymphct.study.nested.materials import MEASURED_FILE, Materials
from lymphct.study.nested.plan import COHORT, NestedPlan, cascades_of

Found = Measured
"""What each cascade of the fold found, by the name of its variant and by patient."""


def found_in_tested(materials: Materials, examined: Mapping[str, JSON]) -> Found:
    """Read what was measured of test patients.

    Args:
        materials: of the study.
        examined: id of each task that examined the cohort → variant of its cascade.

    Raises:
        InputError: damaged.

    """
    found: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
    for name, variant in examined.items():
        for file in sorted(materials.artefacts.place(name).glob(f"*/{MEASURED_FILE}")):
            record: Any = read_json(file)
            found.setdefault(str(variant), {}).setdefault(file.parent.name, []).append(record)
    return found


def folds_of(plan: NestedPlan) -> dict[str, int]:
    """Return the fold, from 1, in which each patient is tested."""
    return {name: number for number, fold in enumerate(plan.nested, start=1) for name in fold.outer.test}


def records_of(materials: Materials, fold: int, variant: str, patient: str) -> Mapping[str, Any]:
    """Return what the first cascade of a fold found in a test patient; nothing where it could not see him.

    Raises:
        InputError: damaged.

    """
    cascade = cascades_of(materials.plan, fold, variant)[0]
    file = materials.artefacts.place(f"examine.{cascade.name}.{COHORT}") / patient / MEASURED_FILE
    if not file.exists():  # lost: the images were refused
        return {}
    record: Any = read_json(file)
    return dict(record)
