"""Which processor and instruction set a figure is from, and the same benchmark with AVX-512 switched off."""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import llvmlite.binding

OPTION = "--without-avx512"
_MARK = "LYMPHCT_BENCHMARK_CHILD"
_LIKE = {"AMD": "znver3", "Intel": "haswell"}
"""A processor with AVX2 and no more, for the compiler's choice among equal instructions."""
_YOUNGER = ("gfni", "vaes", "vpclmulqdq", "avx10", "amx", "avxvnni", "avxifma", "avxneconvert")
"""Sets that came with AVX-512 or after it; the names that begin so."""


def processor() -> str:
    """Return the processor's name as its maker gives it."""
    entries = Path("/proc/cpuinfo")
    if entries.exists():
        for line in entries.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_set(features: Iterable[str] | None = None) -> str:
    """Return the widest vector instructions that compiled code uses, with the one that counts bits.

    Args:
        features: LLVM's names; those numba compiles for when left out.

    """
    from lymphct.registration.processor import processor_features  # noqa: PLC0415 - numba, once asked for

    known = processor_features() if features is None else frozenset(features)
    for name, feature in (("AVX-512", "avx512f"), ("AVX2", "avx2"), ("SSE2", "sse2"), ("NEON", "neon")):
        if feature in known:
            return f"{name} with VPOPCNT" if "avx512vpopcntdq" in known else name
    return "no vectors known"


def without_avx512() -> dict[str, str]:
    """Return the environment in which numba compiles for this processor as if it had AVX2 alone.

    Compiled code is cached by processor and instruction set, so that both kinds lie side by side.
    """
    host = llvmlite.binding.get_host_cpu_features()
    switches = []
    for name, is_there in sorted(host.items()):
        is_younger = name.startswith(("avx512", *_YOUNGER))
        switches.append(f"{'+' if is_there and not is_younger else '-'}{name}")
    maker = next((model for brand, model in _LIKE.items() if brand in processor()), "haswell")
    return {"NUMBA_CPU_NAME": maker, "NUMBA_CPU_FEATURES": ",".join(switches)}


class WithoutAvx512(argparse.Action):
    """Runs the script again with AVX-512 switched off, and ends when it has ended.

    numba reads the processor when it is imported, so only a new process can be told another one.
    """

    def __init__(self, option_strings: Sequence[str], dest: str, **_: object) -> None:
        """Take no value."""
        super().__init__(option_strings, dest, nargs=0, help="compile as for a processor with AVX2 alone")

    def __call__(self, *_: object) -> None:
        """Start the child, unless this is it."""
        if os.environ.get(_MARK):
            return
        environment = {**os.environ, **without_avx512(), _MARK: "1"}
        done = subprocess.run([sys.executable, *sys.argv], env=environment, check=False)
        sys.exit(done.returncode)
