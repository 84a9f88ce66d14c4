"""A patient on the working grid as the stages learn from it (Sec. IV-A.2)."""

from dataclasses import dataclass, field
from typing import Protocol

from lymphct.attention.bands import Bands
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.core.patient import UNKNOWN, Clinical, Multiphase, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume


class Prepared(Protocol):
    """One patient, both phases on one grid; what was not drawn is None. Images may be memory maps."""

    @property
    def patient_id(self) -> str:
        """Pseudonymous id."""

    @property
    def clinical(self) -> Clinical:
        """What the manifest says."""

    @property
    def ct(self) -> Multiphase:
        """Both phases, HU, int16."""

    @property
    def structures(self) -> Volume | None:
        """Label map of the drawn structures."""

    @property
    def tumor(self) -> Volume | None:
        """Mask of the drawn tumor, above 0 inside."""

    @property
    def instances(self) -> Volume | None:
        """Instance map of the drawn lymph nodes."""

    @property
    def nodes(self) -> NodeMap | None:
        """Drawn lymph nodes, measured."""

    @property
    def unjudged(self) -> Volume | None:
        """Where nobody looked, a bit per mask (`core.unjudged`); None where everything was looked at."""

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""

    def attention(self, bands: Bands, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures (Eq. 1, Eq. 2); None without them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedPatient:
    """A `Prepared` patient held in memory.

    Attributes:
        patient_id: pseudonymous id.
        ct: HU, int16.
        structures: label map; None where nobody drew.
        tumor: mask; None likewise.
        nodes: drawn lymph nodes; None likewise.
        clinical: what the manifest says.
        unjudged: where nobody looked, a bit per mask; None where everything was looked at.
        labelled: structures that were drawn; None for all.

    """

    patient_id: str
    ct: Multiphase
    structures: Volume | None = None
    tumor: Volume | None = None
    nodes: NodeMap | None = None
    clinical: Clinical = UNKNOWN
    unjudged: Volume | None = None
    labelled: tuple[Structure, ...] | None = None
    _attention: dict[object, Volume] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def instances(self) -> Volume | None:
        """Instance map of the drawn lymph nodes."""
        return None if self.nodes is None else self.nodes.instances

    def attention(self, bands: Bands, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures, computed once (Eq. 1, Eq. 2)."""
        if self.structures is None:
            return None
        key = (tuple(bands.items()), settings)
        if key not in self._attention:
            self._attention[key] = guiding_attention(self.structures, self.tumor, bands, settings)
        return self._attention[key]
