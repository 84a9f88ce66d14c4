"""Where lymph nodes can be: distance bands around structures become an attention map (Eq. 1, Eq. 2)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lymphct.attention.mapping import attention_map

__all__ = ["attention_map"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    if name == "attention_map":
        from lymphct.attention.mapping import attention_map  # noqa: PLC0415 - numba loads on first use

        return attention_map
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
