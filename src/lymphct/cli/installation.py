"""What is installed here, and does it work? (`lymphct doctor`)."""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from lymphct.core.errors import LymphctError

State = Literal["ok", "absent", "failed"]

LIBRARIES: Final = {
    "torch": "torch",
    "numpy": "numpy",
    "scipy": "scipy",
    "numba": "numba",
    "SimpleITK": "SimpleITK",
    "blosc2": "blosc2",
    "isal": "isal",
    "nibabel": "nibabel",
    "pydicom": "pydicom",
    "highdicom": "highdicom",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "PyYAML": "yaml",
    "typer": "typer",
    "rich": "rich",
    "scikit-learn": "sklearn",
    "statsmodels": "statsmodels",
    "joblib": "joblib",
    "matplotlib": "matplotlib",
    "contourpy": "contourpy",
    "jinja2": "jinja2",
}
"""What the package needs: name as installed → name as imported."""

OPTIONAL: Final = {
    "pyradiomics": ("radiomics", "radiomics"),
    "dask": ("dask", "cluster"),
    "submitit": ("submitit", "slurm"),
    "pynetdicom": ("pynetdicom", "serve"),
    "openvino": ("openvino", "openvino"),
    "convexAdam": ("convexAdam", "convexadam"),
    "nnunetv2": ("nnunetv2", "nnunet"),
    "model-signing": ("model_signing", "signing"),
}
"""Optional parts: name as installed → name as imported, extra that installs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        group: program, library, optional, device or bundle.
        name: of the thing.
        state: `absent` is no fault: an optional part, or no bundle shipped.
        text: version, value, or what is wrong and how to mend it.
        exit_code: of the fault; 0 where there is none.

    """

    group: Literal["program", "library", "optional", "device", "bundle"]
    name: str
    state: State
    text: str
    exit_code: int = 0


def inspect_installation(device: str = "auto", bundle: Path | None = None) -> Iterator[Finding]:
    """Look at the program, its libraries, the device and the shipped bundle, one finding after the other.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`; a device that was asked for and is not there is a fault.
        bundle: another bundle than the shipped one.

    """
    yield from _program()
    broken = False
    for name, module in LIBRARIES.items():
        finding = _library(name, module)
        broken |= finding.state == "failed"
        yield finding
    for name, (module, extra) in OPTIONAL.items():
        yield _optional(name, module, extra)
    if not broken:  # what follows uses the libraries
        yield from _device(device)
        yield _bundle(bundle)


def _program() -> Iterator[Finding]:
    yield _fact("program", "lymphct", importlib.metadata.version("lymphct"))
    yield _fact("program", "python", f"{platform.python_version()} ({sys.platform}, {platform.machine()})")


def _fact(group: Literal["program", "device"], name: str, text: str) -> Finding:
    return Finding(group=group, name=name, state="ok", text=text)


def _library(name: str, module: str) -> Finding:
    """Import a library: a version that is installed but does not load is the fault worth finding."""
    try:
        importlib.import_module(module)
        version = importlib.metadata.version(name)
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything
        cause = f"does not load: {type(error).__name__}: {error}"[:200]
        return Finding(
            group="library",
            name=name,
            state="failed",
            text=f"{cause} - install lymphct again with its constraints.txt",
            exit_code=6,
        )
    return Finding(group="library", name=name, state="ok", text=version)


def _optional(name: str, module: str, extra: str) -> Finding:
    if importlib.util.find_spec(module) is None:
        text = f"absent - pip install 'lymphct[{extra}]'"
        return Finding(group="optional", name=name, state="absent", text=text)
    return Finding(group="optional", name=name, state="ok", text=importlib.metadata.version(name))


def _device(device: str) -> Iterator[Finding]:
    import torch

    from lymphct.learning.devices import chosen_device

    yield _fact("device", "processors", f"{os.cpu_count()} ({torch.get_num_threads()} torch threads)")
    try:
        chosen = chosen_device(device)
    except LymphctError as error:
        yield Finding(group="device", name=device, state="failed", text=str(error), exit_code=error.exit_code)
        return
    if chosen.type == "cpu":
        yield _fact("device", "cpu", platform.processor() or platform.machine())
        return
    properties = torch.cuda.get_device_properties(chosen)
    yield _fact("device", str(chosen), f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")


def _bundle(folder: Path | None) -> Finding:
    from lymphct.io.models.bundles import shipped_bundle_path

    folder = folder or shipped_bundle_path()
    if not folder.exists():
        text = "absent - train one, or name one: predict --bundle"
        return Finding(group="bundle", name=folder.name, state="absent", text=text)
    try:
        checked = verified_bundle(folder)
    except LymphctError as error:
        return Finding(
            group="bundle", name=folder.name, state="failed", text=str(error), exit_code=error.exit_code
        )
    return Finding(group="bundle", name=folder.name, state="ok", text=f"{len(checked)} checks passed")


def verified_bundle(folder: Path) -> list[str]:
    """Check everything in a bundle, also that its tensors are exactly those its networks need.

    Returns:
        What was checked, one line each.

    Raises:
        ModelError: the first thing that is wrong.

    """
    from lymphct.io.models.bundle_reading import read_bundle
    from lymphct.io.models.bundles import verify_bundle
    from lymphct.io.models.loading import tensor_names

    verify_bundle(folder)  # the files themselves, before any network is built from what they say
    return verify_bundle(folder, tensor_names(read_bundle(folder)))
