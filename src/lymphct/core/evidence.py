"""What a cascade hands to the patient level: the tumor as patches, each lymph node with all that is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lymphct.core.arrays import DoubleArray, FloatArray
from lymphct.core.errors import InputError
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Node


class Patches(Protocol):
    """Patches (n, 3, h, w), or a box (3, k, j, i), in memory or read from the disk when indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Four numbers."""

    @property
    def ndim(self) -> int:
        """Four."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> FloatArray: ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """One patient as the models of one cascade see him; heads turn it into a score (Sec. III-B).

    Attributes:
        patient: pseudonymous id.
        patches: (n, 3, h, w) arterial, venous and tumor mask around the tumor, normalised; None
            where no tumor was found.
        tumor_volume: mm³, 0 where no tumor was found.
        nodes: called lymph nodes, each with volume, probability, place and HU; none where none was found.
        features: (nodes, 7) volume and density of each node as stage 2 reads them, NaN where missing.
        clinical: what the manifest says; the N status is the truth a head learns from.
        fitted_on: everybody the models behind this evidence learned from.
        is_searched: whether nodes were looked for: not without a guiding structure.
        radiomics: features of the tumor in both phases by name, NaN where one is not defined; None where they
            were not asked for, without a tumor large enough, or without both phases.
        crop: (3, k, j, i) arterial, venous and tumor mask in a box around the tumor, normalised; None where
            it was not asked for or no tumor was found.

    Raises:
        InputError: nodes and features do not belong together.

    """

    patient: str
    patches: Patches | None
    tumor_volume: float
    nodes: tuple[Node, ...]
    features: DoubleArray
    clinical: Clinical
    fitted_on: FittedOn
    is_searched: bool = True
    radiomics: Mapping[str, float] | None = None
    crop: Patches | None = None

    def __post_init__(self) -> None:
        if len(self.features) != len(self.nodes):
            msg = f"{len(self.nodes)} lymph nodes come with the features of {len(self.features)}"
            raise InputError(msg, code="E_EVIDENCE", cure="examine the patient again").at(
                patient=self.patient
            )


def require_out_of_fold(evidence: Sequence[Evidence]) -> None:
    """Refuse evidence by models that learned from the patient himself.

    Such models show a head better nodes and masks than any new patient will have (decision 0006).

    Raises:
        LeakageError: some of it is.

    """
    for item in evidence:
        item.fitted_on.require_unseen(item.patient)
