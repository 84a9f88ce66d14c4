"""Settings are typed, frozen and sourced: each field's docstring says where its value comes from."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Spacing = Annotated[float, Field(ge=0.3, le=10.0)]
"""Distance between voxels of a working grid, mm."""
Edge = Annotated[int, Field(ge=1, le=1024)]
"""Edge of a patch, voxels or pixels; an image of more would not fit a body."""


class Settings(BaseModel):
    """A group of settings; each room declares its own in its module `settings`, which loads no network."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )


def described(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """List each setting as (dotted name, value, where the value comes from)."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Settings):
            yield from described(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, " ".join((field.description or "").split())
