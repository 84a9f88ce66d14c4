"""On which processor the networks run."""

import importlib.util

import torch

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.learning.settings import Backend, Precision


def chosen_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`; `auto` takes a GPU where there is one.

    Raises:
        UsageError: another word.
        EnvironmentProblemError: a GPU was asked for and is not there.

    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdigit() or not number):
        msg = f"unknown device {name!r}"
        raise UsageError(msg, cure="auto, cpu, cuda or cuda:N")
    if int(number or 0) >= torch.cuda.device_count():
        msg = f"device {name} is not there ({torch.cuda.device_count()} GPUs found)"
        raise EnvironmentProblemError(msg, code="E_DEVICE", cure="use --device cpu or auto")
    return torch.device(name)


def resolved_precision(precision: Precision, device: torch.device) -> Precision:
    """Replace `auto` by what the device is fast at, `gpu` by what a GPU is fast at."""
    if precision == "gpu" and device.type != "cuda":
        return "float32"
    if precision not in {"auto", "gpu"}:
        return precision
    return "bfloat16" if has_bfloat16(device) else "float32"


def resolved_backend(backend: Backend, device: torch.device) -> Backend:
    """Replace `auto` by openvino for CPUs where it is installed, by torch elsewhere."""
    if backend != "auto":
        return backend
    is_installed = importlib.util.find_spec("openvino") is not None
    return "openvino" if device.type == "cpu" and is_installed else "torch"


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16: AVX512-BF16 or AMX, or a GPU's own."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch do not tell; slow and right is better than guessed.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
