"""Networks run by OpenVINO, an extra that is faster than torch on CPUs; converted in memory at run time.

OpenVINO's front end is called directly, since its `convert_model` reports every use to a server.
"""

import copy
import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.errors import EnvironmentProblemError
from lymphct.learning.settings import Precision

Shape = tuple[int, ...]
Run = Callable[[Tensor, Tensor | None], Tensor]
"""The finest logits (b, classes, k, j, i) of images (b, c, k, j, i) and attention (b, 1, k, j, i)."""

_HINTS: Final[dict[Precision, str]] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}

_known: WeakKeyDictionary[nn.Module, tuple[object, Run]] = WeakKeyDictionary()
"""The last version of each network: converting takes seconds, and a cohort has many patients."""


def compiled(network: nn.Module, shapes: Sequence[Shape], precision: Precision) -> Run:
    """Return a function that runs the network as it is now on batches of exactly these shapes.

    Logits differ from torch's by rounding. It uses as many threads as torch was given.

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
    if known is not None and known[0] == version:
        return known[1]
    model = _converted(network, shapes)
    hints = {"INFERENCE_PRECISION_HINT": _HINTS[precision], "INFERENCE_NUM_THREADS": threads}
    infer = engine.Core().compile_model(model, "CPU", {**hints, "NUM_STREAMS": 1})

    def run(image: Tensor, attention: Tensor | None) -> Tensor:
        given = [image] if attention is None or len(model.inputs) == 1 else [image, attention]
        (logits,) = infer([tensor.float().numpy() for tensor in given]).values()
        return torch.from_numpy(np.array(logits, dtype=np.float32))

    _known[network] = version, run
    return run


def _library(name: str) -> Any:  # noqa: ANN401 - an optional library, unknown to the type checker
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = "the backend openvino is not installed"
        cure = "pip install 'lymphct[openvino]', or choose the backend torch"
        raise EnvironmentProblemError(msg, code="E_LIBRARY", cure=cure) from error


def _converted(network: nn.Module, shapes: Sequence[Shape]) -> Any:  # noqa: ANN401 - a model of openvino
    """Translate the network, with sums that are as exact as torch's."""
    finest = _Finest(_with_staged_norms(copy.deepcopy(network))).eval()
    # One window is enough to trace, and a pass over many is not cheap.
    example = tuple(torch.zeros(1, *shape[1:]) for shape in shapes)
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


def _with_staged_norms(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm3d) and child.affine:
                setattr(module, name, _StagedNorm(child))
    return network


class _StagedNorm(nn.Module):
    """Instance norm whose means are taken over blocks first.

    OpenVINO adds all voxels of a channel one after the other in float32, which costs two digits.
    """

    block = 4

    def __init__(self, norm: nn.InstanceNorm3d) -> None:
        super().__init__()
        self.plain = norm
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        if any(int(size) % self.block for size in x.shape[2:]):
            plain: Tensor = self.plain(x)
            return plain
        centered = x - self._mean(x)
        gain = torch.rsqrt(self._mean(centered * centered) + self.plain.eps)
        return centered * (gain * self.weight.reshape(1, -1, 1, 1, 1)) + self.bias.reshape(1, -1, 1, 1, 1)

    def _mean(self, x: Tensor) -> Tensor:
        return functional.avg_pool3d(x, self.block).mean(dim=(2, 3, 4), keepdim=True)
