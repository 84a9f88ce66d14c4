"""Names, label numbers and codes are complete and consistent."""

import numpy as np
import pytest
from pydantic import ValidationError
from pydicom.sr.codedict import codes

from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.settings import Settings
from lymphct.core.terms import (
    GUIDING_STRUCTURES,
    LYMPH_NODE_SNOMED,
    SNOMED_CODES,
    STATIONS,
    STRUCTURES_BY_NAME,
    TOTALSEGMENTATOR_LABELS,
    TOTALSEGMENTATOR_LARGEST,
    NodeClass,
    Structure,
)
from lymphct.core.volume import Volume


def test_structures_have_the_label_numbers_of_the_design() -> None:
    assert [structure.label for structure in Structure] == [
        "spleen", "esophagus", "stomach", "aorta", "pancreas", "duodenum", "superior_mesenteric_artery",
        "celiac_trunk_and_splenic_artery", "left_gastric_artery", "hepatic_artery_common_and_proper", "liver",
        "right_kidney", "left_kidney", "gallbladder", "inferior_vena_cava", "portal_and_splenic_vein",
        "superior_mesenteric_vein", "right_adrenal", "left_adrenal",
    ]  # fmt: skip
    assert [int(structure) for structure in Structure] == list(range(1, 20))
    assert list(STRUCTURES_BY_NAME.values()) == list(Structure)


def test_the_ten_guiding_structures_are_the_first_ten_and_have_stations() -> None:
    assert [int(structure) for structure in GUIDING_STRUCTURES] == list(range(1, 11))
    assert tuple(STATIONS) == GUIDING_STRUCTURES
    numbers = {station for stations in STATIONS.values() for station in stations}
    assert numbers == {str(number) for number in range(1, 19)} - {"15"}


def test_a_title_reads_as_words() -> None:
    assert Structure.LEFT_GASTRIC_ARTERY.title == "left gastric artery"


def test_node_classes_are_those_of_class_maps() -> None:
    assert [(kind.label, int(kind)) for kind in NodeClass] == [("positive", 1), ("negative", 2)]


def test_totalsegmentator_has_all_but_the_small_vessels() -> None:
    found = set(TOTALSEGMENTATOR_LABELS.values())
    assert len(found) == len(TOTALSEGMENTATOR_LABELS)
    assert [structure.label for structure in Structure if structure not in found] == [
        "superior_mesenteric_artery", "celiac_trunk_and_splenic_artery", "left_gastric_artery",
        "hepatic_artery_common_and_proper", "superior_mesenteric_vein",
    ]  # fmt: skip
    assert max(TOTALSEGMENTATOR_LABELS) <= TOTALSEGMENTATOR_LARGEST


def verhoeff(number: str) -> int:
    """Return 0 for a number whose last digit is its check digit (SNOMED CT identifiers)."""
    check = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[value]
        # The dihedral group of ten elements: 0 to 4 turn, 5 to 9 mirror.
        turn = -value if check >= 5 else value
        check = (check + turn) % 5 + 5 * ((check >= 5) != (value >= 5))
    return check


@pytest.mark.parametrize("code", [*SNOMED_CODES.values(), LYMPH_NODE_SNOMED])
def test_snomed_codes_have_a_valid_check_digit(code: str) -> None:
    assert verhoeff(code) == 0
    assert verhoeff(code[:-1] + str((int(code[-1]) + 1) % 10)) != 0


def test_snomed_codes_that_dicom_knows_mean_the_structure() -> None:
    coded = (getattr(codes.SCT, keyword) for keyword in codes.SCT.dir())
    meanings = {concept.value: concept.meaning.lower() for concept in coded}
    words = {
        "pancreas": "pancrea",
        "aorta": "aort",
        "spleen": "splen",
        "celiac": "coeliacus",
        "portal": "portal vein",
    }
    known = 0
    for structure, code in SNOMED_CODES.items():
        if code in meanings:
            known += 1
            first = structure.label.split("_")[0]
            assert words.get(first, first) in meanings[code]
    assert known >= 14
    assert len(set(SNOMED_CODES.values())) == len(Structure)


def test_settings_are_frozen_strict_and_finite() -> None:
    class Ramp(Settings):
        border: float = 3.0
        """Width, mm (Eq. 1)."""

    assert Ramp.model_fields["border"].description == "Width, mm (Eq. 1)."
    with pytest.raises(ValidationError, match="frozen"):
        Ramp().border = 2.0  # type: ignore[misc] # that it is frozen is what the test shows
    with pytest.raises(ValidationError, match="Extra inputs"):
        Ramp.model_validate({"boarder": 2.0})
    with pytest.raises(ValidationError, match="finite"):
        Ramp(border=float("nan"))


def test_the_phases_of_one_patient_share_a_grid() -> None:
    grid = Geometry(shape=(2, 3, 4), spacing=(0.68, 0.68, 0.8))
    venous = Volume(array=np.zeros(grid.shape), geometry=grid)
    arterial = Volume(array=np.zeros(grid.shape), geometry=grid.cropped((1, 0, 0), grid.shape))
    assert Multiphase(venous=venous).arterial is None
    with pytest.raises(
        GeometryMismatchError, match="the arterial phase lies on another voxel grid than the venous phase"
    ):
        Multiphase(venous=venous, arterial=arterial)
