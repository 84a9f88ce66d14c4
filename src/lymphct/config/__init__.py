"""Settings as text and as values: the rooms declare them, `cascade.settings` puts them together."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.cascade.settings import Config
    from lymphct.cascade.sizes import scaled, scaled_sizes
    from lymphct.config.parsing import parse_bands, parse_config
    from lymphct.core.settings import described

__all__ = ["Config", "described", "parse_bands", "parse_config", "scaled", "scaled_sizes"]

__getattr__ = lazy_exports(
    __name__,
    {
        "Config": "lymphct.cascade.settings",
        "described": "lymphct.core.settings",
        "parse_bands": "lymphct.config.parsing",
        "parse_config": "lymphct.config.parsing",
        "scaled": "lymphct.cascade.sizes",
        "scaled_sizes": "lymphct.cascade.sizes",
    },
)
