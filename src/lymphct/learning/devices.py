"""On which processor the networks run."""

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from lymphct.core.errors import EnvironmentProblemError, UsageError
from lymphct.learning.inference_settings import Backend, Precision


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


@contextmanager
def device_failures() -> Iterator[None]:
    """Turn what torch raises when a GPU is gone, or full, into an error with a cure.

    Raises:
        EnvironmentProblemError: `E_DEVICE` or `E_MEMORY`; every other error passes unchanged.

    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        msg = f"the memory of the GPU is full: {_first_line(error)}"
        cure = "use another GPU or a smaller batch_size, then go on with --resume"
        raise EnvironmentProblemError(msg, code="E_MEMORY", cure=cure) from error
    except RuntimeError as error:
        if not _speaks_of_the_device(error):
            raise
        msg = f"the GPU does not answer any more: {_first_line(error)}"
        cure = "check it (nvidia-smi), then go on with --resume"
        raise EnvironmentProblemError(msg, code="E_DEVICE", cure=cure) from error


_OF_THE_DEVICE = ("CUDA error", "CUDA driver error", "CUBLAS_STATUS", "CUDNN_STATUS", "cuDNN error")


def _speaks_of_the_device(error: RuntimeError) -> bool:
    # Newer versions of torch have a class for it, older ones only the words.
    kind = getattr(torch, "AcceleratorError", None)
    is_of_kind = kind is not None and isinstance(error, kind)
    return is_of_kind or any(words in str(error) for words in _OF_THE_DEVICE)


def _first_line(error: RuntimeError) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def fastest_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """Let a GPU try which algorithm is fastest for the sizes it meets; nothing changes on a CPU."""
    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(benchmark=True)
    return flags


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


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which convolutions run in `precision`."""
    kind = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, dtype=kind, enabled=precision != "float32")
