import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor

from lymphct.anatomy.settings import TumorSettings
from lymphct.anatomy.tumor import build_tumor_network, segment_tumor
from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.imaging.crop import crop_volume
from lymphct.learning.cases import training_case
from lymphct.learning.channels import network_channels
from lymphct.learning.segmentation import fit_segmentation
from lymphct.learning.settings import AugmentationSettings, SamplingSettings, TrainingSettings, UNetSettings
from lymphct.learning.training import best_weights
from lymphct.learning.unet import SegmentationNetwork

UNET = UNetSettings(features=(8, 16), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1)
SETTINGS = TumorSettings(
    unet=UNET,
    sampling=SamplingSettings(patch_size=(24, 24, 16)),
    augmentation=AugmentationSettings.preset("none"),
    training=TrainingSettings(
        epochs=1, iterations_per_epoch=50, optimizer="adamw", learning_rate=2e-2, validate_every=1
    ),
)


class Bright(SegmentationNetwork):
    """Calls every voxel tumor whose venous intensity is above 0."""

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        del attention
        venous = image[:, 1:2]
        return [torch.cat((-venous, venous), dim=1)]


@pytest.fixture
def bright() -> Bright:
    return Bright(2, 2, UNET)


def image_with(structures: Volume, boxes: list[tuple[int, int]]) -> Multiphase:
    """Bright plates of the given first and last + 1 slice along i; each voxel has 4.5 mm³."""
    array = np.full(structures.array.shape, -1.0, dtype=np.float32)
    for start, stop in boxes:
        array[start:stop, 5:10, 5:10] = 1.0
    return Multiphase(venous=structures.with_array(array))


def test_the_tumor_of_one_patient_is_learned_by_heart(image: Multiphase, tumor: Volume) -> None:
    case = training_case("p1", network_channels(image), tumor)
    network = build_tumor_network(SETTINGS)
    *_, last = fit_segmentation(network, [case], [case], SETTINGS, seed=0)
    network.load_state_dict(best_weights(last.state))
    found = segment_tumor(network, image, SETTINGS)
    overlap = (found.array & tumor.array).sum()
    assert 2 * overlap / (found.array.sum() + tumor.array.sum()) > 0.85
    assert found.array.dtype == np.uint8
    assert set(np.unique(found.array)) == {0, 1}


def test_only_the_largest_component_is_kept(bright: Bright, structures: Volume) -> None:
    found = segment_tumor(bright, image_with(structures, [(2, 5), (10, 16)]), SETTINGS)
    assert np.flatnonzero(found.array.any(axis=(1, 2))).tolist() == list(range(10, 16))


def test_further_components_are_kept_when_the_share_allows(bright: Bright, structures: Volume) -> None:
    settings = SETTINGS.model_copy(update={"component_share": 0.5})
    found = segment_tumor(bright, image_with(structures, [(2, 5), (10, 16), (20, 21)]), settings)
    assert np.flatnonzero(found.array.any(axis=(1, 2))).tolist() == [2, 3, 4, *range(10, 16)]


def test_a_tumor_below_the_smallest_volume_is_not_found(bright: Bright, structures: Volume) -> None:
    image = image_with(structures, [(10, 11)])  # 25 voxels, 112.5 mm³
    assert segment_tumor(bright, image, SETTINGS).array.sum() == 25
    larger = SETTINGS.model_copy(update={"min_volume": 113.0})
    assert not segment_tumor(bright, image, larger).array.any()


def test_no_tumor_gives_an_empty_mask(bright: Bright, structures: Volume) -> None:
    assert not segment_tumor(bright, image_with(structures, []), SETTINGS).array.any()


def test_the_threshold_decides(bright: Bright, structures: Volume) -> None:
    image = image_with(structures, [(10, 16)])  # logits −1 and 1: a probability of 0.881
    strict = SETTINGS.model_copy(update={"threshold": 0.9})
    assert not segment_tumor(bright, image, strict).array.any()
    assert segment_tumor(bright, image, SETTINGS.model_copy(update={"threshold": 0.88})).array.any()


def test_the_settings_survive_json() -> None:
    again = TumorSettings.model_validate_json(SETTINGS.model_dump_json())
    assert again == SETTINGS
    weights = build_tumor_network(SETTINGS, seed=3).state_dict()
    build_tumor_network(again).load_state_dict(weights, strict=True)


def test_a_component_away_from_the_pancreas_is_no_tumor_however_large(
    bright: Bright, structures: Volume
) -> None:
    image = image_with(structures, [(2, 5), (10, 16)])
    pancreas = np.zeros(structures.array.shape, dtype=np.uint8)
    pancreas[0:2, 5:10, 5:10] = 1
    near = segment_tumor(bright, image, SETTINGS, structures.with_array(pancreas))
    assert np.flatnonzero(near.array.any(axis=(1, 2))).tolist() == [2, 3, 4]


def test_without_a_pancreas_every_component_may_be_the_tumor(bright: Bright, structures: Volume) -> None:
    image = image_with(structures, [(2, 5), (10, 16)])
    absent = structures.with_array(np.zeros(structures.array.shape, dtype=np.uint8))
    found = segment_tumor(bright, image, SETTINGS, absent)
    assert np.flatnonzero(found.array.any(axis=(1, 2))).tolist() == list(range(10, 16))


class Counting(Bright):
    """Counts the windows it sees."""

    windows = 0

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        self.windows += len(image)
        return super().forward(image, attention)


@pytest.mark.parametrize("boxes", [[(2, 5), (50, 58)], [(2, 40), (50, 58)], [(2, 60)], [(30, 40)]])
def test_windows_at_the_pancreas_alone_find_the_same_tumor_with_fewer(boxes: list[tuple[int, int]]) -> None:
    grid = Geometry(shape=(60, 40, 30), spacing=(1.5, 1.5, 2.0))
    image = image_with(Volume(array=np.zeros(grid.shape, dtype=np.uint8), geometry=grid), boxes)
    drawn = np.zeros(grid.shape, dtype=np.uint8)
    drawn[0:4, 4:11, 4:11] = 1
    pancreas = image.venous.with_array(drawn)
    settings = SETTINGS.model_copy(
        update={"sampling": SamplingSettings(patch_size=(8, 8, 8)), "pancreas_margin": 4.0}
    )
    found, windows = [], []
    for pancreas_only in (True, False):
        network = Counting(2, 2, UNET)
        chosen = settings.model_copy(update={"pancreas_only": pancreas_only})
        found.append(segment_tumor(network, image, chosen, pancreas))
        windows.append(network.windows)
    assert_array_equal(found[0].array, found[1].array)
    assert found[0].array.any() == (boxes != [(30, 40)])
    assert found[0].geometry == grid
    if boxes[0][1] < 10:
        assert windows[0] < 0.5 * windows[1]


def test_without_a_pancreas_windows_lie_over_the_body_alone() -> None:
    grid = Geometry(shape=(60, 40, 30), spacing=(1.5, 1.5, 2.0))
    array = np.full(grid.shape, -2.0, dtype=np.float32)
    array[5:25] = -0.5
    array[10:16, 5:10, 5:10] = 1.0
    image = Multiphase(venous=Volume(array=array, geometry=grid))
    settings = SETTINGS.model_copy(update={"sampling": SamplingSettings(patch_size=(8, 8, 8))})
    found, windows = [], []
    for body_only in (True, False):
        network = Counting(2, 2, UNET)
        found.append(segment_tumor(network, image, settings.model_copy(update={"body_only": body_only})))
        windows.append(network.windows)
    assert_array_equal(found[0].array, found[1].array)
    assert found[0].array.sum() == 150
    assert windows[0] < 0.8 * windows[1]


def test_a_pancreas_on_another_grid_is_refused(bright: Bright, structures: Volume) -> None:
    small = crop_volume(structures, (0, 0, 0), (8, 8, 8), fill=1)
    with pytest.raises(GeometryMismatchError, match="the pancreas mask lies on another voxel grid"):
        segment_tumor(bright, image_with(structures, []), SETTINGS, small)
