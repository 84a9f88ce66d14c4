"""Read and verify model bundles without ever running what is in them."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lymphct.cascade.description import BundleInfo, PartInfo
from lymphct.core.errors import InputError, ModelError
from lymphct.io.models.weights import (
    LARGEST_WEIGHTS,
    refuse_pickle,
    require_finite,
    unpack_tensors,
)
from lymphct.io.results.disk import environment_errors, read_bounded
from lymphct.io.results.jsonfile import parse_json
from lymphct.io.results.store import DESKTOP_FILES

if TYPE_CHECKING:
    import torch

BUNDLE_FILE, CARD_FILE, SIGNATURE_FILE = "bundle.json", "MODEL_CARD.md", "model.sig"

LARGEST_INFO = 16 * 2**20
"""Bytes; a bundle fitted on ten thousand patients describes itself in about two million."""


class PartWeights(Mapping[str, dict[str, "torch.Tensor"]]):
    """The weights of a bundle by part, float32; a part is read and verified each time it is asked for."""

    def __init__(self, folder: Path, info: BundleInfo) -> None:
        self._folder = folder
        self._parts = {str(name): part for name, part in info.parts.items()}

    def __getitem__(self, name: str) -> dict[str, "torch.Tensor"]:
        """Return the tensors of one part.

        Raises:
            KeyError: the bundle has no such part.
            ModelError: the file is damaged, changed, or holds values that are not finite.
            EnvironmentProblemError: out of memory.

        """
        from lymphct.learning.weights import to_single  # noqa: PLC0415 - keeps the import of this room light

        part = self._parts[name]
        with environment_errors(), about_file(part.file):
            tensors = to_single(unpack_tensors(read_part(self._folder, part)))
            require_finite(tensors)
        return tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def read_part(folder: Path, part: PartInfo) -> bytes:
    """Return the bytes of a weight file.

    Raises:
        ModelError: a pickle, or not the file that the bundle lists.
        InputError: missing or not readable.

    """
    path = folder / part.file
    refuse_pickle(path)
    content = read_bounded(path, LARGEST_WEIGHTS)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        msg = "the weights differ from what bundle.json lists (sha256)"
        raise ModelError(msg, code="E_DIGEST", cure="copy the bundle again")
    return content


@contextmanager
def about_file(file: str) -> Iterator[None]:
    """Turn a refused file into a refused model, and say which file it was."""
    try:
        yield
    except InputError as error:
        raise ModelError(error.cause, code=error.code, cure=error.cure).at(file=file) from error
    except ModelError as error:
        raise error.at(file=error.file or file) from error.__cause__


@dataclass(frozen=True, slots=True)
class Bundle:
    """A model bundle that was read from a folder.

    Attributes:
        info: its description.
        weights: its tensors by part and name, read when asked for.
        digest: SHA-256 of `bundle.json`, which lists the digests of the weights: names the whole bundle.

    """

    info: BundleInfo
    weights: PartWeights
    digest: str


def read_bundle(folder: Path) -> Bundle:
    """Read the description of a bundle and check its set of files; weights are read when asked for.

    Raises:
        ModelError: missing, no bundle, a pickle, a file too many or too few, a description not valid.

    """
    _refuse_other_formats(folder)
    with environment_errors(), about_file(BUNDLE_FILE):
        content = read_bounded(folder / BUNDLE_FILE, LARGEST_INFO)
        info = validated(parse_json(content))
        _require_exact_files(folder, info)
    return Bundle(info=info, weights=PartWeights(folder, info), digest=hashlib.sha256(content).hexdigest())


def _refuse_other_formats(folder: Path) -> None:
    if not folder.exists():
        msg = "no such model bundle"
        raise ModelError(msg, code="E_MISSING", cure="check the path").at(file=folder.name)
    if not folder.is_dir():
        refuse_pickle(folder)
        msg = "a file, but a bundle is a folder of safetensors; pickle files (.pt) are not supported"
        raise ModelError(msg, cure="give the bundle folder").at(file=folder.name)
    for path in sorted(folder.iterdir()):
        if path.is_file():
            refuse_pickle(path)


def validated(value: object) -> BundleInfo:
    """Return a description made from what `bundle.json` holds.

    Raises:
        ModelError: it is not valid; names the first field that is not.

    """
    try:
        return BundleInfo.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        msg = f"{place or 'the whole'}: {first['msg']}"[:150]
        raise ModelError(msg, code="E_BUNDLE", cure="use a bundle made by this version") from error


def _require_exact_files(folder: Path, info: BundleInfo) -> None:
    for name, part in info.parts.items():
        if part.file != f"{name}.safetensors" or not part.sha256:
            msg = f"the part {name} names no weight file {name}.safetensors with its digest"
            raise ModelError(msg, code="E_BUNDLE", cure="use a bundle made by this version")
    card = folder / CARD_FILE
    if (card.exists() or card.is_symlink()) and not card.is_file():
        msg = f"{CARD_FILE} is not a regular file"
        raise ModelError(msg, code="E_BUNDLE", cure="copy the bundle again")
    strangers, missing = file_differences(folder, info)
    if missing:
        msg = f"the bundle lacks {missing[0]}"
        raise ModelError(msg, code="E_BUNDLE", cure="copy the bundle again")
    if strangers:
        msg = f"the bundle holds {strangers[0]}, which does not belong to it"
        raise ModelError(msg, code="E_BUNDLE", cure="remove it or copy the bundle again")


def file_differences(folder: Path, info: BundleInfo) -> tuple[list[str], list[str]]:
    """Return the names a bundle folder has too many, and those it lacks."""
    expected = files_of_bundle(info)
    found = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - DESKTOP_FILES
    return sorted(found - expected - {SIGNATURE_FILE}), sorted(expected - found)


def files_of_bundle(info: BundleInfo) -> frozenset[str]:
    """Return the names of the files a bundle has; a signature may lie beside them."""
    return frozenset({BUNDLE_FILE, CARD_FILE, *(part.file for part in info.parts.values())})


def verify_bundle(folder: Path, keys: Mapping[str, Iterable[str]] | None = None) -> list[str]:
    """Check everything in a bundle and return what was checked, one line each.

    Args:
        folder: the bundle.
        keys: names of the tensors each part must have, exactly; parts that are not named are not compared.

    Raises:
        ModelError: the first thing that is wrong.

    """
    bundle = read_bundle(folder)
    checked = [f"{BUNDLE_FILE}: schema {bundle.info.schema_version}, bundle {bundle.info.name}"]
    checked.append(f"files: exactly {len(bundle.weights) + 2}, none of them a pickle")
    for name, tensors in bundle.weights.items():
        expected = set((keys or {}).get(name, tensors))
        if expected != set(tensors):
            odd = min(expected ^ set(tensors))
            msg = f"the tensor {odd[:60]!r} is {'missing' if odd in expected else 'not expected'}"
            cure = "use a bundle made by this version"
            raise ModelError(msg, code="E_KEYS", cure=cure).at(file=f"{name}.safetensors")
        compared = ", names as expected" if name in (keys or {}) else ""
        checked.append(f"{name}.safetensors: sha256, header, {len(tensors)} tensors, all finite{compared}")
    return checked
