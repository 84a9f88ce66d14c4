"""Time radiomics around the tumor against pyradiomics on whole images, both phases.

`python benchmarks/radiomics_speed.py [--shape 288 288 200] [--runs 3] [--diameter 30] [--json FILE]`: soft
tissue with noise, air and metal at the corners, a ball as tumor. *error* is the largest relative difference
of a feature. It needs `lymphct[radiomics]` and trimesh, and lends pyradiomics the function of scipy that its
LBP3D misses in new versions.
"""

import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import scipy.special
import SimpleITK
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import Method, compare, finish, parser

from lymphct.baselines.radiomics import library
from lymphct.baselines.radiomics.features import radiomics_features
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.arrays import AnyArray
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.learning.tensors import to_network

SPACING: Final = (0.68, 0.68, 0.80)
"""The grid of the paper, mm."""
KINDS: Final = (
    "Original", "Wavelet", "Square", "SquareRoot", "Logarithm", "Exponential", "Gradient", "LBP2D", "LBP3D",
)  # fmt: skip
ILL_CONDITIONED: Final = "RobustMeanAbsoluteDeviation"
"""Of LBP3D, whose few levels are equal numbers: which lie within percentiles is up to their last bit."""


def ours(ct: Multiphase, tumor: Volume) -> dict[str, float]:
    """Measure both phases around the tumor."""
    return radiomics_features(ct, tumor, RadiomicsSettings())


def by_pyradiomics(ct: Multiphase, tumor: Volume) -> dict[str, float]:
    """Measure both phases on whole images."""
    phases = {"arterial": ct.arterial, "venous": ct.venous}
    found: dict[str, float] = {}
    with library.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extractor = library.extractor(RadiomicsSettings().bin_width)
        extractor.disableAllImageTypes()
        for kind in KINDS:
            extractor.enableImageTypeByName(kind)
        for phase, image in phases.items():
            if image is not None:
                features = extractor.execute(_as_sitk(image), _as_sitk(tumor))
                found |= {
                    f"{phase}_{name}": float(value)
                    for name, value in features.items()
                    if not name.startswith("diagnostics")
                }
    return found


def _as_sitk(volume: Volume) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(to_network(volume.array))
    image.SetSpacing(volume.geometry.spacing)
    return image


def difference(found: Mapping[str, float], known: Mapping[str, float]) -> float:
    """Return the largest relative difference; infinite where a feature is not there in one alone."""
    if found.keys() != known.keys():
        return math.inf
    names = [name for name in found if not (name.endswith(ILL_CONDITIONED) and "_lbp-3D" in name)]
    a, b = (np.array([features[name] for name in names]) for features in (found, known))
    if (np.isnan(a) != np.isnan(b)).any():
        return math.inf
    apart = np.abs(a - b) / np.maximum(np.abs(b), 1e-9)
    return float(np.nanmax(apart))


def patient(shape: Sequence[int], diameter: float) -> tuple[Multiphase, Volume]:
    """Make both phases and the tumor."""
    grid = Geometry(shape=(shape[0], shape[1], shape[2]), spacing=SPACING)
    distance = np.moveaxis(np.indices(shape, dtype=np.float32), 0, -1) - np.array(shape) / 2
    mask = np.linalg.norm(distance * SPACING, axis=-1) < diameter / 2
    phases = [Volume(array=_texture(shape, seed), geometry=grid) for seed in (0, 1)]
    tumor = Volume(array=mask.astype(np.uint8), geometry=grid)
    return Multiphase(venous=phases[0], arterial=phases[1]), tumor


def _texture(shape: Sequence[int], seed: int) -> AnyArray:
    noise = np.random.default_rng(seed).normal(0, 60, shape).astype(np.float32)
    image = 3 * gaussian_filter(noise, 0.8) + 60
    image[0, 0, 0], image[-1, -1, -1] = -1024, 1500
    texture: AnyArray = image.astype(np.int16)
    return texture


def spherical_harmonic(order: int, degree: int, azimuth: AnyArray, polar: AnyArray) -> AnyArray:
    """Return Y as `scipy.special.sph_harm` did until it was taken out."""
    m = abs(order)
    scale = math.sqrt(
        (2 * degree + 1) / (4 * math.pi) * math.factorial(degree - m) / math.factorial(degree + m)
    )
    y: AnyArray = scale * scipy.special.lpmv(m, degree, np.cos(polar)) * np.exp(1j * m * azimuth)
    return (-1) ** m * np.conj(y) if order < 0 else y


def main() -> None:
    options = parser(__doc__ or "", (288, 288, 200))
    options.set_defaults(runs=3)
    options.add_argument("--diameter", type=float, default=30.0, help="of the tumor, mm")
    chosen = options.parse_args()
    vars(scipy.special).setdefault("sph_harm", spherical_harmonic)
    ct, tumor = patient(chosen.shape, chosen.diameter)
    known = by_pyradiomics(ct, tumor)
    away = partial(difference, known=known)
    table = compare(
        f"radiomics of both phases, {len(known)} features, {chosen.shape} voxels",
        [
            Method(
                name="lymphct, around the tumor", compute=partial(ours, ct, tumor), error=away, limit=1e-8
            ),
            Method(
                name="pyradiomics, whole images",
                compute=partial(by_pyradiomics, ct, tumor),
                error=away,
                is_slow=True,
            ),
        ],
        chosen.runs,
        shape=chosen.shape,
        diameter_mm=chosen.diameter,
        tumor_voxels=int(tumor.array.sum()),
    )
    finish([table], chosen.json)


if __name__ == "__main__":
    main()
