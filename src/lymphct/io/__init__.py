"""The door for files: images, cohorts, results, models."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lymphct.io.images import read_volume

__all__ = ["read_volume"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type of whatever is asked for
    if name == "read_volume":
        from lymphct.io.images import read_volume  # noqa: PLC0415 - `--help` must not load nibabel

        return read_volume
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
