"""Packages whose public names load their module on first use, so that `--help` costs no library."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package.

    Args:
        package: its name, for the error message.
        homes: public name → module that holds it.

    >>> getattr_of_core = lazy_exports("lymphct.core", {"Volume": "lymphct.core.volume"})
    >>> getattr_of_core("Volume").__name__
    'Volume'

    """

    def load(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
        if name not in homes:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(homes[name]), name)

    return load
