"""What the segments of an export are called, and what a reader says by a segment's name and coded words."""

import re
from dataclasses import dataclass
from typing import Final

from lymphct.core.errors import InputError
from lymphct.core.patient import Node
from lymphct.core.terms import LYMPH_NODE_SNOMED, SNOMED_CODES, NodeClass, Structure
from lymphct.io.segmentations.segments import STATUS, Code, Segment, Terminology
from lymphct.report.colors import STRUCTURE_COLORS, TUMOR_COLOR, probability_color

NODE: Final = "node"
TUMOR: Final = "tumor"
SECONDARY_NEOPLASM: Final = "14799000"
"""SNOMED CT type in the lists of 3D Slicer: a lymph node that has it is positive."""
NEOPLASM: Final = "108369006"
"""SNOMED CT type of the tumor."""

_ANATOMY: Final = ("SCT", "123037004", "Anatomical Structure")
_ABNORMAL: Final = ("SCT", "49755003", "Morphologically Abnormal Structure")
_IDENTIFIER: Final = re.compile(r"node_(\d{1,4})")
_NUMBERED: Final = re.compile(r"(?:lymph[\s_-]*node|node)[\s_-]*(\d{1,4})(?![0-9a-z])")
_COPY: Final = re.compile(r"_\d+$")
"""What 3D Slicer adds to the names of parts of a split segment."""
_STATION: Final = re.compile(r"(?:[1-9]|1[0-9]|20|11[0-2])(?:s[ab]|[abcdhpv][12]?)?")
_CLASSES: Final = {
    "positive": NodeClass.POSITIVE,
    "pos": NodeClass.POSITIVE,
    "negative": NodeClass.NEGATIVE,
    "neg": NodeClass.NEGATIVE,
}
_SILENT: Final = frozenset(
    {"lymph", "node", "nodes", "segment", "station", "predicted", "drawn", "copy", "of", "tissue", "neoplasm",
     "secondary"}
)  # fmt: skip
"""Words of ours and of viewers in a name that say neither class nor station."""
CURE: Final = 'name it like "node 3 positive 8a": its number, positive or negative, and the station if known'


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a reader says of a lymph node.

    Attributes:
        number: of the node; None where the name has none.
        node_class: None where nothing says it.
        station: empty where the name has none.

    """

    number: int | None
    node_class: NodeClass | None
    station: str


def node_segment(node: Node) -> Segment:
    """Return the segment of a found node: its name can be read back by `said_of`."""
    called = "" if node.node_class is None else node.node_class.label
    told = {
        STATUS: "notstarted",
        "lymphct.class": called,
        "lymphct.probability": "" if node.probability is None else f"{node.probability:.6f}",
        "lymphct.station": node.station,
    }
    return Segment(
        identifier=f"{NODE}_{node.label}",
        name=" ".join(filter(None, (NODE, str(node.label), called, node.station))),
        value=node.label,
        color=probability_color(node.probability),
        terminology=Terminology(category=_ANATOMY, kind=("SCT", LYMPH_NODE_SNOMED, "Lymph node")),
        tags={key: value for key, value in told.items() if value},
    )


def structure_segment(structure: Structure) -> Segment:
    """Return the segment of an organ or vessel."""
    kind: Code = ("SCT", SNOMED_CODES[structure], structure.title.capitalize())
    return Segment(
        identifier=structure.label,
        name=structure.title,
        value=int(structure),
        color=STRUCTURE_COLORS[structure],
        terminology=Terminology(category=_ANATOMY, kind=kind),
        tags={STATUS: "notstarted"},
    )


def tumor_segment() -> Segment:
    """Return the segment of the tumor."""
    pancreas: Code = ("SCT", SNOMED_CODES[Structure.PANCREAS], "Pancreas")
    terms = Terminology(category=_ABNORMAL, kind=("SCT", NEOPLASM, "Neoplasm"), region=pancreas)
    return Segment(
        identifier=TUMOR,
        name=TUMOR,
        value=1,
        color=TUMOR_COLOR,
        terminology=terms,
        tags={STATUS: "notstarted"},
    )


def said_of(segment: Segment) -> Said:
    """Return what the name and the coded words of a lymph node's segment say.

    Raises:
        InputError: `E_SEGMENT`, a word that means nothing, two classes, two stations, or a name that
            contradicts the coded words.

    """
    number, rest = _number(segment.name.strip().casefold())
    classes: set[NodeClass] = set()
    stations: dict[str, None] = {}
    for word in re.findall(r"[^\s,;:()/_\-]+", _COPY.sub("", rest)):
        if word in _CLASSES:
            classes.add(_CLASSES[word])
        elif _STATION.fullmatch(word):
            stations[word] = None
        elif word not in _SILENT:
            raise _refused(segment, f"holds {word[:20]!r}, which is no class and no station")
    if segment.terminology is not None and segment.terminology.kind[1] == SECONDARY_NEOPLASM:
        classes.add(NodeClass.POSITIVE)
    if len(classes) > 1:
        raise _refused(segment, "is called positive and negative by its name and coded words")
    if len(stations) > 1:
        raise _refused(segment, f"names the stations {' and '.join(stations)}")
    return Said(number=number, node_class=next(iter(classes), None), station=next(iter(stations), ""))


def identified(segment: Segment) -> int | None:
    """Return the number of the exported node a segment was, by what viewers keep when it is renamed."""
    match = _IDENTIFIER.fullmatch(segment.identifier)
    return None if match is None else int(match[1])


def _number(name: str) -> tuple[int | None, str]:
    """Return the number behind the word node, and the rest of the name."""
    match = _NUMBERED.search(name)
    if match is None or int(match[1]) == 0:
        return None, name
    return int(match[1]), f"{name[: match.start()]} {name[match.end() :]}"


def _refused(segment: Segment, why: str) -> InputError:
    return InputError(f"the segment {segment.name[:40]!r} {why}", code="E_SEGMENT", cure=CURE)
