"""Files of weights as other projects publish them, made into safetensors (decision 0055)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lymphct.core.errors import UsageError
from lymphct.io.nnunet.checkpoint import read_checkpoint
from lymphct.io.results.disk import replace_file


@dataclass(frozen=True, slots=True)
class ConvertedWeights:
    """What became of a file.

    Attributes:
        tensors: how many there are.
        numbers: of all of them together.
        source_sha256: of the file that was read.
        sha256: of the file that was written.

    """

    tensors: int
    numbers: int
    source_sha256: str
    sha256: str


def convert_weights(checkpoint: Path, out: Path) -> ConvertedWeights:
    """Write the weights of a pickle as safetensors, float32; a child process opens it and can do no harm.

    Args:
        checkpoint: a `state_dict` as torch saves it, alone or under that key.
        out: the file to write; it must not be there.

    Raises:
        UsageError: `out` is there, or is no safetensors file by its name.
        ModelError: the pickle holds other things than tensors, or values that are not finite.
        InputError: missing, or not a regular file.
        EnvironmentProblemError: torch is too old, no space, no permission.

    """
    from safetensors.torch import save  # noqa: PLC0415 - loads torch

    if out.suffix != ".safetensors":
        msg = f"{out.name} would be a safetensors file, but is not named as one"
        raise UsageError(msg, cure=f"--out {out.stem}.safetensors")
    if out.exists():
        msg = f"{out.name} is there already"
        raise UsageError(msg, code="E_OUTPUT_IN_USE", cure="choose another --out, or remove it")
    found = read_checkpoint(checkpoint, is_plain=True)
    content = save(dict(found.tensors), metadata={"converted_from_sha256": found.digest})
    replace_file(out, content)
    return ConvertedWeights(
        tensors=len(found.tensors),
        numbers=sum(tensor.numel() for tensor in found.tensors.values()),
        source_sha256=found.digest,
        sha256=hashlib.sha256(content).hexdigest(),
    )
