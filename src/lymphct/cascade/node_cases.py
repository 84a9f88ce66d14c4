"""Lymph nodes as stage 2 is shown them: as drawn, and as stage 1 found them (Sec. III-A.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from lymphct.attention.mapping import guided_by
from lymphct.cascade.cases import (
    Material,
    as_stored,
    lazy_image,
    lazy_view,
    normalized_view,
    require_view,
)
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.sight import CHANNELS
from lymphct.core.arrays import DoubleArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Node, NodeMap
from lymphct.core.terms import StageName
from lymphct.core.volume import StoredVolume, Volume
from lymphct.learning.windows import Box, lit_box
from lymphct.nodes.crops import (
    NEGATIVE,
    NOT_A_NODE,
    POSITIVE,
    UNKNOWN,
    IdentificationCase,
    class_number,
    drawn_ious,
)
from lymphct.nodes.features import feature_set_of, features_in_box
from lymphct.nodes.found import FoundNodes
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.place_features import place_features

AROUND: Final = 4
"""Voxels by which the box of a lymph node grows until nothing of it lies at its faces."""


def identification_cases(material: Material, ids: Sequence[str]) -> list[IdentificationCase]:
    """Return the drawn lymph nodes of the patients who have some, in the order of `ids` (Sec. III-A.2).

    Of the images only the box of each node is read, with the margin that its features ask for; all of them
    where the place of a node is among these.

    Raises:
        InputError: a record without a voxel in the map.

    """
    return [_identification_case(material, name) for name in ids if material.patients[name].node_records]


def _identification_case(material: Material, name: str) -> IdentificationCase:
    nodes = material.patients[name].node_records
    drawn, voxels = (
        require_view(material.patients[name].view("nodes")),
        material.patients[name].locations("nodes"),
    )
    boxes = []
    for node in nodes:
        if node.label not in voxels:
            msg = f"lymph node {node.label} has no voxel in the map"
            cure = "let records and instance map name the same nodes"
            raise InputError(msg, code="E_LABELS", cure=cure).at(patient=name)
        boxes.append(box_of_label(drawn, node.label, voxels[node.label]))
    classes = tuple(class_number(node) for node in nodes)
    shown = _Shown(
        labels=tuple(node.label for node in nodes),
        classes=classes,
        ious=drawn_ious(classes),
        boxes=tuple(boxes),
        find=partial(_instances, material, name),
    )
    return _case_of(material, name, shown)


def found_cases(material: Material, found: Sequence[FoundNodes]) -> list[IdentificationCase]:
    """Return nodes as stage 1 found them in patients it did not learn from (decision 0054).

    Those of unknown class, and with two classes those that are no lymph nodes, are left out; or teach the IoU
    of their masks alone, where the network predicts it (decision 0061).
    """
    head = material.config.identification.head
    is_said = {NEGATIVE, POSITIVE} | ({NOT_A_NODE} if head.classes == 3 else set())
    cases = []
    for each in found:
        kept = [n for n, number in enumerate(each.classes) if number in is_said or head.predict_iou]
        if kept:
            shown = _Shown(
                labels=tuple(each.labels[n] for n in kept),
                classes=tuple(each.classes[n] if each.classes[n] in is_said else UNKNOWN for n in kept),
                ious=tuple(each.ious[n] for n in kept),
                boxes=tuple(each.boxes[n] for n in kept),
                find=partial(_found_instances, each),
            )
            cases.append(_case_of(material, each.patient, shown))
    return cases


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Nodes of a patient that stage 2 is shown; boxes along i, j, k."""

    labels: tuple[int, ...]
    classes: tuple[int, ...]
    ious: tuple[float, ...]
    boxes: tuple[Box, ...]
    find: Callable[[], StoredVolume | None]


def _case_of(material: Material, name: str, shown: _Shown) -> IdentificationCase:
    patient, intensity = material.patients[name], material.intensity(name, StageName.IDENTIFICATION)
    instances = require_view(shown.find())
    phases = [patient.view(phase.value) for phase in CHANNELS]
    feature_set = feature_set_of(material.config.identification.head)
    spacing, rows = instances.geometry.spacing, []
    for label, box in zip(shown.labels, shown.boxes, strict=True):
        around = feature_set.reach(box, instances.geometry.shape, spacing)
        hu = [None if phase is None else phase.read(around) for phase in phases]
        rows.append(features_in_box(instances.read(around), label, hu, spacing, feature_set))
    features = np.array(rows, dtype=np.float64).reshape(-1, len(feature_set.names))
    if feature_set.place:
        features = np.hstack([features, _places(patient, instances.whole(), shown.labels)])
    return IdentificationCase(
        patient=name,
        image=normalized_view(lazy_image(material, name), intensity),
        instances=lazy_view(shown.find, as_stored),
        boxes=tuple((box[2], box[1], box[0]) for box in shown.boxes),
        labels=shown.labels,
        classes=shown.classes,
        features=features,
        ious=shown.ious,
        fill=tuple(0.0 if s is None else s.fill for s in intensity),
        feature_set=feature_set,
    )


def _places(patient: Prepared, instances: Volume, labels: Sequence[int]) -> DoubleArray:
    """Return where each node lies among the masks that guide stage 1, measured as in prediction.

    Distances are missing in a patient without structures.
    """
    nodes = NodeMap(
        instances=instances,
        nodes=tuple(Node(label=label, volume=0.0, center=(0.0, 0.0, 0.0)) for label in labels),
    )
    structures, tumor = patient.structures, patient.tumor
    guiding = (
        instances.with_array(np.zeros(instances.geometry.shape, np.uint8))
        if structures is None
        else guided_by(structures, tumor)
    )
    return place_features(measure_nodes(nodes, patient.ct, guiding, tumor).nodes)


def box_of_label(view: StoredVolume, label: int, voxels: IntArray) -> Box:
    """Return the smallest box of a label, of which not all voxels need be known.

    Args:
        view: label map.
        label: that occurs in it.
        voxels: of the label, flat indices in C order of (k, j, i); the box around them grows by `AROUND`
            voxels at a time as long as it is touched from inside.

    """
    shape = view.geometry.shape
    places = np.unravel_index(voxels, shape[::-1])[::-1]
    box = [(int(place.min()), int(place.max()) + 1) for place in places]
    while True:
        wide = [
            (max(low - AROUND, 0), min(high + AROUND, n)) for (low, high), n in zip(box, shape, strict=True)
        ]
        i, j, k = (slice(low, high) for low, high in wide)
        found = lit_box(view.read((i, j, k)) == label) or (slice(0, 1),) * 3
        box = [(low + part.start, low + part.stop) for (low, _), part in zip(wide, found, strict=True)]
        is_open = [
            (low == first and first > 0) or (high == last and last < n)
            for (low, high), (first, last), n in zip(box, wide, shape, strict=True)
        ]
        if not any(is_open):
            i, j, k = (slice(low, high) for low, high in box)
            return i, j, k


def _instances(material: Material, patient_id: str) -> StoredVolume | None:
    return material.patients[patient_id].view("nodes")


def _found_instances(found: FoundNodes) -> StoredVolume:
    return found.instances
