"""Sizes in voxels, given at one spacing and scaled to the working grid (Sec. IV-A.2, decision 0036)."""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

from lymphct.cascade.settings import Config
from lymphct.core.arrays import Vector3
from lymphct.core.settings import Settings, described
from lymphct.imaging.settings import GRID
from lymphct.learning.scaling import ScaledNetwork, scale_network, scale_size
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.nodes.settings import IdentificationSettings

S = TypeVar("S", bound=Settings)


def scaled(config: Config) -> Config:
    """Return the settings with every size in voxels of the working grid; what is scaled stays as it is.

    Patches keep their extent, rounded up to a multiple of the network's total stride; a network loses its
    lowest resolutions while an axis would have fewer than four voxels there. Stage 2 keeps the backbone of
    stage 1, whose weights it starts from, and crops that fit it. Patches of the status network are in mm.

    >>> scaled(Config.model_validate({"imaging": {"spacing": [2, 2, 2.5]}})).nodes.sampling.patch_size
    (56, 72, 32)
    """
    given, grid = config.imaging.sizes_at, config.imaging.spacing
    if given == GRID:
        return config
    changes: dict[str, Settings] = {"imaging": _updated(config.imaging, sizes_at=GRID)}
    if given != grid:
        segmentations = {name: getattr(config, name) for name in ("structures", "tumor", "nodes")}
        for name, settings in segmentations.items():
            network = _network(settings, given, grid)
            changes[name] = _updated(
                settings,
                unet=network.unet,
                sampling=_updated(settings.sampling, patch_size=network.patch_size),
            )
        changes["identification"] = _identification(config, given, grid)
    return _updated(config, **changes)


def _network(settings: SegmentationTrainingSettings, given: Vector3, grid: Vector3) -> ScaledNetwork:
    return scale_network(settings.unet, settings.sampling.patch_size, given, grid)


def _identification(config: Config, given: Vector3, grid: Vector3) -> IdentificationSettings:
    settings = config.identification
    # The backbone was planned for the patch of stage 1: it loses the resolutions that stage 1 loses.
    unet = scale_network(settings.unet, config.nodes.sampling.patch_size, given, grid).unet
    sampling = settings.sampling
    fewest, most = sampling.box_jitter
    sampling = _updated(
        sampling,
        crop_size=scale_size(sampling.crop_size, given, grid, unet.total_stride),
        box_jitter=(_margin(fewest, given, grid), _margin(most, given, grid)),
        box_margin=_margin(sampling.box_margin, given, grid),
    )
    return _updated(settings, unet=unet, sampling=sampling)


def _margin(voxels: int, given: Vector3, grid: Vector3) -> int:
    """Return the margin that is as wide in mm, on the average of the axes; at least 1 where there was one."""
    if voxels == 0:
        return 0
    factor = math.prod(old / new for old, new in zip(given, grid, strict=True)) ** (1 / 3)
    return max(round(voxels * factor), 1)


def _updated(settings: S, **changes: Any) -> S:  # noqa: ANN401 - values of any setting
    """Return settings with some values replaced, checked as if they had been given."""
    return type(settings).model_validate({**dict(settings), **changes})


def scaled_sizes(config: Config) -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted name, as given, on the working grid) of each setting that the scaling changes."""
    on_grid = {name: value for name, value, _ in described(scaled(config))}
    for name, value, _ in described(config):
        if name != "imaging.sizes_at" and value != on_grid[name]:
            yield name, value, on_grid[name]
