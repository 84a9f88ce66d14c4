"""A segment's name says number, class and station of a lymph node, or is refused with what it holds."""

import pytest

from lymphct.core.errors import InputError
from lymphct.core.patient import Node
from lymphct.core.terms import NodeClass, Structure
from lymphct.io.segmentations.segments import Segment, Terminology, parsed_terminology
from lymphct.patients.annotation.naming import (
    identified,
    node_segment,
    said_of,
    structure_segment,
    tumor_segment,
)

P, N = NodeClass.POSITIVE, NodeClass.NEGATIVE
SECONDARY = Terminology(
    category=("SCT", "49755003", "Morphologically Altered Structure"),
    kind=("SCT", "14799000", "Neoplasm, Secondary"),
)


def segment(name: str, terminology: Terminology | None = None) -> Segment:
    return Segment(identifier="Segment_1", name=name, value=1, terminology=terminology)


@pytest.mark.parametrize(
    ("name", "number", "node_class", "station"),
    [
        ("node 3 positive 8a", 3, P, "8a"),
        ("Node 12 NEGATIVE", 12, N, ""),
        ("node_3 neg 16A2", 3, N, "16a2"),
        ("Lymph node 4, predicted positive", 4, P, ""),
        ("Lymph node 4, drawn negative, station 4sb", 4, N, "4sb"),
        ("positive 14p", None, P, "14p"),
        ("node positive 8", None, P, "8"),
        ("node 3 positive 8a_2", 3, P, "8a"),
        ("node 3 copy positive", 3, P, ""),
        ("12 positive", None, P, "12"),
        ("Segment_1", None, None, ""),
        ("node 3", 3, None, ""),
    ],
)
def test_a_name_says_number_class_and_station(
    name: str, number: int | None, node_class: NodeClass | None, station: str
) -> None:
    said = said_of(segment(name))
    assert (said.number, said.node_class, said.station) == (number, node_class, station)


@pytest.mark.parametrize(
    ("name", "terminology", "message"),
    [
        ("node 3 benign", None, "holds 'benign', which is no class and no station"),
        ("node 3 positive 23", None, "holds '23'"),
        ("node 3 positive negative", None, "positive and negative"),
        ("node 3 negative", SECONDARY, "positive and negative by its name and coded words"),
        ("positive 8a 9", None, "names the stations 8a and 9"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    name: str, terminology: Terminology | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as refused:
        said_of(segment(name, terminology))
    assert refused.value.code == "E_SEGMENT"
    assert 'name it like "node 3 positive 8a"' in refused.value.cure


def test_the_coded_words_say_positive_where_the_name_is_silent() -> None:
    assert said_of(segment("Neoplasm, Secondary", SECONDARY)).node_class is P
    assert said_of(segment("node 3 positive", SECONDARY)).node_class is P


@pytest.mark.parametrize("node_class", NodeClass)
@pytest.mark.parametrize("station", ["", "8", "16a2", "4sb"])
def test_an_exported_name_is_read_back(node_class: NodeClass, station: str) -> None:
    node = Node(
        label=17,
        volume=1.0,
        center=(0.0, 0.0, 0.0),
        node_class=node_class,
        station=station,
        probability=0.25,
    )
    made = node_segment(node)
    said = said_of(made)
    assert (said.number, said.node_class, said.station) == (17, node_class, station)
    assert identified(made) == 17
    assert made.tags["lymphct.probability"] == "0.250000"
    assert made.terminology is not None
    assert parsed_terminology(made.terminology.entry()) == made.terminology


def test_structures_and_tumor_carry_the_codes_of_the_dicom_results() -> None:
    spleen, tumor = structure_segment(Structure.SPLEEN), tumor_segment()
    assert (spleen.identifier, spleen.name, spleen.value) == ("spleen", "spleen", 1)
    assert spleen.terminology is not None
    assert spleen.terminology.kind == ("SCT", "78961009", "Spleen")
    assert tumor.terminology is not None
    assert tumor.terminology.region == ("SCT", "15776009", "Pancreas")
    assert parsed_terminology(tumor.terminology.entry()) == tumor.terminology
