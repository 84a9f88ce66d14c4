"""A patient as a network of the arterial phase alone is shown him: the phase as acquired, the tumor on it."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.prepared import ImageName
from lymphct.core.arrays import IntArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import UNKNOWN, Clinical, Multiphase, Node, NodeMap
from lymphct.core.terms import Structure
from lymphct.core.volume import StoredVolume, Volume
from lymphct.io.results.volumes import StoredImages
from lymphct.patients.harvest.arterial_phase import PANCREAS


class ArterialPatient:
    """A patient in the arterial phase as acquired, for networks that see no other, with tumor and pancreas.

    As reference of the grid the arterial phase also stands for the venous one in `ct`; `view` has none.
    """

    def __init__(self, patient_id: str, phase: Path, labels: Path | None = None) -> None:
        """Remember where the phase lies, and the labels of another network on its grid."""
        self.patient_id, self._phase, self._labels = patient_id, phase, labels

    @cached_property
    def _images(self) -> StoredImages:
        return StoredImages(self._phase, self.patient_id)

    @cached_property
    def _masks(self) -> StoredImages:
        return self._images if self._labels is None else StoredImages(self._labels, self.patient_id)

    @property
    def geometry(self) -> Geometry:
        """The grid of the phase."""
        return self._images.geometry

    @property
    def clinical(self) -> Clinical:
        """Nothing is said here."""
        return UNKNOWN

    @property
    def ct(self) -> Multiphase:
        """The arterial phase, HU, int16, in both places."""
        phase = self._images["arterial"].whole()
        return Multiphase(venous=phase, arterial=phase)

    @property
    def structures(self) -> Volume | None:
        """None."""
        return None

    @property
    def tumor(self) -> Volume | None:
        """Mask of the tumor."""
        view = self.view("tumor")
        return None if view is None else view.whole()

    @property
    def pancreas(self) -> Volume | None:
        """Mask of the drawn pancreas."""
        view = self._images.get(PANCREAS)
        return None if view is None else view.whole()

    @property
    def instances(self) -> Volume | None:
        """None."""
        return None

    @property
    def nodes(self) -> NodeMap | None:
        """None."""
        return None

    @property
    def node_records(self) -> tuple[Node, ...]:
        """Nobody's."""
        return ()

    @property
    def unjudged(self) -> Volume | None:
        """Where nothing is taught, a bit per mask."""
        view = self.view("unjudged")
        return None if view is None else view.whole()

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn: none is looked at."""
        return None

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return None."""
        del prior, settings
        return None

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return the phase, the tumor or where nothing is taught, to read boxes of."""
        if name == "arterial":
            return self._images["arterial"]
        return self._masks.get(name) if name in {"tumor", "unjudged"} else None

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return None."""
        del prior, settings
        return None

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of the tumor."""
        return (self._masks.locations(name) or {}) if name == "tumor" and name in self._masks else {}

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return none."""
        del prior, settings
        return np.zeros(0, np.int64)
