"""What is known of one patient, before and after the prediction."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from os import PathLike, fspath
from typing import Final

from pydantic import JsonValue

from lymphct.core.arrays import Vector3
from lymphct.core.errors import UsageError
from lymphct.core.score import CalibratedScore, ScoreDrivers
from lymphct.core.terms import NodeClass, Source, StageName, Structure, counted
from lymphct.core.volume import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Multiphase:
    """A two-phase CT on one grid, HU.

    Attributes:
        venous: the reference phase.
        arterial: the arterial phase on the venous grid; None when it was not acquired.

    Raises:
        GeometryMismatchError: the phases lie on different grids.

    """

    venous: Volume
    arterial: Volume | None = None

    def __post_init__(self) -> None:
        if self.arterial is not None:
            self.arterial.require_same_grid(self.venous, name="arterial phase", reference="venous phase")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinical:
    """What a manifest says of a patient besides images.

    Attributes:
        n_status: 1 with lymph node metastasis (N+), 0 without (N-); None when unknown.
        ct_reported_n: the same as radiologists reported it from CT; None when unknown.
        tumor_location: part of the pancreas that holds the tumor; empty when unknown.
        center: where the CT was made; empty when unknown.

    """

    n_status: int | None = None
    ct_reported_n: int | None = None
    tumor_location: str = ""
    center: str = ""


UNKNOWN: Final = Clinical()
"""Where no manifest says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a reader must know about a result: a stable code, a sentence, the measured value if any."""

    code: str
    text: str
    value: float | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Something that was looked at before a result may be trusted.

    Attributes:
        name: what was looked at.
        passed: the verdict; None when it was not looked at.
        value: what was measured, one number or several by name; None when nothing was.
        text: what it means.

    """

    name: str
    passed: bool | None
    value: JsonValue = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One lymph node, found or drawn.

    Attributes:
        label: its number in the instance map, from 1.
        volume: mm³.
        center: LPS+ position of the centroid, mm.
        node_class: called or drawn class; None before identification.
        probability: of being positive, 0 to 1; None before identification.
        predicted_iou: IoU of its mask with the true node as stage 2 sees it, 0 to 1; None where it says none.
        detection: how sure stage 1 is that it is there, 0 to 1: the highest probability of its voxels. None
            where it was drawn.
        detection_mean: the mean of those probabilities, which still differs where all peaks are near 1.
        node_probability: of being a lymph node at all, 0 to 1; None unless a stage 2 of three classes says.
        short_axis: shortest diameter, mm; None where not measured.
        nearest_structure: the guiding structure closest to the centroid; None when none is present.
        distance: signed distance from the centroid to it, mm, negative inside; None likewise.
        tumor_distance: signed distance from the centroid to the tumor; None where there is none.
        station: guess of the station (Japan Pancreas Society) unless somebody said it; empty when unknown.
        station_shares: stations it may lie at, each with its probability, the most probable first; empty when
            the station was said or is unknown.
        hu_arterial: mean HU in the arterial phase; None without that phase.
        hu_venous: mean HU in the venous phase; None where not measured.
        class_source: who said the class: `given` for a drawn one, `network`, `none` before identification.
        flags: what a reader must know of it; see `IMPLAUSIBLE`.

    """

    label: int
    volume: float
    center: Vector3
    node_class: NodeClass | None = None
    probability: float | None = None
    short_axis: float | None = None
    nearest_structure: Structure | None = None
    distance: float | None = None
    tumor_distance: float | None = None
    station: str = ""
    station_shares: tuple[tuple[str, float], ...] = ()
    hu_arterial: float | None = None
    hu_venous: float | None = None
    class_source: Source = Source.NONE
    flags: tuple[str, ...] = ()
    predicted_iou: float | None = None
    detection: float | None = None
    detection_mean: float | None = None
    node_probability: float | None = None

    @property
    def is_plausible(self) -> bool:
        """Tell whether it can be a lymph node at all; no score counts one that cannot."""
        return IMPLAUSIBLE not in self.flags

    @property
    def station_probability(self) -> float | None:
        """Return how probable the guessed station is, 0 to 1; None when it was said or is unknown."""
        return dict(self.station_shares).get(self.station)


IMPLAUSIBLE: Final = "implausible"
"""Flag of a node outside the body, in gas, or of a density no lymph node has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMap:
    """Lymph nodes of one patient: an instance map (0 = none, n = node n) and one record per instance."""

    instances: Volume
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientInput:
    """What is known of a patient before anything is predicted.

    Attributes:
        patient_id: pseudonymous id.
        venous: HU as acquired, the file's own axes.
        arterial: HU on its own grid; None when it was not acquired.
        structures: label map on the venous grid; None when no file was given.
        tumor: mask on the venous grid; None when no file was given.
        nodes: drawn lymph nodes on the venous grid; None when no file was given.
        notices: what a reader must know about the files.
        unjudged: uint8 on the venous grid, a bit per mask where nobody looked (`core.unjudged`); the masks
            are 0 there. None where everything was looked at.
        labelled: structures that were drawn wherever they are; others may be missing in the label map. None
            for all.
        structure_sources: who gave each structure of the label map, by the names of sources; empty where a
            single file did.
        structure_confidence: 0 to 1 of each structure whose source says how sure it is, such as `trace`.

    """

    patient_id: str
    venous: Volume
    arterial: Volume | None = None
    structures: Volume | None = None
    tumor: Volume | None = None
    nodes: NodeMap | None = None
    notices: tuple[Notice, ...] = ()
    unjudged: Volume | None = None
    labelled: tuple[Structure, ...] | None = None
    structure_sources: Mapping[Structure, str] = field(default_factory=dict)
    structure_confidence: Mapping[Structure, float] = field(default_factory=dict)


class SearchState(Enum):
    """Whether lymph nodes were looked for."""

    SEARCHED = "searched"
    NOT_SEARCHED = "not searched"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Everything the cascade says about one patient; images lie on the venous grid as acquired.

    Attributes:
        probability: of LN metastasis, 0 to 1; None when the score is withheld (a notice says why).
        threshold: probability from which the patient is called N+; None without a status model.
        nodes: found or given lymph nodes.
        search: whether nodes were looked for.
        structures: label map (numbers of `Structure`).
        tumor: 0/1 mask.
        attention: values in [0, 1].
        structures_used: guiding structures present.
        notices: what a reader must know, most important first.
        seconds: wall time per stage.
        checks: what was looked at on the way.
        sources: where structures, tumor and nodes come from, by stage.
        structure_sources: where each structure of the label map comes from: a named source, `given` or
            `network`.
        structure_confidence: 0 to 1 of each structure whose source says how sure it is.
        arterial: the arterial phase as the networks saw it, registered where it was; None without one.
        calibrated: what the score is worth; None where the bundle does not know, or the score is withheld.
        drivers: what drove the score; None where nobody asked, or the score is withheld.
        writer: writes it into the folder it is given; None where nobody knows the images it came from.

    """

    probability: float | None
    threshold: float | None
    nodes: NodeMap
    search: SearchState
    structures: Volume
    tumor: Volume
    attention: Volume
    structures_used: tuple[Structure, ...]
    notices: tuple[Notice, ...]
    seconds: dict[str, float]
    checks: tuple[Check, ...] = ()
    sources: Mapping[StageName, Source] = field(default_factory=dict)
    structure_sources: Mapping[Structure, str] = field(default_factory=dict)
    structure_confidence: Mapping[Structure, float] = field(default_factory=dict)
    arterial: Volume | None = None
    calibrated: CalibratedScore | None = None
    drivers: ScoreDrivers | None = None
    writer: Callable[["Prediction", str], None] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        if self.probability is None:
            status = "score withheld"
        else:
            status = f"probability of LN metastasis {self.probability:.3f}"
            if self.threshold is not None:
                status += f", N+ from {self.threshold:.3f}"
        nodes = f"nodes {self.search.value}"
        if self.search is SearchState.SEARCHED:
            positive = sum(
                node.is_plausible and node.node_class is NodeClass.POSITIVE for node in self.nodes.nodes
            )
            nodes = f"{counted(len(self.nodes.nodes), 'node')}, {positive} positive"
        used = f"{len(self.structures_used)} guiding structures"
        notices = ", ".join(notice.code for notice in self.notices) or "none"
        return f"Prediction({status}; {nodes}; {used}; notices: {notices})"

    def save(self, folder: str | PathLike[str]) -> None:
        """Write what `lymphct predict` writes: `result.json`, `nodes.csv`, `seg/`, `report.html`.

        The folder appears whole or not at all; an older result of ours in it is replaced.

        Raises:
            UsageError: the prediction does not come from `lymphct.predict`.
            OutputInUseError: the folder holds something else, or another process writes it.

        """
        if self.writer is None:
            msg = "a prediction without its images cannot be saved"
            raise UsageError(msg, cure="save what lymphct.predict returned")
        self.writer(self, fspath(folder))
