"""Radiomics of a tumor, made once: cascades that are given the same mask ask for the same numbers."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from lymphct.baselines.radiomics.features import radiomics_features
from lymphct.baselines.settings import RadiomicsSettings
from lymphct.core.patient import Multiphase
from lymphct.core.volume import Volume
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.made import Recipe, made

FEATURES_FILE: Final = "features.json"


@dataclass(frozen=True, slots=True)
class KeptRadiomics:
    """`radiomics_features` with a memory on the disk; processes that need the same wait for one another.

    Attributes:
        folder: receives a folder per image, mask and settings; no ids of patients.

    """

    folder: Path

    def __call__(self, ct: Multiphase, tumor: Volume, settings: RadiomicsSettings) -> dict[str, float]:
        """Return the features of the tumor (Sec. IV-E).

        Raises:
            InputError, EnvironmentProblemError, GeometryMismatchError: as `radiomics_features`.

        """
        images = {"venous": ct.venous, "arterial": ct.arterial, "tumor": tumor}
        recipe = Recipe(
            inputs={role: _digest(image) for role, image in images.items() if image is not None},
            settings=settings.model_dump(mode="json"),
            code=("baselines.radiomics",),
        )

        def write(folder: Path) -> None:
            found = radiomics_features(ct, tumor, settings)
            write_json(
                folder / FEATURES_FILE,
                {name: value if math.isfinite(value) else None for name, value in found.items()},
            )

        record: Any = read_json(made(self.folder / recipe.key[:32], recipe, write) / FEATURES_FILE)
        return {name: math.nan if value is None else float(value) for name, value in record.items()}


def _digest(volume: Volume) -> str:
    """Return a digest of the values and of where they lie."""
    found = hashlib.sha256(repr(volume.geometry).encode())
    found.update(str(volume.array.dtype).encode())
    found.update(np.ascontiguousarray(volume.array).data)
    return found.hexdigest()
