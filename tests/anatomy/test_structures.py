import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import Tensor

from lymphct.anatomy.settings import StructureSettings
from lymphct.anatomy.structures import (
    CLASSES,
    build_structure_network,
    found_structures,
    segment_structures,
)
from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.learning.cases import training_case
from lymphct.learning.channels import network_channels
from lymphct.learning.segmentation import fit_segmentation
from lymphct.learning.settings import AugmentationSettings, SamplingSettings, TrainingSettings, UNetSettings
from lymphct.learning.training import best_weights
from lymphct.learning.unet import SegmentationNetwork

SETTINGS = StructureSettings(
    unet=UNetSettings(features=(8, 16), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1),
    sampling=SamplingSettings(patch_size=(24, 24, 16)),
    augmentation=AugmentationSettings.preset("none"),
    training=TrainingSettings(
        epochs=1, iterations_per_epoch=50, optimizer="adamw", learning_rate=2e-2, validate_every=1
    ),
)


def trained(image: Multiphase, labels: Volume) -> SegmentationNetwork:
    case = training_case("p1", network_channels(image), labels)
    network = build_structure_network(SETTINGS)
    *_, last = fit_segmentation(network, [case], [case], SETTINGS, seed=0)
    network.load_state_dict(best_weights(last.state))
    return network


def dice(found: AnyArray, truth: AnyArray, structure: Structure) -> float:
    a, b = found == structure, truth == structure
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_structures_of_one_patient_are_learned_by_heart(image: Multiphase, structures: Volume) -> None:
    found = segment_structures(trained(image, structures), image, SETTINGS)
    assert found.array.dtype == np.uint8
    assert found.geometry == image.venous.geometry
    for structure in (Structure.SPLEEN, Structure.AORTA, Structure.PANCREAS):
        assert dice(found.array, structures.array, structure) > 0.85
    assert found_structures(found) == (Structure.SPLEEN, Structure.AORTA, Structure.PANCREAS)


def test_a_structure_that_nobody_drew_costs_nothing(image: Multiphase, structures: Volume) -> None:
    labels = structures.array.copy()
    labels[structures.array == Structure.AORTA] = 255
    found = segment_structures(trained(image, structures.with_array(labels)), image, SETTINGS)
    # Never shown as aorta, and never punished for being called pancreas or spleen: not background either.
    assert not (found.array == Structure.AORTA).any()
    assert dice(found.array, structures.array, Structure.SPLEEN) > 0.7


def test_a_fresh_network_has_one_class_for_each_structure_and_the_background() -> None:
    logits = build_structure_network(SETTINGS)(torch.zeros(1, 2, 12, 16, 16))
    assert logits[0].shape == (1, CLASSES, 12, 16, 16)
    assert CLASSES == 20


def test_a_patient_without_arterial_phase_is_segmented_with_zeros(image: Multiphase) -> None:
    network = build_structure_network(SETTINGS)
    zero = image.venous.with_array(np.zeros_like(image.venous.array))
    missing = segment_structures(network, Multiphase(venous=image.venous), SETTINGS)
    zeros = segment_structures(network, Multiphase(venous=image.venous, arterial=zero), SETTINGS)
    assert_array_equal(missing.array, zeros.array)


@pytest.mark.parametrize("present", [(), (Structure.AORTA,), (Structure.LEFT_ADRENAL, Structure.SPLEEN)])
def test_found_structures_are_those_with_a_voxel(structures: Volume, present: tuple[Structure, ...]) -> None:
    array = np.zeros_like(structures.array)
    for n, structure in enumerate(present):
        array[n, 0, 0] = structure
    assert found_structures(structures.with_array(array)) == tuple(sorted(present))


def test_the_settings_survive_json_and_keep_left_and_right_apart() -> None:
    again = StructureSettings.model_validate_json(SETTINGS.model_dump_json())
    assert again == SETTINGS
    assert StructureSettings().augmentation.mirror_axes == (False, False, False)
    assert StructureSettings().sampling.patch_size == (160, 192, 80)


class Slices(SegmentationNetwork):
    """Calls bright voxels spleen, and counts the windows it sees."""

    windows = 0

    def forward(self, image: Tensor, attention: Tensor | None = None) -> list[Tensor]:
        del attention
        self.windows += len(image)
        logits = torch.zeros(len(image), CLASSES, *image.shape[2:])
        logits[:, Structure.SPLEEN] = image[:, 1]
        return [logits]


def test_windows_over_the_body_alone_find_the_same_with_fewer() -> None:
    grid = Geometry(shape=(90, 80, 40), spacing=(1.5, 1.5, 2.0))
    array = np.full(grid.shape, -2.0, dtype=np.float32)
    array[10:40, 20:60] = -0.5
    array[20:30, 30:40, 12:20] = 1.0
    image = Multiphase(venous=Volume(array=array, geometry=grid))
    found, windows = [], []
    for body_only in (True, False):
        network = Slices(2, CLASSES, SETTINGS.unet)
        found.append(segment_structures(network, image, SETTINGS.model_copy(update={"body_only": body_only})))
        windows.append(network.windows)
    assert_array_equal(found[0].array, found[1].array)
    assert found[0].array.sum() == 800 * Structure.SPLEEN
    assert found[0].geometry == grid
    assert windows[0] < 0.6 * windows[1]
