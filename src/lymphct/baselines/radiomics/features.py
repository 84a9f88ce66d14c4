"""The radiomics features of a tumor: 1,688 of each phase, with the names of pyradiomics 3.0.1 (Sec. IV-E)."""

import warnings
from typing import Any, Final

import numpy as np

from lymphct.baselines.radiomics import library
from lymphct.baselines.radiomics.derived_images import TumorImage, as_sitk, derived_images
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.arrays import BoolArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase
from lymphct.core.volume import Volume
from lymphct.learning.tensors import to_network

FEATURES_OF_A_PHASE: Final = 1688
"""18 image types × 93, and 14 of the shape."""
TOO_SMALL: Final = "E_TUMOR_SIZE"
"""Code of the refusal of a tumor without two dimensions."""


def radiomics_features(ct: Multiphase, tumor: Volume, settings: RadiomicsSettings) -> dict[str, float]:
    """Return `<phase>_<name of pyradiomics>` → value, NaN where a feature is not defined (Sec. IV-E).

    The values are those of pyradiomics on the whole image. The shape is measured once, for both phases.

    Args:
        ct: HU; a phase that was not acquired has no features.
        tumor: mask on the same grid, above 0 inside.
        settings: how gray levels are made.

    Raises:
        InputError: the tumor is empty, a single voxel or a line.
        EnvironmentProblemError: pyradiomics is missing.
        GeometryMismatchError: CT and tumor lie on different grids.

    """
    library.require_pyradiomics()
    ct.venous.require_same_grid(tumor, name="CT", reference="tumor mask")
    mask: BoolArray = to_network(tumor.array > 0)
    box = _bounding_box(mask)
    phases = {Phase.ARTERIAL: ct.arterial, Phase.VENOUS: ct.venous}
    found: dict[str, float] = {}
    with library.quiet(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of divisions in flat images; such a feature is NaN
        extractor = library.extractor(settings.bin_width)
        shape: dict[str, float] = {}
        for phase, volume in phases.items():
            if volume is None:
                continue
            image = TumorImage(to_network(volume.array), mask[box], _start(box), volume.geometry.spacing)
            shape = shape or _shape(extractor, image)
            features = shape | _textures(extractor, image)
            found |= {f"{phase.value}_{name}": value for name, value in features.items()}
    return found


def _bounding_box(mask: BoolArray) -> tuple[slice, slice, slice]:
    """Return where the tumor lies; pyradiomics has no features of less than a plane."""
    sides = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0))
    i, j, k = sides
    if sum(side.stop - side.start > 1 for side in sides) < 2:
        msg = f"the tumor has {int(mask.sum())} voxels in a line or none: radiomics needs two dimensions"
        raise InputError(msg, code=TOO_SMALL, cure="leave the patient out of radiomics")
    return (i, j, k)


def _start(box: tuple[slice, slice, slice]) -> tuple[int, int, int]:
    return (box[0].start, box[1].start, box[2].start)


def _shape(extractor: Any, tumor: TumorImage) -> dict[str, float]:  # noqa: ANN401 - no types
    mask = as_sitk(tumor.mask.astype(np.uint32), tumor.spacing)
    k, j, i = tumor.mask.shape
    bounds = np.array([0, i - 1, 0, j - 1, 0, k - 1])
    return _numbers(extractor.computeShape(mask, mask, bounds, **extractor.settings))


def _textures(extractor: Any, tumor: TumorImage) -> dict[str, float]:  # noqa: ANN401 - no types
    mask = as_sitk(tumor.mask.astype(np.uint32), tumor.spacing)
    found: dict[str, float] = {}
    for name, derived in derived_images(tumor):
        image = as_sitk(derived, tumor.spacing)
        found |= _numbers(extractor.computeFeatures(image, mask, name, **extractor.settings))
    return found


def _numbers(features: Any) -> dict[str, float]:  # noqa: ANN401 - a dictionary of arrays of no dimension
    return {name: float(value) for name, value in features.items()}
