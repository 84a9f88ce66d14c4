"""Deformable registration of two phases: DEEDS (Heinrich et al., MICCAI 2013), Sec. IV-A.2."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lymphct.imaging.registration.registering import register

__all__ = ["register"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    if name == "register":
        from lymphct.imaging.registration.registering import register  # noqa: PLC0415 - numba loads on first use

        return register
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
