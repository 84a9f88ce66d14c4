"""Trapezia as a prior: what their numbers mean, how they are mapped, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tests.attention.test_atlas import ATLAS, balls, signed

from lymphct.attention.bands import PAPER_BANDS, Band, Trapezium
from lymphct.attention.mapping import attention_map, guided_by, guiding_attention
from lymphct.attention.prior import prior_key
from lymphct.attention.score import attention_score, combine
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.trapezia import Trapezia
from lymphct.core.arrays import DoubleArray
from lymphct.core.geometry import Geometry
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume

TRAPEZIA = Trapezia(
    structures={
        "spleen": Trapezium(-1.0, 2.5, 1.5),
        "aorta": Trapezium(0.0, 1.5, 4.0),
        "pancreas": Trapezium(-2.0, 1.0, 2.0),
    },
    outside=-3.0,
    inside=1.0,
)


def reference(guiding: Volume, trapezia: Trapezia) -> DoubleArray:
    """Eq. 1 and Eq. 2 as printed, on distances of all pairs of voxels."""
    labels = guiding.array
    scores = {
        int(structure): attention_score(
            signed(labels == structure).astype(np.float32), Band(low, high), border=ramp
        )
        for structure, (low, high, ramp) in trapezia.shapes.items()
        if np.any(labels == structure)
    }
    return combine(scores, labels).astype(np.float64)


@pytest.mark.parametrize("seed", range(3))
def test_each_structure_has_band_and_ramp_of_its_own(seed: int) -> None:
    structures, tumor = balls(seed)
    found = guiding_attention(structures, tumor, TRAPEZIA)
    assert found.array.dtype == np.float32
    assert found.geometry == structures.geometry
    assert_allclose(found.array, reference(guided_by(structures, tumor), TRAPEZIA), atol=1e-5)
    assert found.array.min() == 0.0


def test_one_structure_alone_is_what_its_numbers_say_by_hand() -> None:
    labels = np.zeros((16, 1, 1), np.uint8)
    labels[:3] = Structure.SPLEEN
    line = Volume(array=labels, geometry=Geometry(shape=(16, 1, 1), spacing=(1.0, 1.0, 1.0)))
    shape = Trapezium(-1.0, 2.0, 4.0)
    only = Trapezia(structures={"spleen": shape}, outside=0.0, inside=0.0)
    found = guiding_attention(line, None, only).array.ravel()
    # 3 mm inside a half, at 2 mm three quarters; full up to 2 mm outside, then a quarter less each mm.
    assert_allclose(found[:10], [0.5, 0.75, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0], atol=1e-6)
    assert not found[8:].any()


def test_equal_ramps_are_the_map_of_bands() -> None:
    structures, tumor = balls(4)
    shapes = {s.label: Trapezium(*band, 2.0) for s, band in PAPER_BANDS.items()}
    trapezia = Trapezia(structures=shapes, outside=-1.0, inside=1.0)
    expected = attention_map(guided_by(structures, tumor), PAPER_BANDS, AttentionSettings(border=2.0))
    # What the settings say of ramps is nothing to trapezia, which bring theirs.
    found = guiding_attention(structures, tumor, trapezia, AttentionSettings(border=7.0))
    assert_array_equal(found.array, expected.array)


def test_an_absent_structure_contributes_nothing() -> None:
    structures, _ = balls(1)
    fewer = structures.with_array(np.where(structures.array == Structure.AORTA, 0, structures.array))
    without = Trapezia(
        structures={name: shape for name, shape in TRAPEZIA.structures.items() if name != "aorta"},
        outside=-3.0,
        inside=1.0,
    )
    assert_array_equal(
        guiding_attention(fewer, None, TRAPEZIA).array, guiding_attention(fewer, None, without).array
    )
    nothing = structures.with_array(np.zeros_like(structures.array))
    assert not guiding_attention(nothing, None, TRAPEZIA).array.any()


def test_other_organs_are_dark_where_that_is_asked_for() -> None:
    structures, tumor = balls(2)
    inside = structures.array == Structure.LIVER
    plain = guiding_attention(structures, tumor, TRAPEZIA)
    dark = guiding_attention(structures, tumor, TRAPEZIA, AttentionSettings(suppress_other_organs=True))
    assert plain.array[inside].any()
    assert not dark.array[inside].any()
    assert_array_equal(dark.array[~inside], plain.array[~inside])


def test_they_are_the_same_after_a_round_trip_and_have_keys_of_their_own() -> None:
    again = Trapezia.model_validate_json(TRAPEZIA.model_dump_json())
    assert again == TRAPEZIA == Trapezia.model_validate(TRAPEZIA.model_dump())
    assert again.structures["spleen"].ramp == 1.5
    assert prior_key(again) == prior_key(TRAPEZIA)
    other = TRAPEZIA.model_copy(update={"inside": 2.0})
    assert len({prior_key(prior) for prior in (TRAPEZIA, other, ATLAS, PAPER_BANDS)}) == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"structures": {}}, "at least 1 item"),
        ({"structures": {"liver": (0.0, 1.0, 1.0)}}, "trapezia of what is no structure that guides: liver"),
        ({"structures": {"spleen": (1.0, 1.0, 1.0)}}, "the trapezium of spleen is empty: d_min 1, d_max 1"),
        ({"structures": {"spleen": (0.0, 1.0, 0.0)}}, "the trapezium of spleen is empty"),
        ({"structures": {"spleen": (0.0, 101.0, 1.0)}}, "the trapezium of spleen holds more than 100 mm"),
        ({"structures": {"spleen": (float("nan"), 1.0, 1.0)}}, "finite number"),
        ({"structures": {"spleen": (0.0, 1.0)}}, "Field required"),
        ({"outside": 1.5}, "lymph nodes are likelier where there is no attention"),
        ({"inside": 51.0}, "less than or equal to 50"),
        ({"further": 1}, "Extra inputs are not permitted"),
    ],
)
def test_numbers_that_make_no_trapezia_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Trapezia.model_validate({**TRAPEZIA.model_dump(), **change})
