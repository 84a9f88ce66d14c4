"""An nnU-Net checkpoint as tensors: the pickle is opened by a child process, safetensors come back."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lymphct.core.errors import EnvironmentProblemError, InputError, ModelError
from lymphct.io.models.weights import LARGEST_WEIGHTS, tensors_in
from lymphct.io.regular_file import open_regular
from lymphct.io.results.disk import environment_errors, read_bounded
from lymphct.io.results.fingerprints import digest_file

if TYPE_CHECKING:
    import torch

_CHILD: Final = Path(__file__).with_name("unpickling.py")
_SECONDS: Final = 900.0
_REFUSED, _TOO_OLD = 3, 4


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: by nnU-Net's names, float32, all finite.
        digest: SHA-256 of the file.
        facts: `configuration`, `fold`, `trainer`, `epoch`, those of them that it says.

    """

    tensors: Mapping[str, "torch.Tensor"]
    digest: str
    facts: Mapping[str, str | int]


def read_checkpoint(path: Path, *, is_plain: bool = False) -> Checkpoint:
    """Return the weights of a checkpoint of nnU-Net, opened by a child process that can do no harm.

    Args:
        path: of the file.
        is_plain: it holds weights by name and nothing of nnU-Net, as torch's `state_dict` is saved.

    Raises:
        ModelError: `E_UNSAFE`, it holds other things than tensors and numbers, or is no checkpoint.
        InputError: missing, or not a regular file.
        EnvironmentProblemError: `E_TORCH`, torch is older than 2.10; the child was stopped.

    """
    try:
        with open_regular(path, limit=LARGEST_WEIGHTS):
            digest = digest_file(path)
    except InputError as error:
        raise ModelError(error.cause, code=error.code, cure=error.cure).at(file=path.name) from error
    with environment_errors(), tempfile.TemporaryDirectory(prefix="lymphct-nnunet-") as folder:
        out = Path(folder) / "weights.safetensors"
        facts = _unpickled(path, out, is_plain=is_plain)
        try:
            tensors = tensors_in(read_bounded(out, LARGEST_WEIGHTS))
        except (ModelError, InputError) as error:
            raise ModelError(error.cause, code=error.code, cure="train it again").at(
                file=path.name
            ) from error
    return Checkpoint(tensors=tensors, digest=digest, facts=facts)


def _unpickled(path: Path, out: Path, *, is_plain: bool) -> dict[str, str | int]:
    kind = "plain" if is_plain else "nnunet"
    command = [sys.executable, "-I", str(_CHILD), str(path.resolve()), str(out), kind]
    try:
        done = subprocess.run(  # noqa: S603 - our own script
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        msg = f"the checkpoint was not read within {_SECONDS:.0f} s"
        raise ModelError(msg, code="E_UNSAFE", cure="is this the right file?").at(file=path.name) from error
    said = _said(done.stdout)
    if done.returncode == 0 and out.is_file():
        return {name: value for name, value in said.items() if isinstance(value, str | int)}
    cause = str(said.get("cause", ""))[:200]
    if done.returncode == _TOO_OLD:
        msg = f"torch {cause} is too old to open a foreign checkpoint (CVE-2026-24747)"
        raise EnvironmentProblemError(msg, code="E_TORCH", cure="install torch 2.10 or later").at(
            file=path.name
        )
    if done.returncode == _REFUSED:
        cure = "take a checkpoint that nnU-Net wrote, from a source you trust"
        msg = f"unsafe or no checkpoint of nnU-Net: {cause}; nothing of it was run"
        if is_plain:
            cure = "take a file of weights as torch saves a state_dict, from a source you trust"
            msg = f"unsafe or no file of weights: {cause}; nothing of it was run"
        raise ModelError(msg, code="E_UNSAFE", cure=cure).at(file=path.name)
    msg = f"the process that reads the checkpoint ended with code {done.returncode}"
    raise EnvironmentProblemError(msg, code="E_CHILD", cure="is there memory enough?").at(file=path.name)


def _said(text: str) -> dict[str, object]:
    try:
        value = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        return {}
    return value if isinstance(value, dict) else {}
