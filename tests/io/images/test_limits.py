import pytest

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.limits import AnatomicalLimits, Range, SafetyLimits, check_anatomy, check_safety

PERMUTED = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))


def test_a_range_holds_its_ends_despite_32_bit_headers_but_never_nan() -> None:
    allowed = Range(0.2, 5.0)
    assert allowed.holds(0.19999999)
    assert not allowed.holds(0.199)
    assert not allowed.holds(float("nan"))
    assert str(allowed) == "0.2 to 5"


def test_a_usual_ct_passes_in_any_axis_order() -> None:
    limits = AnatomicalLimits()
    check_anatomy(Geometry(shape=(512, 512, 300), spacing=(0.68, 0.68, 0.8)), limits)
    # Axes of the file: cranial first, then left, then posterior.
    check_anatomy(Geometry(shape=(30, 512, 512), spacing=(5.0, 0.8, 0.8), direction=PERMUTED), limits)


@pytest.mark.parametrize(
    ("shape", "spacing", "word"),
    [
        ((512, 512, 3), (0.7, 0.7, 5.0), "number of slices 3"),
        ((12, 512, 30), (4.0, 0.7, 5.0), "voxels in plane 12"),
        ((512, 512, 300), (0.1, 0.7, 1.0), "spacing in plane 0.1 mm"),
        ((512, 512, 30), (0.7, 0.7, 12.0), "spacing of the slices 12 mm"),
        ((64, 512, 30), (1.0, 0.7, 5.0), "extent in plane 64 mm"),
    ],
)
def test_a_grid_no_abdomen_has_is_refused_with_the_measure(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], word: str
) -> None:
    with pytest.raises(InputError, match=word) as caught:
        check_anatomy(Geometry(shape=shape, spacing=spacing), AnatomicalLimits())
    assert caught.value.code == "E_ANATOMY"


def test_safety_limits_hold_for_every_image() -> None:
    check_safety(Geometry(shape=(2, 2, 2), spacing=(0.05, 1.0, 20.0)), SafetyLimits())
    with pytest.raises(InputError, match="21 mm lies outside the limits"):
        check_safety(Geometry(shape=(2, 2, 2), spacing=(1.0, 1.0, 21.0)), SafetyLimits())
    with pytest.raises(InputError, match="too large"):
        check_safety(Geometry(shape=(1000, 1000, 601), spacing=(1.0, 1.0, 1.0)), SafetyLimits())
