"""The user's own nnU-Net, run in a child process with progress and limits.

It is found as the interpreter, or the program, that the environment variable LYMPHCT_NNUNET names, else as
`nnUNetv2_predict_from_modelfolder` on PATH. It reads its own checkpoints its own way: whoever runs a foreign
one there trusts it; `lymphct import nnunet` does not have to.
"""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import EnvironmentProblemError, InputError, ModelError
from lymphct.core.system import move
from lymphct.io.children import Child, run_child
from lymphct.io.images.nifti import write_nifti
from lymphct.io.images.reading import read_volume
from lymphct.io.nnunet.folders import NnunetFolder
from lymphct.io.nnunet.plans import DATASET_FILE
from lymphct.io.results.disk import environment_errors
from lymphct.io.results.jsonfile import read_json

logger = logging.getLogger(__name__)

VARIABLE: Final = "LYMPHCT_NNUNET"
PROGRAM: Final = "nnUNetv2_predict_from_modelfolder"

_ENTRY: Final = (
    "from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder as main; main()"
)
_CASE: Final = "case"


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetLimits:
    """What the child process may take.

    Attributes:
        seconds: until it is stopped; half an hour suffices for a CT of 512×512×300 voxels on a processor.
        memory: bytes of its address space; None for no limit. For `cpu` alone: a GPU's driver reserves far
            more than it uses.
        device: `cpu`, `cuda` or `mps`.
        mirroring: average over mirrored images, as nnU-Net does where nobody says otherwise.

    """

    seconds: float = 1800.0
    memory: int | None = None
    device: str = "cpu"
    mirroring: bool = False


def predict_by_nnunet(
    folder: Path,
    images: Sequence[Path],
    out: Path,
    *,
    fold: str | None = None,
    limits: NnunetLimits | None = None,
) -> Path:
    """Let the user's own nnU-Net segment one patient; return the label map file, in its own numbers.

    Args:
        folder: results folder `Trainer__Plans__Configuration`, or a fold in it.
        images: one file per channel, in the network's order, on one grid.
        out: label map to write; its ending should be that of the data set (`.nii.gz`). Its numbers have the
            names of `dataset.json` in `folder`.
        fold: which; None takes the first there is.
        limits: time, memory, device.

    Raises:
        ModelError: no trained nnU-Net there, another number of channels, or it failed; says why.
        EnvironmentProblemError: no nnU-Net is installed, or it took too long.
        InputError: an image cannot be read.

    """
    limits = limits or NnunetLimits()
    place = NnunetFolder.at(folder, fold)
    ending = _ending(place.folder, len(images))
    program = nnunet_program()
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-nnunet-") as name:
        given, made = Path(name, "images"), Path(name, "labels")
        for folder_of in (given, made):
            folder_of.mkdir()
        for number, image in enumerate(images):
            _lay(image, given / f"{_CASE}_{number:04d}{ending}", ending)
        command = [*program, "-i", str(given), "-o", str(made), "-m", str(place.folder.resolve())]
        command += ["-f", place.fold, "-chk", place.checkpoint, "-device", limits.device]
        command += ["-npp", "1", "-nps", "1", *([] if limits.mirroring else ["--disable_tta"])]
        _run(command, limits, Path(name))
        found = made / f"{_CASE}{ending}"
        if not found.is_file():
            msg = "nnU-Net ended without an error and wrote no label map"
            raise ModelError(msg, code="E_NNUNET_RUN", cure="run it by hand with the same folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = out.with_name(f".{out.name}.writing")
        shutil.copyfile(found, staging)
        move(staging, out)
    return out


def nnunet_program() -> list[str]:
    """Return the words that start nnU-Net's prediction.

    Raises:
        EnvironmentProblemError: `E_NO_NNUNET`, there is none.

    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        program = shutil.which(named)
        if program is None:
            msg = f"{VARIABLE} names {named[:80]}, which is no program"
            raise EnvironmentProblemError(msg, code="E_NO_NNUNET", cure="name the Python that has nnunetv2")
        is_python = Path(named).name.casefold().startswith("python")
        return [program, "-c", _ENTRY] if is_python else [program]
    program = shutil.which(PROGRAM)
    if program is None:
        msg = f"no nnU-Net found: {VARIABLE} is not set and {PROGRAM} is not on PATH"
        cure = f"pip install nnunetv2 in an environment of its own, then {VARIABLE}=/path/to/its/python"
        raise EnvironmentProblemError(msg, code="E_NO_NNUNET", cure=cure)
    return [program]


def _ending(folder: Path, images: int) -> str:
    try:
        content: Any = read_json(folder / DATASET_FILE)
    except InputError as error:
        raise ModelError(error.cause, code=error.code, cure=error.cure).at(file=DATASET_FILE) from error
    dataset: Mapping[str, Any] = content if isinstance(content, dict) else {}
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    if len(channels) != images:
        msg = f"the nnU-Net has {len(channels)} channels, {images} images are given"
        raise ModelError(msg, code="E_CHANNELS", cure="give one image per channel, in its order").at(
            file=folder.name
        )
    ending = str(dataset.get("file_ending", ".nii.gz"))
    return ending if re.fullmatch(r"(\.[A-Za-z0-9]{1,8}){1,2}", ending) else ".nii.gz"


def _lay(image: Path, place: Path, ending: str) -> None:
    if image.is_file() and image.name.endswith(ending):
        place.symlink_to(image.resolve())
    elif ending == ".nii.gz":
        write_nifti(place, read_volume(image))
    else:
        msg = f"the nnU-Net reads {ending} files alone"
        raise InputError(msg, code="E_FORMAT", cure=f"convert the image to {ending}").at(file=image.name)


def _run(command: Sequence[str], limits: NnunetLimits, folder: Path) -> None:
    # Without these three nnU-Net warns on every start; a prediction from a folder does not use them.
    needed = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    paths = {name: str(folder) for name in needed if name not in os.environ}
    child = Child(
        name="nnU-Net",
        log=logger,
        folder=folder,
        seconds=limits.seconds,
        memory=limits.memory if limits.device == "cpu" else None,
        environment={**paths, "nnUNet_compile": "f"},
    )
    ended = run_child(command, child)
    if ended.is_stopped:
        msg = f"nnU-Net was stopped after {limits.seconds:g} s"
        raise EnvironmentProblemError(msg, code="E_NNUNET_TIME", cure="allow it more time, or use a GPU")
    if ended.code:
        msg = f"nnU-Net ended with code {ended.code}: {ended.last or 'it said nothing'}"
        raise ModelError(msg, code="E_NNUNET_RUN", cure="run it by hand with the same folder")
