"""On which processor the networks run."""

import torch

from lymphct.core.errors import EnvironmentProblemError, UsageError


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
