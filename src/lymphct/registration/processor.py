"""What the processor can do, as the compiler is told."""

from numba.core.registry import cpu_target


def processor_features() -> frozenset[str]:
    """Return the instruction sets that code is compiled for, by LLVM's names; NUMBA_CPU_FEATURES rules."""
    _, _, features = cpu_target.target_context.codegen().magic_tuple()
    return frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


def register_bytes() -> int:
    """Return the bytes of the widest register that instructions for bytes work on, of an x86 processor."""
    features = processor_features()
    if "avx512bw" in features:
        return 64
    return 32 if "avx2" in features else 16
