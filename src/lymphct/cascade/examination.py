"""The stages of Fig. 2 on the working grid, from both phases to the called lymph nodes (Sec. III-A)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import NoReturn

import numpy as np

from lymphct.anatomy.structures import segment_structures
from lymphct.anatomy.tumor import segment_tumor
from lymphct.attention.mapping import guided_by, prior_map, structures_present
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.description import BundleInfo
from lymphct.cascade.models import Models
from lymphct.core.errors import InputError, ModelError
from lymphct.core.patient import Multiphase, Node, NodeMap
from lymphct.core.terms import Source, StageName, Structure
from lymphct.core.volume import Volume
from lymphct.nodes.calling import identify_nodes
from lymphct.nodes.measurement import measure_nodes
from lymphct.nodes.plausibility import flag_implausible
from lymphct.nodes.segmentation import segment_nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a user brings instead of leaving it to the networks; on the working grid.

    Attributes:
        structures: label map; None lets the network draw it.
        tumor: mask; None likewise.
        nodes: drawn lymph nodes; None lets stage 1 find them.
        fill_structures: let the network add structures the label map lacks.

    """

    structures: Volume | None = None
    tumor: Volume | None = None
    nodes: NodeMap | None = None
    fill_structures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the cascade sees in one patient; everything on the working grid.

    Attributes:
        ct: both phases, HU.
        structures: label map.
        tumor: mask.
        attention: values in [0, 1].
        used: guiding structures present.
        nodes: called lymph nodes.
        searched: False when no guiding structure was present and no nodes were given.

    """

    ct: Multiphase
    structures: Volume
    tumor: Volume
    attention: Volume
    used: tuple[Structure, ...]
    nodes: NodeMap
    searched: bool


@dataclass(slots=True)
class Stopwatch:
    """Wall seconds per stage; tells whoever wants to know which one begins."""

    seconds: dict[str, float] = field(default_factory=dict)
    begun: Callable[[str], None] | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        if self.begun is not None:
            self.begun(name)
        began = perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + perf_counter() - began, 3)


def examine(
    ct: Multiphase, given: Given, models: Models, settings: AttentionSettings, watch: Stopwatch
) -> Findings:
    """Follow Fig. 2 from aligned phases to called lymph nodes; each network sees them its way."""
    with watch.stage(StageName.STRUCTURES):
        structures = find_structures(ct, given, models)  # Sec. III-A.1
    with watch.stage(StageName.TUMOR):
        tumor = find_tumor(ct, structures, given, models)  # Sec. IV-B
    with watch.stage("attention"):
        guiding = guided_by(structures, tumor)
        attention = prior_map(guiding, tumor, models.prior, models.attending(settings))  # Eq. 1, Eq. 2
    used = structures_present(guiding)
    with watch.stage(StageName.NODES):
        nodes = find_nodes(ct, attention, given, models) if used or given.nodes else no_nodes(ct)
    with watch.stage(StageName.IDENTIFICATION):
        nodes = measure_nodes(nodes, ct, guiding, tumor)
        nodes = flag_implausible(call_nodes(ct, nodes, models), ct.venous)  # Sec. III-A.2
    return Findings(
        ct=ct,
        structures=structures,
        tumor=tumor,
        attention=attention,
        used=used,
        nodes=nodes,
        searched=bool(used) or given.nodes is not None,
    )


def require_phases(patient_id: str, arterial: Volume | None, models: Models) -> None:
    """Refuse a patient without arterial phase when the networks never saw one (decision 0012).

    Raises:
        InputError: that is so.

    """
    if arterial is None and models.info.needs_arterial:
        msg = "the arterial phase is missing and the bundle was trained with both phases"
        cure = "give --arterial, or a bundle trained with phase dropout"
        raise InputError(msg, code="E_ARTERIAL", cure=cure).at(patient=patient_id)


def find_structures(ct: Multiphase, given: Given, models: Models) -> Volume:
    """Take the given structures, the network's, or both; `ct` is in HU.

    Raises:
        ModelError: nothing was given and the bundle has no structures network.

    """
    if given.structures is not None and not given.fill_structures:
        return given.structures
    if models.structures is None:
        _refuse(lacking=StageName.STRUCTURES, cure="give --structures")
    image = models.view(ct, StageName.STRUCTURES)
    found = segment_structures(models.structures.network, image, models.structures.settings)
    found = _without(found, never_drawn(models.info))
    if given.structures is None:
        return found
    drawn = given.structures.array
    lacking = [s for s in Structure if not np.any(drawn == s)]
    filled = np.where((drawn == 0) & np.isin(found.array, lacking), found.array, drawn)
    return given.structures.with_array(filled.astype(np.uint8))


def never_drawn(info: BundleInfo) -> tuple[Structure, ...]:
    """Return the structures that nobody drew in a training patient of the bundle's network.

    To such a network their classes are the background (decision 0038).
    """
    part = info.parts.get(StageName.STRUCTURES)
    counts = None if part is None else part.extra.get("drawn_in")
    if not isinstance(counts, Mapping):
        return ()
    return tuple(structure for structure in Structure if counts.get(structure.label) == 0)


def _without(structures: Volume, never: Sequence[Structure]) -> Volume:
    """Return the label map with the background in the place of some structures."""
    if not never:
        return structures
    known = np.where(np.isin(structures.array, never), 0, structures.array)
    return structures.with_array(known.astype(structures.array.dtype))


def find_tumor(ct: Multiphase, structures: Volume | None, given: Given, models: Models) -> Volume:
    """Take the given tumor mask or the network's, the latter at the pancreas only; `ct` is in HU.

    Raises:
        ModelError: nothing was given and the bundle has no tumor network.

    """
    if given.tumor is not None:
        return given.tumor
    if models.tumor is None:
        _refuse(lacking=StageName.TUMOR, cure="give --tumor")
    pancreas = None
    if structures is not None:
        pancreas = structures.with_array(structures.array == Structure.PANCREAS)
    image = models.view(ct, StageName.TUMOR)
    return segment_tumor(models.tumor.network, image, models.tumor.settings, pancreas)


def find_nodes(ct: Multiphase, attention: Volume, given: Given, models: Models) -> NodeMap:
    """Take the given nodes or those of stage 1 (Eq. 3 to Eq. 5); a class somebody drew says so.

    `ct` is in HU.

    Raises:
        ModelError: nothing was given and the bundle has no stage 1.

    """
    if given.nodes is not None:
        return replace(given.nodes, nodes=tuple(map(_as_drawn, given.nodes.nodes)))
    if models.nodes is None:
        _refuse(lacking=StageName.NODES, cure="give --nodes")
    image = models.view(ct, StageName.NODES)
    return segment_nodes(models.nodes.network, image, attention, models.nodes.settings)


def _as_drawn(node: Node) -> Node:
    return node if node.node_class is None else replace(node, class_source=Source.GIVEN)


def call_nodes(ct: Multiphase, nodes: NodeMap, models: Models) -> NodeMap:
    """Call each node positive or negative; classes of drawn nodes are kept (Sec. III-A.2). `ct` is in HU.

    Raises:
        ModelError: there are nodes to call and the bundle has no stage 2.
        UsageError: stage 2 wants to know where they lie, and they were not measured.

    """
    drawn = {node.label: node for node in nodes.nodes if node.node_class is not None}
    if len(drawn) == len(nodes.nodes):
        return nodes
    if models.identification is None:
        _refuse(lacking=StageName.IDENTIFICATION, cure="use a bundle with all stages")
    unknown = replace(nodes, nodes=tuple(node for node in nodes.nodes if node.label not in drawn))
    network, settings = models.identification.network, models.identification.settings
    image = models.view(ct, StageName.IDENTIFICATION)
    called = identify_nodes(network, image, ct, unknown, settings)
    by_label = drawn | {node.label: replace(node, class_source=Source.NETWORK) for node in called.nodes}
    order = [node.label for node in nodes.nodes if node.label in by_label]
    return replace(called, nodes=tuple(by_label[label] for label in order))


def no_nodes(ct: Multiphase) -> NodeMap:
    """Return the map of a patient without lymph nodes."""
    empty = np.zeros(ct.venous.geometry.shape, dtype=np.int32)
    return NodeMap(instances=ct.venous.with_array(empty), nodes=())


def _refuse(*, lacking: StageName, cure: str) -> NoReturn:
    msg = f"the bundle has no {lacking} network"
    raise ModelError(msg, code="E_PART", cure=cure)
