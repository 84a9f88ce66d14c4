"""Arteries traced as cheapest paths from the aorta to organs, where no mask of them is to be had."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.anatomy.tracing.outcome import Traced
    from lymphct.anatomy.tracing.tracing import trace_arteries, with_traced

__all__ = ["Traced", "trace_arteries", "with_traced"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Traced": "lymphct.anatomy.tracing.outcome",
        "trace_arteries": "lymphct.anatomy.tracing.tracing",
        "with_traced": "lymphct.anatomy.tracing.tracing",
    },
)
