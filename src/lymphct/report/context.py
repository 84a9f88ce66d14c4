"""What a report says besides the prediction: who, with which models and versions, after which checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from lymphct.core.errors import LymphctError
from lymphct.core.volume import Volume

BUNDLE_FACTS: Final[dict[str, type]] = {"name": str, "sha256": str, "is_phantom": bool, "notice": str}
"""What is known of every bundle, and its type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContext:
    """The circumstances of a prediction.

    Attributes:
        patient_id: pseudonymous id.
        bundle: at least `name`, `sha256`, `is_phantom` (trained on synthetic patients) and `notice` (what
            its readers are told first; may be empty).
        versions: version by name of the software.
        checks: one record per check of the input: `name`, `passed` (None: not done), `value`, `text`.
        arterial_as_acquired: HU on its own grid, to be shown beside the registered one; None where no
            registration moved it.

    Raises:
        LymphctError: a fact of the bundle is missing; a report must never lose its warnings.

    """

    patient_id: str
    bundle: Mapping[str, JsonValue]
    versions: Mapping[str, str]
    checks: Sequence[Mapping[str, JsonValue]] = ()
    arterial_as_acquired: Volume | None = None

    def __post_init__(self) -> None:
        for fact, kind in BUNDLE_FACTS.items():
            if not isinstance(self.bundle.get(fact), kind):
                msg = f"a report needs the bundle's {fact} ({kind.__name__}), got {self.bundle.get(fact)!r}"
                raise LymphctError(msg, cure="pass the facts of the bundle that made the prediction")

    @property
    def is_phantom(self) -> bool:
        """Return whether the models learned from synthetic patients only."""
        return self.bundle["is_phantom"] is True

    @property
    def bundle_notice(self) -> str:
        """Return what readers of any result of this bundle are told first; may be empty."""
        return str(self.bundle["notice"])
