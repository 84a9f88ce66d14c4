"""Where lymph nodes can be: distance bands around structures become an attention map (Eq. 1, Eq. 2)."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.attention.mapping import attention_map

__all__ = ["attention_map"]

__getattr__ = lazy_exports(
    __name__,
    {
        "attention_map": "lymphct.attention.mapping",
    },
)
