"""Model bundles: `bundle.json`, one `<part>.safetensors` per trained part, `MODEL_CARD.md`, and nothing else.

A signature may lie among them (`io.models.signatures`); whatever changes a bundle here drops it.

A bundle is committed whole like a result, but holds no `DONE.json`: `bundle.json` lists the digest of each
weight file, and the card may be edited by hand. Weights are float16 on disk and float32 in memory.
"""

import hashlib
import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lymphct.cascade.description import (
    BundleInfo,
    DistanceBand,
    PartInfo,
    PhaseIntensity,
    PhaseName,
)
from lymphct.core.errors import ModelError
from lymphct.core.terms import StageName
from lymphct.io.models.bundle_reading import (
    BUNDLE_FILE,
    CARD_FILE,
    LARGEST_INFO,
    SIGNATURE_FILE,
    Bundle,
    PartWeights,
    about_file,
    file_differences,
    read_bundle,
    read_part,
    validated,
    verify_bundle,
)
from lymphct.io.models.weights import pack_tensors, require_finite
from lymphct.io.results.disk import read_bounded, replace_file
from lymphct.io.results.jsonfile import JSON, format_json, parse_json
from lymphct.io.results.store import replaced_folder

if TYPE_CHECKING:
    import torch

__all__ = [
    "Bundle",
    "BundleInfo",
    "DistanceBand",
    "PartInfo",
    "PartWeights",
    "PhaseIntensity",
    "PhaseName",
    "read_bundle",
    "shipped_bundle_path",
    "update_bundle_part",
    "verify_bundle",
    "write_bundle",
    "write_model_card",
]

_WAIT = 60.0
"""Seconds to wait for another training that is adding its part to the same bundle."""


def shipped_bundle_path() -> Path:
    """Return the folder of the bundle that is installed with the package: trained on phantoms only."""
    return Path(str(importlib.resources.files("lymphct") / "bundles" / "phantom_tiny"))


def write_bundle(
    folder: Path, info: BundleInfo, weights: Mapping[str, Mapping[str, "torch.Tensor"]], model_card: str
) -> None:
    """Write a bundle, whole or not at all; an older bundle in its place is replaced.

    Args:
        folder: where it will stand.
        info: its description; the names and digests of the weight files are filled in here.
        weights: tensors by part and name, one entry per part of `info` (a bundle may have no part yet).
        model_card: what the bundle is and is not for, Markdown.

    Raises:
        ModelError: parts and weights do not belong together, or a value is not finite; nothing is written.
        OutputInUseError: the folder holds something else.
        EnvironmentProblemError: no space, no permission and the like.

    """
    if set(info.parts) != set(weights):
        msg = f"parts described: {', '.join(sorted(info.parts))}; weights given: {', '.join(sorted(weights))}"
        raise ModelError(msg, cure="give the weights of each part")
    with replaced_folder(folder, refusal=_foreign_bundle) as staging:
        parts = {
            name: _write_part(staging, name, part, weights[name]) for name, part in sorted(info.parts.items())
        }
        _write_info(staging, info.model_copy(update={"parts": parts}))
        (staging / CARD_FILE).write_text(model_card, encoding="utf-8")


def _write_part(staging: Path, name: str, part: PartInfo, tensors: Mapping[str, "torch.Tensor"]) -> PartInfo:
    file = f"{name}.safetensors"
    with about_file(file):
        require_finite(tensors)
    from lymphct.learning.weights import to_half  # noqa: PLC0415 - keeps the import of this room light

    content = pack_tensors(to_half(tensors))
    (staging / file).write_bytes(content)
    return part.model_copy(update={"file": file, "sha256": hashlib.sha256(content).hexdigest()})


def _write_info(staging: Path, info: BundleInfo) -> None:
    (staging / BUNDLE_FILE).write_bytes(format_json(info.model_dump(mode="json")))


def _foreign_bundle(folder: Path) -> str:
    """Say why a non-empty folder is not a bundle of ours; nothing if it is."""
    try:
        with about_file(BUNDLE_FILE):
            info = validated(parse_json(read_bounded(folder / BUNDLE_FILE, LARGEST_INFO)))
    except ModelError as error:
        return f"the folder is not empty and holds no bundle ({error.cause})"
    strangers, _ = file_differences(folder, info)
    return (
        f"the folder also holds files that are not of a bundle, such as {strangers[0]}" if strangers else ""
    )


def update_bundle_part(  # noqa: PLR0913 - the card is a keyword
    folder: Path,
    name: StageName,
    part: PartInfo,
    tensors: Mapping[str, "torch.Tensor"],
    changes: Mapping[str, JSON] | None = None,
    *,
    card: Callable[[BundleInfo], str] | None = None,
) -> None:
    """Add a trained part to a bundle or replace it; the other parts stay as they are.

    Trainings that run side by side may add their parts to one bundle: each change is made under its lock.

    Args:
        folder: a bundle, made by `write_bundle`, possibly without parts.
        name: which part.
        part: its description; the name and digest of the weight file are filled in here.
        tensors: its weights.
        changes: fields of `BundleInfo` to set besides; tables (`thresholds`, `bands`) are merged key by key.
        card: writes the card of the bundle as it then is; None keeps the one that is there.

    Raises:
        ModelError: no bundle there, it is damaged, or the new part or a change is not valid.
        OutputInUseError: another process holds the bundle for longer than a minute.
        EnvironmentProblemError: no space, no permission and the like.

    """
    with replaced_folder(folder, refusal=_foreign_bundle, wait=_WAIT) as staging:
        info = read_bundle(folder).info
        for other, stored in info.parts.items():
            if other != name:
                with about_file(stored.file):
                    (staging / stored.file).write_bytes(read_part(folder, stored))
        fields = info.model_dump(mode="json")
        for field, value in (changes or {}).items():
            old = fields.get(field)
            fields[field] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        fields["parts"][name] = _write_part(staging, name, part, tensors).model_dump(mode="json")
        info = validated(fields)
        _write_info(staging, info)
        kept = _card_bytes(folder) if card is None else card(info).encode("utf-8")
        (staging / CARD_FILE).write_bytes(kept)


def _card_bytes(folder: Path) -> bytes:
    card = folder / CARD_FILE
    # A card may be empty, which no other file that is read here may be.
    return read_bounded(card, LARGEST_INFO) if card.stat().st_size else b""


def write_model_card(folder: Path, text: str) -> None:
    """Replace the card of a bundle (after training, when its numbers are known).

    Raises:
        ModelError: there is no bundle.
        EnvironmentProblemError: no space, no permission and the like.

    """
    read_bundle(folder)
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)  # it covers the card
    replace_file(folder / CARD_FILE, text.encode("utf-8"))
