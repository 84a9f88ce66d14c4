"""Bundles as models that are ready to predict."""

import hashlib
from functools import lru_cache
from pathlib import Path

import torch

from lymphct.cascade.models import Models, build_models
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import ModelError
from lymphct.io.models.bundle_reading import Bundle, read_bundle
from lymphct.io.models.weights import read_weights, tensors_in
from lymphct.learning.devices import chosen_device
from lymphct.metastasis.pretrained import Pretrained


def models_in(folder: Path, device: str) -> Models:
    """Return the networks of a bundle's folder, read once in a process as long as the bundle stays the same.

    Args:
        folder: of the bundle.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: the bundle is refused.

    """
    return _models_of(folder, device, read_bundle(folder).digest)


@lru_cache(maxsize=4)  # a training makes new bundles all the time; few are used at once
def _models_of(folder: Path, device: str, digest: str) -> Models:
    models = load_models(read_bundle(folder), chosen_device(device))
    if models.digest != digest:
        msg = "the bundle changed while it was read"
        raise ModelError(msg, cure="run it again").at(file=folder.name)
    return models


def load_models(bundle: Bundle, device: torch.device) -> Models:
    """Rebuild the networks of a bundle that was read and load their weights.

    Raises:
        ModelError: weights and architecture do not belong together.

    """
    weights = {name: bundle.weights[name] for name in STAGES if name in bundle.weights}
    return build_models(bundle.info, weights, device, digest=bundle.digest)


def read_pretrained(path: Path) -> Pretrained:
    """Return the start weights in a safetensors file, such as ImageNet's, with the digest of the file.

    Raises:
        ModelError: a pickle, damaged, or values that are not finite.
        InputError: missing or not readable.

    """
    content = read_weights(path)
    tensors = tensors_in(content)
    return Pretrained(tensors, hashlib.sha256(content).hexdigest())


def tensor_names(bundle: Bundle) -> dict[str, list[str]]:
    """Return the names of the tensors each part must have, from its architecture."""
    models = load_models(bundle, torch.device("cpu"))
    return {
        name: list(trained.network.state_dict())
        for name in bundle.weights
        if (trained := getattr(models, name)) is not None
    }
