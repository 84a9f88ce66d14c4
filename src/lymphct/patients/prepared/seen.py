"""A prepared patient of whom some images are seen otherwise than they were drawn."""

from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.core.arrays import IntArray
from lymphct.core.patient import Clinical, Multiphase, Node, NodeMap
from lymphct.core.volume import StoredVolume, Volume
from lymphct.patients.prepared.dataset import StoredPatient


class SeenPatient:
    """What stays as it is stored, whoever's structures and tumor the patient is seen with."""

    def __init__(self, stored: StoredPatient) -> None:
        """Remember the patient."""
        self.stored = stored

    @property
    def patient_id(self) -> str:
        """Pseudonymous id."""
        return self.stored.patient_id

    @property
    def clinical(self) -> Clinical:
        """What the manifest says."""
        return self.stored.clinical

    @property
    def ct(self) -> Multiphase:
        """Both phases, HU, int16."""
        return self.stored.ct

    @property
    def instances(self) -> Volume | None:
        """Instance map of the drawn lymph nodes."""
        return self.stored.instances

    @property
    def nodes(self) -> NodeMap | None:
        """Drawn lymph nodes, measured."""
        return self.stored.nodes

    @property
    def node_records(self) -> tuple[Node, ...]:
        """Number and class of each drawn lymph node."""
        return self.stored.node_records

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures (Eq. 1, Eq. 2)."""
        return self.stored.attention(prior, settings)

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return the same as bytes."""
        return self.stored.attention_view(prior, settings)

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return its voxels."""
        return self.stored.attention_locations(prior, settings)
