"""Deformable registration of two phases: DEEDS (Heinrich et al., MICCAI 2013), Sec. IV-A.2."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.registration.registering import register

__all__ = ["register"]

__getattr__ = lazy_exports(
    __name__,
    {
        "register": "lymphct.registration.registering",
    },
)
