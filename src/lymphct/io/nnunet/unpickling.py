"""The one place where a pickle is read: a child process of its own, run as a script (decision 0044).

`python -I unpickling.py CHECKPOINT OUT [plain]`: writes the weights of an nnU-Net checkpoint, or of a plain
file of weights, to OUT (safetensors) and prints one line of JSON with what else is needed. It imports nothing
of this package, has no network, may write to OUT alone, start no process, and reads with `weights_only=True`,
numpy's numbers allowed besides.
Exit codes: 0 done · 3 not a checkpoint, or with other things than tensors and numbers · 4 torch is too old.
"""

import ctypes
import json
import os
import re
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

SAFE_TORCH: Final = (2, 10)
"""Before it `weights_only` could be made to run code (CVE-2026-24747)."""
LARGEST: Final = 16 * 2**30
"""Bytes of everything in a checkpoint, unpacked."""
_SECONDS: Final = 600
_NEW_USER_AND_NETWORK: Final = 0x10000000 | 0x40000000
_FORBIDDEN: Final = (
    "socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile",
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
    "os.truncate", "os.putenv", "shutil.", "ctypes.dlopen", "ctypes.dlsym", "pty.", "ftplib.", "urllib.",
    "http.", "smtplib.", "webbrowser.",
)  # fmt: skip
"""Beginnings of the names of audit events that nothing here has a reason to cause."""


def main(checkpoint: str, out: str, kind: str = "nnunet") -> None:
    """Do what the module says, or end the process."""
    import numpy as np  # noqa: PLC0415 - before the process locks itself in
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    version = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if version < SAFE_TORCH:
        _end(4, torch.__version__)
    _lock_in(Path(out))
    # Older files of weights are no archives: nothing in them is compressed, their size is that of the file.
    if kind != "plain" or zipfile.is_zipfile(checkpoint):
        _require_archive(Path(checkpoint))
    torch.serialization.add_safe_globals(_numbers(np))
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)  # noqa: TID251 - see above
    except Exception as error:  # noqa: BLE001 - whatever a hostile file provokes is a refusal
        _end(3, _cause(str(error)))
    weights = _plain(content) if kind == "plain" else _of_nnunet(content)
    tensors: dict[str, Any] = {}
    for name, tensor in weights.items():
        if (
            not isinstance(name, str)
            or not isinstance(tensor, torch.Tensor)
            or tensor.layout != torch.strided
        ):
            _end(3, "its weights hold other things than tensors")
        tensors[name] = tensor.detach().to(torch.float32).contiguous().clone()
    save_file(tensors, out)
    print(json.dumps({} if kind == "plain" else _facts(content)))  # noqa: T201 - the parent reads it


def _of_nnunet(content: Any) -> Mapping[str, Any]:  # noqa: ANN401 - whatever the file holds
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, Mapping):
        _end(3, "it holds no network_weights")
    return weights


def _plain(content: Any) -> Mapping[str, Any]:  # noqa: ANN401 - the same
    """Return weights that are all there is, or lie under the usual key."""
    inner = content.get("state_dict") if isinstance(content, Mapping) else None
    weights = inner if isinstance(inner, Mapping) else content
    if not isinstance(weights, Mapping) or not weights:
        _end(3, "it holds no weights by name")
    return weights


def _lock_in(out: Path) -> None:
    """Leave the network, bound time and files, and forbid what no weights need."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER_AND_NETWORK)  # refused in some containers
    with suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on every system

        for kind, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_CPU, _SECONDS),
            (resource.RLIMIT_FSIZE, LARGEST),
        ):
            _, hard = resource.getrlimit(kind)
            limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(kind, (limit, limit))
    place = os.path.realpath(out)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            msg = f"{event} is forbidden here"
            raise PermissionError(msg)
        if event == "open" and _writes(arguments) and os.path.realpath(str(arguments[0])) != place:
            msg = "writing is forbidden here"
            raise PermissionError(msg)

    sys.addaudithook(watch)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = (*arguments, None, 0)[:3]
    by_mode = isinstance(mode, str) and bool(set(mode) & set("wax+"))
    by_flags = isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    return by_mode or by_flags


def _require_archive(checkpoint: Path) -> None:
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        _end(3, "it is no archive as torch writes them")
    if total > LARGEST:
        _end(3, f"it unpacks to {total} bytes (limit {LARGEST})")


def _numbers(np: Any) -> list[Any]:  # noqa: ANN401 - the module
    """Return what builds numpy's numbers, by the names of NumPy 1 and 2."""
    scalar = np._core.multiarray.scalar  # noqa: SLF001 - the name a pickle has
    kinds = [
        np.dtype(kind) for kind in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")
    ]
    return [
        np.dtype,
        scalar,
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        *{type(kind) for kind in kinds},
    ]


def _cause(message: str) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", message) or re.search(
        r"[Uu]nsupported (?:global|class)[: ]+([\w.]+)", message
    )
    if found:
        return f"it holds {found[1][:60]}, which is neither a tensor nor a number"
    return "it is damaged, or holds other things than tensors and numbers"


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few plain facts of a checkpoint; anything odd is left out."""
    given = content.get("init_args")
    init: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    facts = {
        "configuration": init.get("configuration"),
        "fold": init.get("fold"),
        "trainer": content.get("trainer_name"),
        "epoch": content.get("current_epoch"),
    }
    plain = {name: value for name, value in facts.items() if isinstance(value, str | int)}
    return {name: value[:200] if isinstance(value, str) else value for name, value in plain.items()}


def _end(code: int, cause: str) -> NoReturn:
    print(json.dumps({"cause": cause}))  # noqa: T201 - the parent reads it
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:4])
