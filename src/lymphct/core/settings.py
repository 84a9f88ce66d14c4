"""Settings are typed, frozen and sourced: each field's docstring says where its value comes from."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict


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
