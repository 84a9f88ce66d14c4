"""The attention map on organs of a real patient (TotalSegmentator's label map of its example CT)."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import distance_transform_edt

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map, structures_present
from lymphct.core.arrays import DoubleArray
from lymphct.core.geometry import Geometry
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, Structure
from lymphct.core.volume import Volume

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
LABEL_MAP = DATA / "open_totalseg_example_ct" / "example_seg_fast_force_split.nii.gz"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(
        not LABEL_MAP.is_file(), reason=f"no {LABEL_MAP.name}: set LYMPHCT_DATA to the shared data folder"
    ),
]


@pytest.fixture(scope="module")
def structures() -> Volume:
    image = nibabel.load(LABEL_MAP)
    numbers = np.asarray(image.dataobj).astype(np.uint8)
    table = np.zeros(256, dtype=np.uint8)
    for theirs, ours in TOTALSEGMENTATOR_LABELS.items():
        table[theirs] = ours
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    shape = (numbers.shape[0], numbers.shape[1], numbers.shape[2])
    return Volume(array=table[numbers], geometry=Geometry.from_affine(affine, shape))


def by_whole_transforms(structures: Volume) -> DoubleArray:
    """Eq. 1 and Eq. 2 from twenty distance transforms of the whole image, in double precision."""
    labels, spacing = structures.array, structures.geometry.spacing
    attention = np.zeros(labels.shape)
    inside = {}
    for structure in structures_present(structures):
        low, high = PAPER_BANDS[structure]
        own = labels == structure
        distance = distance_transform_edt(~own, spacing) - distance_transform_edt(own, spacing)
        score = np.clip(1 + np.minimum(distance - low, high - distance) / 3.0, 0, 1)
        inside[structure] = score[own]
        attention = np.maximum(attention, score)
    for structure, score in inside.items():
        attention[labels == structure] = score
    return attention


def test_on_real_organs_the_map_equals_whole_distance_transforms(structures: Volume) -> None:
    found = attention_map(structures).array
    assert_allclose(found, by_whole_transforms(structures), rtol=0, atol=1e-5)
    assert 0.05 < (found > 0).mean() < 0.5


def test_the_real_label_map_lacks_the_small_arteries(structures: Volume) -> None:
    present = structures_present(structures)
    assert Structure.PANCREAS in present
    assert Structure.LEFT_GASTRIC_ARTERY not in present
