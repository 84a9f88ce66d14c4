"""The bands of the paper, and bands from files."""

import pytest

from lymphct.attention.bands import PAPER_BANDS, Band, bands_from_mapping
from lymphct.core.errors import InputError
from lymphct.core.terms import Structure


def test_the_bands_of_the_paper_are_those_it_prints() -> None:
    printed = {
        "spleen": (0, 16),
        "esophagus": (0, 25),
        "stomach": (-2, 18),
        "aorta": (0, 28),
        "pancreas": (-5, 20),
        "duodenum": (-5, 22),
        "superior_mesenteric_artery": (-1, 20),
        "celiac_trunk_and_splenic_artery": (-2, 18),
        "left_gastric_artery": (0, 21),
        "hepatic_artery_common_and_proper": (0, 20),
    }
    assert {structure.label: tuple(band) for structure, band in PAPER_BANDS.items()} == printed


def test_a_bands_file_names_some_structures() -> None:
    bands = bands_from_mapping(
        {"spleen": {"d_min": 0, "d_max": 16}, "pancreas": {"d_min": -4.5, "d_max": 20}}
    )
    assert bands == {Structure.SPLEEN: Band(0.0, 16.0), Structure.PANCREAS: Band(-4.5, 20.0)}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "no distance band is given"),
        (["spleen"], "no distance band is given"),
        (
            {"liver": {"d_min": 0, "d_max": 5}},
            "'liver', which is not a structure that guides.*use one of: spleen",
        ),
        ({"splen": {"d_min": 0, "d_max": 5}}, "'splen', which is not"),
        ({"spleen": {"d_min": 0}}, "must have exactly d_min and d_max"),
        ({"spleen": {"d_min": 0, "d_max": 5, "dmax": 6}}, "must have exactly d_min and d_max"),
        ({"spleen": 16}, "must have exactly d_min and d_max, got 16"),
        ({"spleen": {"d_min": "0", "d_max": 5}}, "holds '0', which is no finite number"),
        ({"spleen": {"d_min": 0, "d_max": True}}, "holds True, which is no finite number"),
        ({"spleen": {"d_min": 0, "d_max": float("nan")}}, "holds nan, which is no finite number"),
        ({"spleen": {"d_min": 0, "d_max": float("inf")}}, "holds inf, which is no finite number"),
        ({"spleen": {"d_min": 16, "d_max": 16}}, "is empty: d_min 16 mm is not below d_max 16 mm"),
        ({"spleen": {"d_min": 16, "d_max": -1.5}}, "d_min 16 mm is not below d_max -1.5 mm"),
    ],
)
def test_a_bands_file_that_makes_no_sense_is_refused(entries: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bands_from_mapping(entries)
