"""What the folder of an nnU-Net says of itself: how many images it takes, which structures it draws."""

from pathlib import Path
from typing import Any

from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.io.images.label_names import DATASET_FILE, names_in_dataset, structure_named
from lymphct.io.results.jsonfile import read_json


def description_file(folder: Path) -> Path:
    """Return the file that names labels and channels; of a fold's folder the one above it."""
    found = next((p for p in (folder / DATASET_FILE, folder.parent / DATASET_FILE) if p.is_file()), None)
    if found is None:
        msg = "the folder of the nnU-Net holds no dataset.json, which names its labels and channels"
        cure = "give the results folder, such as nnUNetTrainer__nnUNetPlans__3d_fullres"
        raise InputError(msg, code="E_NNUNET", cure=cure).at(file=folder.name)
    return found


def nnunet_channels(folder: Path) -> int:
    """Return how many images an nnU-Net takes: one, the venous phase, or arterial and venous.

    Raises:
        InputError: the folder holds no `dataset.json`.

    """
    content: Any = read_json(description_file(folder))
    channels: dict[str, Any] = content.get("channel_names", {}) if isinstance(content, dict) else {}
    return max(len(channels), 1)


def nnunet_structures(folder: Path) -> tuple[Structure, ...]:
    """Return the structures that the labels of an nnU-Net are named after.

    Raises:
        InputError: the folder holds no `dataset.json`.

    """
    named = {structure_named(name) for name in names_in_dataset(description_file(folder)).values()}
    return tuple(sorted(structure for structure in named if structure is not None))
