"""The door for files: images, manifests, results, models."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.io.images.reading import read_volume

__all__ = ["read_volume"]

__getattr__ = lazy_exports(
    __name__,
    {
        "read_volume": "lymphct.io.images.reading",
    },
)
