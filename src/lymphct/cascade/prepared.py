"""A patient on the working grid as the stages learn from it (Sec. IV-A.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from lymphct.attention.mapping import guiding_attention
from lymphct.attention.prior import Prior, prior_key
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.core.arrays import IntArray
from lymphct.core.patient import UNKNOWN, Clinical, Multiphase, Node, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import HeldVolume, StoredVolume, Volume
from lymphct.imaging.locations import class_locations, lit_locations

ImageName = Literal["venous", "arterial", "structures", "tumor", "nodes", "unjudged"]
"""An image of a prepared patient: a phase (HU, int16), a label map, a mask, an instance map, and
where nobody looked for what (`core.unjudged`)."""


class Prepared(Protocol):
    """One patient, everything on one grid; what was not drawn is None.

    Whole images may be read from a disk each time they are asked for; `view` reads boxes of them.
    """

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
    def node_records(self) -> tuple[Node, ...]:
        """Number and class of each drawn lymph node; nothing is measured and no image is read."""

    @property
    def unjudged(self) -> Volume | None:
        """Where nobody looked, a bit per mask (`core.unjudged`); None where everything was looked at."""

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return the exact attention map of the drawn structures (Eq. 1, Eq. 2); None without them."""

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of; None where the patient has none."""

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return the attention map as bytes, see `attention.storing`; None without structures."""

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class, or of each lymph node, see `imaging.locations.class_locations`.

        Empty where nobody drew.
        """

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return voxels with attention, see `imaging.locations.lit_locations`; none without structures."""


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

    @property
    def node_records(self) -> tuple[Node, ...]:
        """Drawn lymph nodes."""
        return () if self.nodes is None else self.nodes.nodes

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures, computed once (Eq. 1, Eq. 2)."""
        if self.structures is None:
            return None
        key = (prior_key(prior), settings)
        if key not in self._attention:
            self._attention[key] = guiding_attention(self.structures, self.tumor, prior, settings)
        return self._attention[key]

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of."""
        volume = self._image(name)
        return None if volume is None else HeldVolume(volume)

    def _image(self, name: ImageName) -> Volume | None:
        images: Mapping[str, Volume | None] = {
            "venous": self.ct.venous,
            "arterial": self.ct.arterial,
            "structures": self.structures,
            "tumor": self.tumor,
            "nodes": self.instances,
            "unjudged": self.unjudged,
        }
        return images[name]

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return the attention map as bytes, rounded once."""
        attention = self.attention(prior, settings)
        if attention is None:
            return None
        key = ("bytes", prior_key(prior), settings)
        if key not in self._attention:
            self._attention[key] = attention.with_array(as_bytes(attention.array))
        return HeldVolume(self._attention[key])

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class."""
        volume = self._image(name)
        return {} if volume is None else class_locations(volume.array)

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return voxels with attention."""
        attention = self.attention(prior, settings)
        return np.zeros(0, np.int64) if attention is None else lit_locations(attention.array)
