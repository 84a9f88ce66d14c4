"""All settings of the cascade: put together here, declared in the rooms."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.config import Config, described, parse_bands, parse_config

__all__ = ["Config", "described", "parse_bands", "parse_config"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Config": "lymphct.config.parsing",
        "described": "lymphct.config.parsing",
        "parse_bands": "lymphct.config.parsing",
        "parse_config": "lymphct.config.parsing",
    },
)
