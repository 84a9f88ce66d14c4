"""A way to tell N+ from N-: what it needs of a patient, and how it learns (Tab. VI, Tab. VII)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lymphct.core.evidence import Evidence
from lymphct.core.leakage import Fitted
from lymphct.metastasis.heads import Judge

Need = Literal["tumor", "nodes", "ct_reported_n", "center", "radiomics", "crop"]
"""What a method cannot do without: a tumor that was found, examined nodes, the report of a radiologist, the
name of the center; radiomics features and a 3-D crop of the tumor, which are made where a method asks for
them (`cascade.evidence.EvidenceSettings.of`)."""

Cascade = Literal["attention", "none"]
"""Which cascade examined the patients: stage 1 guided by attention, or without (Tab. VI)."""


def _nothing() -> None:
    """Require nothing beside the program itself."""


class Fit(Protocol):
    """How a method learns."""

    def __call__(
        self, train: Sequence[Evidence], validation: Sequence[Evidence], *, seed: int
    ) -> Fitted[Judge]:
        """Learn from patients whose evidence is out of fold; choose the threshold on validation patients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusMethod:
    """One row of Tab. VI, with a network behind it or not.

    Attributes:
        name: as tables print it.
        needs: what a patient must have to be scored.
        fit: how it learns.
        cascade: whose evidence it judges; methods of one table share the patients, not always the nodes.
        require: raises where an optional part of the program is missing, or start weights do not fit; called
            before any work.

    """

    name: str
    needs: tuple[Need, ...]
    fit: Fit
    cascade: Cascade = "attention"
    require: Callable[[], None] = _nothing

    def lacking(self, evidence: Evidence) -> tuple[Need, ...]:
        """Return what a patient lacks of the method's needs."""
        has: dict[Need, bool] = {
            "tumor": evidence.patches is not None,
            "nodes": evidence.is_searched,
            "ct_reported_n": evidence.clinical.ct_reported_n is not None,
            "center": bool(evidence.clinical.center),
            "radiomics": evidence.radiomics is not None,
            "crop": evidence.crop is not None,
        }
        return tuple(need for need in self.needs if not has[need])
