"""What nnU-Net learns of a prepared patient: one label map with consecutive numbers, 255 as `ignore`.

nnU-Net asks for classes 1 … n without a gap; where nobody looked it takes one more number, named `ignore`,
whose voxels its loss leaves out (decision 0044).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from lymphct.cascade.prepared import ImageName, Prepared
from lymphct.core.arrays import BoolArray
from lymphct.core.errors import InputError
from lymphct.core.terms import NodeClass, StageName, Structure
from lymphct.core.unjudged import unjudged_in
from lymphct.core.volume import Volume

Target = Literal["structures", "tumor", "nodes", "node-classes"]
"""What the labels show: organs and vessels, PDAC, lymph nodes as one class, or positive and negative ones."""
TARGETS: Final[tuple[Target, ...]] = get_args(Target)

IGNORE: Final = "ignore"
"""nnU-Net's name of the voxels its loss leaves out."""

STAGE_OF: Final[Mapping[Target, StageName]] = {
    "structures": StageName.STRUCTURES,
    "tumor": StageName.TUMOR,
    "nodes": StageName.NODES,
    "node-classes": StageName.NODES,
}
IMAGE_OF: Final[Mapping[Target, ImageName]] = {
    "structures": "structures",
    "tumor": "tumor",
    "nodes": "nodes",
    "node-classes": "nodes",
}


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set.

    Attributes:
        target: what they are of.
        names: in the order of their numbers, from 1.

    """

    target: Target
    names: tuple[str, ...]

    @property
    def ignored(self) -> int:
        """Number of `ignore`: the one behind the last class, as nnU-Net wants it."""
        return len(self.names) + 1

    def labels(self, *, with_ignore: bool) -> dict[str, int]:
        """Return `labels` of `dataset.json`."""
        named = {name: number for number, name in enumerate(("background", *self.names))}
        return named | ({IGNORE: self.ignored} if with_ignore else {})


def classes_of(target: Target, patients: Sequence[Prepared]) -> Classes:
    """Return the classes that the training patients show: structures that somebody drew, else fixed ones.

    Raises:
        InputError: nobody has any.

    """
    if target == "structures":
        drawn = set[Structure]()
        for patient in patients:
            drawn |= _structures_in(patient)
        if not drawn:
            msg = "no training patient has a structure drawn"
            raise InputError(msg, code="E_NO_LABELS", cure="fill the column structures of the manifest")
        return Classes(target, tuple(structure.label for structure in sorted(drawn)))
    names = {"tumor": ("tumor",), "nodes": ("lymph_node",)}
    if target == "node-classes":
        return Classes(target, tuple(node_class.label for node_class in NodeClass))
    return Classes(target, names[target])


def _structures_in(patient: Prepared) -> set[Structure]:
    there = {Structure(number) for number in patient.locations("structures")}
    return there | set(patient.labelled or ())


def label_map(patient: Prepared, classes: Classes) -> Volume:
    """Return the label map of a patient, uint8; voxels of which nobody said what they are hold `ignored`.

    A structure that is a class but was not drawn in this patient may lie anywhere in the background: there
    the whole background is ignored.

    Raises:
        InputError: the patient has no such mask.

    """
    view = patient.view(IMAGE_OF[classes.target])
    if view is None:
        msg = f"no {IMAGE_OF[classes.target]} mask"
        raise InputError(msg, code="E_NO_LABELS", cure="draw it").at(patient=patient.patient_id)
    drawn = view.whole()
    numbers, unknown = _numbers(drawn, patient, classes)
    if patient.unjudged is not None:
        unknown |= unjudged_in(patient.unjudged.array, STAGE_OF[classes.target])
    numbers[unknown] = classes.ignored
    return drawn.with_array(numbers)


def _numbers(drawn: Volume, patient: Prepared, classes: Classes) -> tuple[np.ndarray, BoolArray]:
    if classes.target == "structures":
        known = {Structure[name.upper()]: number for number, name in enumerate(classes.names, start=1)}
        numbers = _renumbered(drawn, {int(structure): number for structure, number in known.items()})
        labelled = patient.labelled
        is_whole = labelled is None or set(known) <= set(labelled)
        return numbers, np.zeros(numbers.shape, np.bool_) if is_whole else numbers == 0
    if classes.target == "node-classes":
        nodes = patient.node_records
        numbers = _renumbered(drawn, {n.label: int(n.node_class) for n in nodes if n.node_class is not None})
        return numbers, (drawn.array > 0) & (numbers == 0)
    inside = drawn.array > 0
    return inside.astype(np.uint8), np.zeros(inside.shape, np.bool_)


def _renumbered(drawn: Volume, numbers: Mapping[int, int]) -> np.ndarray:
    largest = int(drawn.array.max(initial=0))
    table = np.zeros(max(largest, *numbers, 0) + 1, np.uint8)
    for old, new in numbers.items():
        table[old] = new
    return table[drawn.array]
