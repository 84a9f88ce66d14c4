"""Networks run by OpenVINO, an extra that is faster than torch on CPUs; converted in memory at run time.

OpenVINO reports its import, and every use of `convert_model`, to a server: its reporter is kept out of the
process, and its front end is called directly.
"""

import copy
import importlib
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.errors import EnvironmentProblemError
from lymphct.learning.allocation import give_back
from lymphct.learning.inference_settings import Precision

Shape = tuple[int, ...]
Run = Callable[[Tensor, Tensor | None], Tensor]
"""The finest logits (b, classes, k, j, i) of images (b, c, k, j, i) and attention (b, 1, k, j, i)."""

BLOCK: Final = 4
"""Voxels along each axis over which the norms average first."""
_HINTS: Final[dict[Precision, str]] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A network as it was converted; `model` is openvino's."""

    version: object
    run: Run
    model: Any


_known: WeakKeyDictionary[nn.Module, _Compiled] = WeakKeyDictionary()
"""The last version of each network: converting takes a second, and a cohort has many patients."""


def compiled(network: nn.Module, shapes: Sequence[Shape], precision: Precision) -> Run:
    """Return a function that runs the network as it is now on batches of exactly these shapes.

    Logits differ from torch's by rounding. It uses as many threads as torch was given. What the function
    returns is overwritten by its next call.

    Args:
        network: in evaluation mode, on the CPU; the finest of the logits it returns are used.
        shapes: of the images (b, c, k, j, i) and, where the network takes it, the attention (b, 1, k, j, i).
        precision: of the arithmetic, not `auto`; logits come back as float32.

    Raises:
        EnvironmentProblemError: openvino is not installed.

    """
    engine = _library("openvino")
    threads = torch.get_num_threads()
    weights = [(tensor.data_ptr(), tensor._version) for tensor in network.state_dict().values()]  # noqa: SLF001 - torch's count of changes
    version = (tuple(shapes), precision, threads, weights)
    known = _known.get(network)
    if known is not None and known.version == version:
        return known.run
    model = _converted(network, shapes)
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads}
    infer = engine.Core().compile_model(model, "CPU", {**hints, "NUM_STREAMS": 1})
    give_back()  # what converting took is no part of running

    def run(image: Tensor, attention: Tensor | None) -> Tensor:
        given = [image] if attention is None or len(model.inputs) == 1 else [image, attention]
        arrays = [tensor.float().numpy() for tensor in given]
        (logits,) = infer(arrays, share_inputs=True, share_outputs=True).values()
        return torch.from_numpy(np.asarray(logits, dtype=np.float32))

    _known[network] = _Compiled(version, run, infer)
    return run


def rest(network: nn.Module) -> None:
    """Let a compiled network give back the memory of its feature maps until it runs again."""
    known = _known.get(network)
    if known is not None:
        known.model.release_memory()
        give_back()


def _library(name: str) -> Any:  # noqa: ANN401 - an optional library, unknown to the type checker
    # Where the reporter cannot be had, openvino takes its own stub: nothing is sent, no client id written.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # None: importing it fails
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = "the backend openvino is not installed"
        cure = "pip install 'lymphct[openvino]', or choose the backend torch"
        raise EnvironmentProblemError(msg, code="E_LIBRARY", cure=cure) from error


def _converted(network: nn.Module, shapes: Sequence[Shape]) -> Any:  # noqa: ANN401 - a model of openvino
    """Translate the network, with sums that are as exact as torch's."""
    sizes = _norm_sizes(network, shapes)
    finest = _Finest(_with_staged_norms(copy.deepcopy(network), sizes)).eval()
    # One small window is enough to trace: a pass over a large one takes more memory than running.
    example = tuple(torch.zeros(1, shape[1], *_least_size(shape[2:], sizes.values())) for shape in shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # sizes become constants of the trace, which is what is wanted
        traced = torch.jit.trace(finest, example, check_trace=False)  # type: ignore[no-untyped-call] # torch's
        decoder = _library("openvino.frontend.pytorch.ts_decoder").TorchScriptPythonDecoder(traced)
    front_end = _library("openvino.frontend").FrontEndManager().load_by_framework("pytorch")
    model = front_end.convert(front_end.load(decoder))
    model.reshape({n: list(shape) for n, shape in enumerate(shapes[: len(model.inputs)])})
    return model


class _Finest(nn.Module):
    """The finest of the logits a network returns."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, attention: Tensor | None = None) -> Tensor:
        logits: Tensor = self.network(image, attention)[0]
        return logits


def _norm_sizes(network: nn.Module, shapes: Sequence[Shape]) -> dict[str, Shape]:
    """Return the size (k, j, i) that each instance norm sees, by its name; nothing is computed."""
    blank = copy.deepcopy(network).to("meta").eval()
    sizes: dict[str, Shape] = {}

    def noting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            sizes[name] = tuple(given[0].shape[2:])

        return note

    for name, module in blank.named_modules():
        if isinstance(module, nn.InstanceNorm3d):
            module.register_forward_pre_hook(noting(name))
    with torch.inference_mode(), torch.device("meta"):  # also of what the network makes on the way
        blank(*(torch.empty(1, *shape[1:], device="meta") for shape in shapes))
    return sizes


def _least_size(full: Shape, sizes: Collection[Shape]) -> Shape:
    """Return the size of the smallest image that leaves every norm a block, or all it has of one."""
    least = tuple(min(axis) for axis in zip(*sizes, strict=True))
    if not least or any(n % m for n, m in zip(full, least, strict=True)):
        return full
    return tuple(n // m * min(m, BLOCK) for n, m in zip(full, least, strict=True))


def _with_staged_norms(network: nn.Module, sizes: Mapping[str, Shape]) -> nn.Module:
    """Replace the norms of images that divide into blocks."""
    for name, size in sizes.items():
        norm = network.get_submodule(name)
        if isinstance(norm, nn.InstanceNorm3d) and norm.affine and not any(n % BLOCK for n in size):
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, _StagedNorm(norm))
    return network


class _StagedNorm(nn.Module):
    """Instance norm whose means are taken over blocks first.

    OpenVINO adds all voxels of a channel one after the other in float32, which costs two digits. The size of
    the image is a multiple of `BLOCK`.
    """

    def __init__(self, norm: nn.InstanceNorm3d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        centered = x - self._mean(x)
        gain = torch.rsqrt(self._mean(centered * centered) + self.eps)
        return centered * (gain * self.weight.reshape(1, -1, 1, 1, 1)) + self.bias.reshape(1, -1, 1, 1, 1)

    def _mean(self, x: Tensor) -> Tensor:
        return functional.avg_pool3d(x, BLOCK).mean(dim=(2, 3, 4), keepdim=True)
