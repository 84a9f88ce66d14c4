"""Settings are typed, frozen and sourced: each field's docstring says where its value comes from."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A group of settings; each room declares its own beside the code they govern."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )
