"""Sure is a patient of whom all signs agree; each doubt has its sentence."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lymphct.io.images.dicom.file_head import FileHead, SeriesTags
from lymphct.io.images.vessels import Contrast
from lymphct.patients.exports.choosing import Proposal, proposed
from lymphct.patients.exports.grouping import Series
from lymphct.patients.exports.phases import Judged, judged, phase_by_contrast, refused

TAGS = SeriesTags(
    person="p",
    person_by="id",
    details="d",
    study="s1",
    series="u",
    frame="f",
    modality="CT",
    sop_class="1.2.840.10008.5.1.4.1.1.2",
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    kernel="Br38f",
    syntax="1.2.840.10008.1.2.1",
    description="",
    number=1,
    orientation=(1, 0, 0, 0, 1, 0),
    shape=(512, 512),
    spacing=(0.7, 0.7),
    frames=1,
    bolus=math.nan,
)
ARTERIAL, VENOUS = (320.0, 70.0, 160.0), (160.0, 110.0, 185.0)
NATIVE, BETWEEN = (42.0, 52.0, 32.0), (175.0, 75.0, 170.0)


def series(key: str, time: float = math.nan, **tags: Any) -> Series:
    head = FileHead(path=Path(key), stamp=(1, 1), instance=key, time=time, acquisition=tags.pop("scan", 0))
    return Series(key=key, tags=replace(TAGS, **tags), heads=(head,))


def seen(
    key: str,
    contrast: Sequence[float | None],
    time: float = math.nan,
    *,
    step: float = 1.0,
    reach: tuple[float, float] = (0.0, 300.0),
    **tags: Any,
) -> Judged:
    aorta, liver, kidney = contrast
    measured = Contrast(aorta=aorta, liver=liver, kidney=kidney, slices=20)
    look = {
        "contrast": measured.as_json(),
        "shape": [512, 512, 300],
        "spacing": [0.7, 0.7, step],
        "range": list(reach),
        "notices": [],
        "is_resampled": False,
    }
    return judged(series(key, time, **tags), look)


def keys(found: Proposal) -> tuple[str, str]:
    return tuple("" if s is None else s.series.key for s in (found.venous, found.arterial))  # type: ignore[return-value] # two


def test_two_phases_by_hu_alone_are_sure() -> None:
    found = proposed("p", [seen("a", ARTERIAL, 0), seen("v", VENOUS, 40), seen("n", NATIVE, -60)])
    assert keys(found) == ("v", "a")
    assert found.is_sure
    assert found.doubts == ()


def test_a_patient_with_a_venous_phase_alone_is_sure() -> None:
    found = proposed("p", [seen("v", VENOUS)])
    assert (keys(found), found.is_sure) == (("v", ""), True)


def test_of_reconstructions_the_soft_thin_one_that_covers_most_is_taken() -> None:
    found = proposed(
        "p",
        [
            seen("thick", VENOUS, 40, step=5.0),
            seen("thin", VENOUS, 41, step=1.0),
            seen("sharp", VENOUS, 40, step=0.8, kernel="Br64f"),
            seen("lung", VENOUS, 40, step=0.8, description="PV LUNG"),
            seen("derived", VENOUS, 40, step=0.8, image_type=("DERIVED", "PRIMARY", "AXIAL")),
            seen("short", VENOUS, 40, step=0.5, reach=(0.0, 120.0)),
        ],
    )
    assert (keys(found), found.is_sure) == (("thin", ""), True)


def test_a_late_phase_by_its_tags_is_no_rival_of_the_venous_one() -> None:
    late = seen("l", (115.0, 95.0, 150.0), 200, description="DELAYED")
    assert late.phase == "late"
    assert proposed("p", [seen("v", VENOUS, 40), late]).is_sure


@pytest.mark.parametrize(
    ("group", "chosen", "doubt"),
    [
        (
            [seen("a", ARTERIAL, 0, description="PV"), seen("v", VENOUS, 40)],
            ("v", "a"),
            "arterial a: its tags say venous, its HU arterial (aorta 320, liver 70, kidney 160)",
        ),
        (
            [seen("a", BETWEEN, 0, description="ART"), seen("v", VENOUS, 40)],
            ("v", "a"),
            "arterial a: its HU show no phase clearly (aorta 175, liver 75, kidney 170)",
        ),
        (
            [seen("v", VENOUS, 40), seen("x", (None, None, None), 0)],
            ("v", ""),
            "x may be the arterial phase: its HU show no phase clearly (aorta not found",
        ),
        (
            [seen("v", VENOUS, 40), seen("w", VENOUS, 200)],
            ("v", ""),
            "2 scans look venous: v, w",
        ),
        (
            [seen("v", VENOUS, 40), seen("w", VENOUS, 40)],
            ("v", ""),
            "venous: reconstructions v, w are equally good",
        ),
        ([seen("v", VENOUS), seen("w", VENOUS, step=2.0)], ("v", ""), "2 scans look venous: v, w"),
        ([seen("a", ARTERIAL)], ("", ""), "no series is a venous phase"),
        (
            [seen("a", ARTERIAL, 90), seen("v", VENOUS, 40)],
            ("v", "a"),
            "the arterial phase began 50 s after the venous one",
        ),
        (
            [seen("a", ARTERIAL, 0, reach=(280, 600)), seen("v", VENOUS, 40)],
            ("v", "a"),
            "the phases overlap by 7 % of the shorter one only",
        ),
        (
            [seen("a", (200.0, 85.0, 160.0), 0), seen("v", (165.0, 110.0, 180.0), 40)],
            ("v", "a"),
            "the aorta is only 35 HU brighter in the arterial phase (50 expected)",
        ),
        (
            [seen("v", VENOUS), refused(series("a", description="ART"), "gantry tilt", is_lost=True)],
            ("v", ""),
            "a may be the arterial phase and is left out: gantry tilt",
        ),
        (
            [seen("v", VENOUS, 9e4), seen("w", VENOUS, 0, study="s2"), seen("a", ARTERIAL, 9e4 - 40)],
            ("v", "a"),
            "2 studies have a venous phase: which examination is meant?",
        ),
        ([seen("v", VENOUS, person_by="study")], ("v", ""), "the files name no patient"),
        ([seen("v", VENOUS, person_by="name")], ("v", ""), "the files have no patient id"),
        (
            [seen("v", VENOUS), seen("n", NATIVE, details="other")],
            ("v", ""),
            "name or date of birth differ between files with one patient id",
        ),
        (
            [seen("v", VENOUS, 40, bolus=5.0, description="ART")],
            ("v", ""),
            "venous v: its tags say arterial, its HU venous",
        ),
    ],
)
def test_every_doubt_is_told_and_leaves_the_choice_to_the_user(
    group: list[Judged], chosen: tuple[str, str], doubt: str
) -> None:
    found = proposed("p", group)
    assert not found.is_sure
    assert any(told.startswith(doubt) for told in found.doubts), found.doubts
    if chosen != ("", ""):
        assert keys(found) == chosen


def test_what_is_no_phase_raises_no_doubt() -> None:
    others = [
        refused(series("loc"), "a localizer", is_lost=False),
        refused(series("late", description="DELAY"), "gantry tilt", is_lost=True),
        seen("n", NATIVE, description="native"),
    ]
    assert proposed("p", [seen("v", VENOUS), *others]).is_sure


@pytest.mark.parametrize(
    ("aorta", "liver", "kidney", "phase"),
    [
        (42, 52, 32, "native"),
        (42, 52, 190, ""),
        (320, None, None, "arterial"),
        (200, None, None, ""),
        (180, 70, None, "arterial"),
        (179, 68, None, ""),
        (260, 120, None, "arterial"),
        (200, 110, None, "venous"),
        (150, 70, None, ""),
        (None, 110, 180, ""),
    ],
)
def test_hu_show_a_phase_or_none(
    aorta: float | None, liver: float | None, kidney: float | None, phase: str
) -> None:
    assert phase_by_contrast(Contrast(aorta=aorta, liver=liver, kidney=kidney, slices=9)) == phase
