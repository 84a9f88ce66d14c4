"""Weights as a bundle stores them: half precision on disk, single precision in memory."""

from collections.abc import Mapping

import torch
from torch import Tensor


def to_half(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return floating tensors as float16, the type on disk; those beyond its range stay float32."""
    halves: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            halves[name] = tensor
            continue
        half = tensor.to(torch.float16)
        fits = bool(half.isfinite().all())
        halves[name] = half if fits else tensor.to(torch.float32)
    return halves


def to_single(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return floating tensors as float32, the type of computation; integers and booleans as they are."""
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }


def as_stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with the values a bundle would give back, on the CPU.

    So a part that never saw a disk predicts what it would predict from one.
    """
    return to_single(to_half({name: tensor.detach().cpu() for name, tensor in tensors.items()}))
