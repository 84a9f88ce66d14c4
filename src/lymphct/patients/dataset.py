"""The prepared patients of a store as a mapping: opened when asked for, only the last few stay open."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.attention.bands import Bands
from lymphct.attention.settings import AttentionSettings
from lymphct.core.errors import InputError
from lymphct.core.patient import UNKNOWN, Clinical, Multiphase, Node, NodeMap
from lymphct.core.terms import STRUCTURES_BY_NAME, NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.io.manifest import PatientRecord
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.made import key_of
from lymphct.io.results.volumes import load_volumes
from lymphct.nodes.measurement import measure_nodes
from lymphct.patients.guidance import Guidance, guiding_volumes
from lymphct.patients.preparation import LABELLED_FILE, NODES_FILE, Preparation, Store

OPEN_PATIENTS: Final = 32
"""How many patients keep their files open; each has up to six."""


class StoredPatient:
    """A prepared patient on disk; its images are read-only memory maps, opened on first use."""

    def __init__(self, patient_id: str, images: Path, clinical: Clinical = UNKNOWN) -> None:
        """Remember where the images lie; nothing is read yet."""
        self.patient_id, self.images, self.clinical = patient_id, images, clinical
        self._attention: dict[object, Volume | None] = {}

    @cached_property
    def _volumes(self) -> dict[str, Volume]:
        return load_volumes(self.images)

    @property
    def digest(self) -> str:
        """Key of the images: it covers the files they were made from, the settings and the code."""
        return key_of(self.images)

    @property
    def ct(self) -> Multiphase:
        """Both phases, HU, int16."""
        return Multiphase(venous=self._volumes["venous"], arterial=self._volumes.get("arterial"))

    @property
    def structures(self) -> Volume | None:
        """Label map of the drawn structures."""
        return self._volumes.get("structures")

    @property
    def tumor(self) -> Volume | None:
        """Mask of the drawn tumor."""
        return self._volumes.get("tumor")

    @property
    def instances(self) -> Volume | None:
        """Instance map of the drawn lymph nodes."""
        return self._volumes.get("nodes")

    @property
    def unjudged(self) -> Volume | None:
        """Where nobody looked, a bit per mask (`core.unjudged`)."""
        return self._volumes.get("unjudged")

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Structures that were drawn; None for all."""
        names: Any = read_json(path) if (path := self.images / LABELLED_FILE).exists() else None
        return None if names is None else tuple(STRUCTURES_BY_NAME[name] for name in names)

    @cached_property
    def nodes(self) -> NodeMap | None:
        """Drawn lymph nodes, measured on first use."""
        if self.instances is None:
            return None
        drawn = NodeMap(instances=self.instances, nodes=_read_nodes(self.images))
        blank = self.instances.with_array(np.zeros(self.instances.geometry.shape, np.uint8))
        return measure_nodes(drawn, self.ct, blank if self.structures is None else self.structures)

    @property
    def node_classes(self) -> tuple[NodeClass | None, ...]:
        """Class of each drawn lymph node, without opening an image; None where nobody said one."""
        return tuple(node.node_class for node in _read_nodes(self.images))

    def attention(self, bands: Bands, settings: AttentionSettings) -> Volume | None:
        """Return the attention map of the drawn structures, kept in the store (Eq. 1, Eq. 2)."""
        key = (tuple(bands.items()), settings)
        if key not in self._attention:
            guidance = Guidance(bands=bands, attention=settings)
            self._attention[key] = guiding_volumes(self, guidance).get("attention")
        return self._attention[key]


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
        """Return a patient; the files of the one that was not used for longest are let go.

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
        """Travel to another process without open files."""
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
