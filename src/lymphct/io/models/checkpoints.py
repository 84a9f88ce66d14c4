"""Checkpoints of a training: committed folders of safetensors and JSON, verified before they are trusted."""

import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lymphct.core.errors import InputError, ModelError, UsageError
from lymphct.io.models.weights import LARGEST_WEIGHTS, pack_tensors, unpack_tensors
from lymphct.io.results.disk import environment_errors, read_bounded
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.store import clean_stale_staging, committed_folder, is_current, read_done

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints kept: the newest, and one to fall back to. The best weights are among the tensors."""

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_NAME = re.compile(r"epoch-(\d{6,})")


def save_checkpoint(folder: Path, tensors: Mapping[str, "torch.Tensor"], meta: Mapping[str, JSON]) -> None:
    """Commit `folder/epoch-NNNNNN/` and remove all but the last two checkpoints up to this epoch.

    Args:
        folder: where this training keeps its checkpoints.
        tensors: weights, optimizer, random state, best weights.
        meta: everything else, with the number of the `epoch` (an integer from 0).

    Raises:
        UsageError: `meta` has no epoch.
        ValueError: a number in `meta` is not finite.
        EnvironmentProblemError: no space, no permission and the like; older checkpoints are untouched.

    """
    epoch = meta.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
        msg = "a checkpoint needs the number of its epoch"
        raise UsageError(msg, cure='give meta["epoch"], an integer from 0')
    target = folder / f"epoch-{epoch:06d}"
    with environment_errors():
        if target.exists() and read_done(target) is None:
            shutil.rmtree(target)  # damaged, passed over when the training resumed
    with committed_folder(target, {"epoch": epoch}) as staging:
        (staging / _TENSORS).write_bytes(pack_tensors(tensors))
        write_json(staging / _STATE, meta)
    kept = [number for number in _epochs(folder) if number <= epoch][:KEPT]
    with environment_errors():
        for number, path in _epochs(folder).items():
            if number not in kept:  # older ones, and later ones of a course of training that was given up
                shutil.rmtree(path)


def _epochs(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a folder by their epoch, newest first."""
    if not folder.is_dir():
        return {}
    matches = {path: _NAME.fullmatch(path.name) for path in folder.iterdir()}
    found = {int(match[1]): path for path, match in matches.items() if match}
    return dict(sorted(found.items(), reverse=True))


def has_checkpoint(folder: Path) -> bool:
    """Return whether a training left a checkpoint, without reading it."""
    return any(is_current(path) for path in _epochs(folder).values())


def load_checkpoint(folder: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, JSON]] | None:
    """Return the tensors and the meta data of the newest checkpoint that is whole; None without one.

    A damaged checkpoint is passed over with a line in the log.

    Raises:
        EnvironmentProblemError: no memory, no permission and the like.

    """
    clean_stale_staging(folder)
    for path in _epochs(folder).values():
        try:
            return _load(path)
        except (ModelError, InputError) as damage:
            logger.warning("checkpoint %s is passed over, an older one is used: %s", path.name, damage.cause)
    return None


def _load(path: Path) -> tuple[dict[str, "torch.Tensor"], dict[str, JSON]]:
    if not is_current(path, verify=True):
        msg = "a file is missing or changed"
        raise ModelError(msg)
    meta = read_json(path / _STATE)
    if not isinstance(meta, dict):
        msg = f"{_STATE} is not a table"
        raise ModelError(msg)
    with environment_errors():
        return unpack_tensors(read_bounded(path / _TENSORS, LARGEST_WEIGHTS)), meta
