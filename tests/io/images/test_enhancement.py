"""A "venous" CT without contrast agent is noticed, with the aorta and without."""

import numpy as np

from lymphct.core.geometry import WORKING_DIRECTION, Geometry
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.enhancement import looks_unenhanced
from lymphct.io.images.reading import read_ct, read_labels
from lymphct.io.manifest import Manifest

GRID = Geometry(
    shape=(40, 40, 30), spacing=(4.0, 4.0, 4.0), origin=(0.0, 0.0, 0.0), direction=WORKING_DIRECTION
)


def body(liver: float) -> Volume:
    """Return soft tissue of 40 HU with a liver of 60 × 60 × 60 mm and a thin sheet of bone."""
    values = np.full(GRID.shape, -1000.0, dtype=np.float32)
    values[5:35, 5:35, :] = 40.0
    values[8:23, 8:23, 5:20] = liver
    values[30:32, 10:30, :] = 250.0
    return Volume(array=values, geometry=GRID)


def test_without_the_aorta_bright_organs_tell() -> None:
    assert looks_unenhanced(body(110.0)) is None
    found = looks_unenhanced(body(55.0))
    assert found is not None
    assert (found.code, found.value) == ("venous_unenhanced", 0.0)
    assert "0.0 % of the soft tissue is brighter than 90 HU" in found.text


def test_with_the_aorta_its_hu_decides() -> None:
    aorta = np.zeros(GRID.shape, np.uint8)
    aorta[10:14, 10:14, 5:20] = 1
    mask = Volume(array=aorta, geometry=GRID)
    assert looks_unenhanced(body(130.0), mask) is None
    found = looks_unenhanced(body(42.0), mask)
    assert found is not None
    assert found.value == 42.0
    assert "the aorta has 42 HU (80 expected)" in found.text


def test_no_phase_of_a_phantom_looks_unenhanced(cohort: Manifest) -> None:
    for record in cohort.patients[:3]:
        venous = read_ct(record.venous, phase=Phase.VENOUS).volume
        assert record.structures is not None
        structures = read_labels(record.structures, grid=venous.geometry)
        assert looks_unenhanced(venous) is None
        assert looks_unenhanced(venous, structures.with_array(structures.array == Structure.AORTA)) is None
