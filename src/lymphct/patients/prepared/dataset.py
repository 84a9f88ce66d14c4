"""The prepared patients of a store as a mapping: looked at when asked for, read in boxes or as a whole."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.attention.mapping import guiding_attention
from lymphct.attention.prior import Prior, prior_key
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.prepared import ImageName
from lymphct.core.arrays import IntArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import UNKNOWN, Clinical, Multiphase, Node, NodeMap
from lymphct.core.terms import STRUCTURES_BY_NAME, NodeClass, Structure
from lymphct.core.volume import StoredVolume, Volume
from lymphct.imaging.locations import class_locations
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.known import damaged
from lymphct.io.results.made import key_of
from lymphct.io.results.volumes import GRID_FILE, Crop, StoredImages
from lymphct.nodes.measurement import measure_nodes
from lymphct.patients.prepared.files import LABELLED_FILE, NODES_FILE, SOURCES_FILE
from lymphct.patients.prepared.guidance import Guidance, StoredGuidance, guidances, stored_guidance
from lymphct.patients.prepared.preparation import Preparation, Store

OPEN_PATIENTS: Final = 1024
"""How many patients are remembered, each by the tables of its files: about 50 kB, no voxel, no open file."""


class StoredPatient:
    """A prepared patient on disk. Whole images are read anew each time they are asked for; none is kept."""

    def __init__(self, patient_id: str, images: Path, clinical: Clinical = UNKNOWN) -> None:
        """Remember where the images lie; nothing is read yet."""
        self.patient_id, self.images, self.clinical = patient_id, images, clinical
        self._guidance: dict[object, StoredGuidance] = {}

    @cached_property
    def _stored(self) -> StoredImages:
        return StoredImages(self.images, self.patient_id)

    @property
    def digest(self) -> str:
        """Key of the images: it covers the files they were made from, the settings and the code."""
        return key_of(self.images)

    @property
    def crop(self) -> Crop | None:
        """The whole working grid, and which of its voxels is the first of the images."""
        return self._stored.crop

    @property
    def geometry(self) -> Geometry:
        """The grid of the images."""
        return self._stored.geometry

    @property
    def ct(self) -> Multiphase:
        """Both phases, HU, int16."""
        venous = self._whole("venous")
        if venous is None:
            raise damaged(self.images / GRID_FILE, self.patient_id)
        return Multiphase(venous=venous, arterial=self._whole("arterial"))

    @property
    def structures(self) -> Volume | None:
        """Label map of the drawn structures."""
        return self._whole("structures")

    @property
    def tumor(self) -> Volume | None:
        """Mask of the drawn tumor."""
        return self._whole("tumor")

    @property
    def instances(self) -> Volume | None:
        """Instance map of the drawn lymph nodes, int32."""
        volume = self._whole("nodes")
        return None if volume is None else volume.with_array(volume.array.astype(np.int32))

    @property
    def unjudged(self) -> Volume | None:
        """Where nobody looked, a bit per mask (`core.unjudged`)."""
        return self._whole("unjudged")

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""
        names: Any = read_json(path) if (path := self.images / LABELLED_FILE).exists() else None
        return None if names is None else tuple(STRUCTURES_BY_NAME[name] for name in names)

    @property
    def structure_sources(self) -> Mapping[Structure, str]:
        """Who gave each structure, by the names of sources; empty where the masks do not say so."""
        told: Any = read_json(path) if (path := self.images / SOURCES_FILE).exists() else {}
        return {STRUCTURES_BY_NAME[name]: source for name, source in told.items()}

    @property
    def nodes(self) -> NodeMap | None:
        """Drawn lymph nodes, measured on first use."""
        instances = self.instances
        return None if instances is None else NodeMap(instances=instances, nodes=self._measured)

    @cached_property
    def _measured(self) -> tuple[Node, ...]:
        instances, structures = self.instances, self.structures
        if instances is None:
            return ()
        drawn = NodeMap(instances=instances, nodes=_read_nodes(self.images))
        if structures is None:
            structures = instances.with_array(np.zeros(instances.geometry.shape, np.uint8))
        return measure_nodes(drawn, self.ct, structures).nodes

    @property
    def node_records(self) -> tuple[Node, ...]:
        """Number and class of each drawn lymph node, without opening an image."""
        return () if self.view("nodes") is None else _read_nodes(self.images)

    @property
    def node_classes(self) -> tuple[NodeClass | None, ...]:
        """Class of each drawn lymph node, without opening an image; None where nobody said one."""
        return tuple(node.node_class for node in _read_nodes(self.images))

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        """Return the exact attention map of the drawn structures, computed anew (Eq. 1, Eq. 2)."""
        structures = self.structures
        return None if structures is None else guiding_attention(structures, self.tumor, prior, settings)

    def view(self, name: ImageName) -> StoredVolume | None:
        """Return an image to read boxes of."""
        return self._stored.get(name)

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        """Return the attention map of the drawn structures as bytes, kept in the store."""
        return self._of_drawn(prior, settings).attention

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        """Return voxels of each class, as they were drawn when the patient was prepared."""
        found = self._stored.locations(name)
        if found is None:  # stored without them
            volume = self._whole(name)
            found = {} if volume is None else class_locations(volume.array)
        return found

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        """Return voxels with attention, as they were drawn when it was mapped."""
        return self._of_drawn(prior, settings).attention_locations

    def guidance(self, guidance: Guidance) -> StoredGuidance:
        """Return structures and tumor as a bundle's networks complete them, and their attention.

        Made first where it is not there yet.

        Raises:
            InputError, ModelError: as `patients.prepared.guidance.guide_patient`.

        """
        return stored_guidance(self, guidance)

    def guidances(self) -> tuple[StoredGuidance, ...]:
        """Return every such guidance that the store holds of this patient; each names its bundle's digest."""
        return guidances(self)

    def _of_drawn(self, prior: Prior, settings: AttentionSettings) -> StoredGuidance:
        key = (prior_key(prior), settings)
        if key not in self._guidance:
            self._guidance[key] = stored_guidance(self, Guidance(prior=prior, attention=settings))
        return self._guidance[key]

    def _whole(self, name: ImageName) -> Volume | None:
        view = self.view(name)
        return None if view is None else view.whole()


def _read_nodes(images: Path) -> tuple[Node, ...]:
    classes = {node_class.label: node_class for node_class in NodeClass}
    records: Any = read_json(images / NODES_FILE)  # written by `preparation`
    return tuple(
        Node(
            label=entry["label"],
            volume=0.0,
            center=(0.0, 0.0, 0.0),
            node_class=classes.get(entry["class"]),
            station=entry["station"],
        )
        for entry in records
    )


class PreparedCohort(Mapping[str, StoredPatient]):
    """Patients of a store by id, in the order of their ids; it belongs to no run."""

    def __init__(self, store: Store, clinical: Mapping[str, Clinical]) -> None:
        """Name the patients; whether they are prepared shows when one is opened.

        Args:
            store: where they lie.
            clinical: what the manifest says of each.

        """
        self.store = store
        self.clinical = dict(sorted(clinical.items()))
        self._open: OrderedDict[str, StoredPatient] = OrderedDict()

    def __getitem__(self, patient_id: str) -> StoredPatient:
        """Return a patient; the one that was not used for longest is let go.

        Raises:
            KeyError: nobody of that id.
            InputError: the patient is not prepared.

        """
        if patient_id not in self._open:
            clinical = self.clinical[patient_id]
            images = self.store.place(patient_id)
            if not images.is_dir():
                msg = "the patient is not prepared"
                raise InputError(msg, code="E_NOT_PREPARED", cure="run lymphct prepare").at(
                    patient=patient_id
                )
            self._open[patient_id] = StoredPatient(patient_id, images, clinical)
        self._open.move_to_end(patient_id)
        while len(self._open) > OPEN_PATIENTS:
            self._open.popitem(last=False)
        return self._open[patient_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self.clinical)

    def __len__(self) -> int:
        return len(self.clinical)

    @property
    def drawn_nodes(self) -> dict[str, tuple[NodeClass | None, ...]]:
        """Class of each drawn lymph node, by patient; nobody's images are opened."""
        return {name: self[name].node_classes for name in self}

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without what was looked at."""
        return {**self.__dict__, "_open": OrderedDict()}


def clinical_of(record: PatientRecord) -> Clinical:
    """Return what a line of a manifest says of the patient."""
    reported = {"0": 0, "1": 1}.get(record.cells.get("ct_reported_n", ""))
    return Clinical(
        n_status=record.n_status,
        ct_reported_n=reported,
        tumor_location=record.tumor_location,
        center=record.center,
    )


def prepared_cohort(preparation: Preparation, records: Sequence[PatientRecord]) -> PreparedCohort:
    """Return the patients of a manifest who take part, as they lie in the store."""
    clinical = {r.patient_id: clinical_of(r) for r in records if not r.is_excluded}
    return PreparedCohort(preparation.store, clinical)
