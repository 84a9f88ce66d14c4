"""Stage 1 searches whom stage 2 learns from, by networks that did not learn from them (decision 0054).

The training patients are cut into parts; for each a network of stage 1 learns from all the others, then
searches it. Whom the stage 1 of the cascade did not learn from it searches itself: validation patients, and
where it comes from another bundle all who were not in that one's cohort. Each patient's nodes lie in a folder
and are found once; a killed training goes on.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.cascade.cases import Material
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned
from lymphct.cascade.node_candidates import found_in
from lymphct.cascade.parts import Part, Start
from lymphct.cascade.prepared import Prepared
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.terms import StageName
from lymphct.io.results.fingerprints import fingerprint_key
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.volumes import StoredImages, save_volumes, smallest_unsigned
from lymphct.nodes.crops import NEGATIVE, NOT_A_NODE, POSITIVE
from lymphct.nodes.found import FoundNodes, told_apart
from lymphct.nodes.measurement import node_boxes
from lymphct.nodes.network import NodeNetwork
from lymphct.nodes.segmentation import build_node_network
from lymphct.nodes.settings import NodeSegmentationSettings
from lymphct.study.keeping import Checkpoints

logger = logging.getLogger(__name__)

STAGE: Final = StageName.NODES
FOUND_FILE: Final = "found.json"
"""Numbers, boxes and classes of the nodes found in a patient, and the IoU of each with a drawn one."""
FILL: Final = "fill the column nodes of the manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Patients as stage 1 sees them, and all it is made of besides them.

    Attributes:
        patients: by id, those of a store: each knows the digest of what lies on the disk.
        learned: intensities and bands.
        start: settings, seed, device.

    """

    patients: Mapping[str, Prepared]
    learned: Learned
    start: Start

    def digest(self, name: str) -> str:
        """Return the digest of a patient's images and of the masks that guide."""
        found: str = self.patients[name].digest  # type: ignore[attr-defined] # see `patients`
        return found


@dataclass(frozen=True, kw_only=True)
class Search:
    """A stage 1 that learned from some patients and searches others.

    Attributes:
        folder: receives a folder per patient it searches.
        seen: the patients.
        roles: from whom it learns, and who chooses its epoch.
        training: folder of its checkpoints.
        own: a network that is trained already; None trains one when it is first needed.

    """

    folder: Path
    seen: Seen
    roles: Roles
    training: Path
    own: Part | None = None

    @cached_property
    def part(self) -> Part:
        """The network, trained first unless that was done."""
        if self.own is not None:
            return self.own
        seen = self.seen
        logger.info(
            "stage nodes, to search %s: learns from %d patients", self.folder.name, len(self.roles.train)
        )
        keep = Checkpoints.open(self.training, resume=True)
        plain = replace(seen.start, parts={}, found=None, weights=None)
        return fit_stage(STAGES[STAGE], seen.patients, self.roles, seen.learned, plain, keep)

    @cached_property
    def network(self) -> NodeNetwork:
        """The network as a bundle would give it back."""
        network = build_node_network(self.settings)
        network.load_state_dict(dict(self.part.weights))
        return network.to(self.seen.start.device).eval()

    @property
    def settings(self) -> NodeSegmentationSettings:
        """Its settings, with the operating point that validation patients chose."""
        return NodeSegmentationSettings.model_validate(self.part.settings.model_dump())

    @cached_property
    def taught_by(self) -> FittedOn:
        """Everybody the network can have learned from; it need not be trained to know."""
        return FittedOn.of(self.roles.train) if self.own is None else self.own.train

    @cached_property
    def lesson(self) -> str:
        """Digest of everything the network is made of; it need not be trained to know."""
        start = self.seen.start
        config = start.config.model_dump(mode="json")
        known: dict[str, JSON] = {
            "train": [self.seen.digest(name) for name in self.roles.train],
            "validation": [self.seen.digest(name) for name in self.roles.validation],
            "settings": {name: config[name] for name in ("attention", "imaging", "nodes", "cascade")},
            "seed": start.seed,
            "own": "" if self.own is None else _digest_of(self.own),
        }
        return fingerprint_key(known)

    def place(self, name: str) -> Path:
        """Return the folder of what is found in a patient, found first unless it is there.

        Raises:
            LeakageError: the network learned from the patient.

        """
        self.taught_by.require_unseen(name)
        iou = self.seen.start.config.identification.found.iou
        recipe = Recipe(
            inputs={"patient": self.seen.digest(name), "lesson": self.lesson},
            settings={"iou": iou},
            code=("study.found_nodes",),
        )
        return made(self.folder / name, recipe, partial(self._write, name=name, iou=iou))

    def _write(self, folder: Path, *, name: str, iou: float) -> None:
        seen = self.seen
        material = Material(patients=seen.patients, learned=seen.learned, config=seen.start.config)
        truth = seen.patients[name].nodes
        if truth is None:
            msg = f"{name} has no drawn lymph nodes to tell the found ones apart by"
            raise InputError(msg, code="E_NO_NODES", cure=FILL)
        found = found_in(self.network, self.settings, material, name)
        record: dict[str, JSON] = {"labels": [], "boxes": [], "classes": [], "ious": []}
        if found is not None and found.nodes:
            array = smallest_unsigned(found.instances.array)
            save_volumes(folder, {"nodes": found.instances.with_array(array)})
            boxes = node_boxes(found.instances.array)
            told = told_apart(found, truth, iou=iou)
            record = {
                "labels": [node.label for node in found.nodes],
                "boxes": [[[s.start, s.stop] for s in boxes[node.label]] for node in found.nodes],
                "classes": list(told.classes),
                "ious": list(told.ious),
            }
        write_json(folder / FOUND_FILE, record)

    def found(self, name: str) -> FoundNodes | None:
        """Return what is found in a patient; None where nothing is, or nothing guides.

        Raises:
            LeakageError: the network learned from the patient.

        """
        place = self.place(name)
        stored: Any = read_json(place / FOUND_FILE)  # written by `_write`
        if not stored["labels"]:
            return None
        return FoundNodes(
            patient=name,
            instances=StoredImages(place, name)["nodes"],
            labels=tuple(stored["labels"]),
            boxes=tuple((slice(*i), slice(*j), slice(*k)) for i, j, k in stored["boxes"]),
            classes=tuple(stored["classes"]),
            ious=tuple(stored["ious"]),
            fitted_on=self.taught_by,
        )


def _digest_of(part: Part) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(part.weights.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def search_out_of_fold(folder: Path, seen: Seen, roles: Roles) -> dict[str, FoundNodes]:
    """Return what stage 1 finds in everybody with drawn nodes, by networks that did not learn from them.

    Args:
        folder: keeps networks and nodes.
        seen: patients, and what stage 1 is made of; `start.parts` has the cascade's own stage 1, which
            searches whom it does not know.
        roles: of stage 2.

    Raises:
        InputError: too few training patients have drawn nodes.

    """
    drawn = [name for name in roles.train if seen.patients[name].view("nodes") is not None]
    own = seen.start.parts[STAGE]
    known = [name for name in drawn if name in own.train or name in own.validation]
    count = seen.start.config.identification.found.folds
    if known and len(known) < count:
        msg = f"{len(known)} training patients have drawn lymph nodes; they are searched in {count} parts"
        raise InputError(msg, code="E_NO_LABELS", cure=f"{FILL}, or lower identification.found.folds")
    result: dict[str, FoundNodes] = {}
    for number, part in enumerate(parts_of(known, count, seen.start.seed), start=1):
        others = tuple(name for name in roles.train if name not in part)
        search = Search(
            folder=folder / f"part-{number}",
            seen=seen,
            roles=Roles(train=others, validation=roles.validation),
            training=folder / f"part-{number}-stages" / STAGE,
        )
        result |= _all_found(search, part)
    judges = [name for name in roles.validation if seen.patients[name].view("nodes") is not None]
    new = [name for name in drawn if name not in known]
    for names, where in ((new, "new"), (judges, "validation")):
        last = Search(folder=folder / where, seen=seen, roles=roles, training=folder, own=own)
        result |= _all_found(last, names)
    counts = Counter(number for name in drawn if name in result for number in result[name].classes)
    logger.info(
        "stage 1 finds %d positive and %d negative lymph nodes in %d training patients, and %d that are none",
        counts[POSITIVE], counts[NEGATIVE], len(drawn), counts[NOT_A_NODE],
    )  # fmt: skip
    return result


def parts_of(ids: Sequence[str], count: int, seed: int) -> list[list[str]]:
    """Cut ids into parts of equal size, whatever their order; the same seed gives the same parts."""
    ordered = sorted(ids)
    order = np.random.default_rng((seed, len(ordered), count)).permutation(len(ordered))
    return [sorted(ordered[n] for n in order[number::count]) for number in range(count)]


def _all_found(search: Search, names: Sequence[str]) -> dict[str, FoundNodes]:
    found = {name: search.found(name) for name in names}
    return {name: nodes for name, nodes in found.items() if nodes is not None}
