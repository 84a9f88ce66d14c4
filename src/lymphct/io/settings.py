"""Settings by name: the paper's, a preset that comes with the package, or the user's YAML file."""

import importlib.resources
from collections.abc import Sequence
from pathlib import Path

from lymphct.attention.bands import Bands
from lymphct.config import Config, parse_bands, parse_config
from lymphct.core.errors import InputError, LymphctError, UsageError
from lymphct.io.textfile import read_text

PAPER = "paper"
"""Name of the preset that keeps to the paper where the defaults of `Config` go beyond it."""

LONGEST_SETTINGS = 65_536
"""Characters; the parser takes minutes for a hostile megabyte, and all settings together are a tenth."""

_SUFFIX = ".yaml"


def preset_names() -> tuple[str, ...]:
    """Return the names `load_config` knows, the paper's first."""
    found = (entry.name for entry in _recipes().iterdir() if entry.name.endswith(_SUFFIX))
    others = {name.removesuffix(_SUFFIX) for name in found} - {PAPER}
    return (PAPER, *sorted(others))


def load_config(name: str | None, overrides: Sequence[str] = ()) -> Config:
    """Return the settings of a preset or of a YAML file, with overrides such as `nodes.threshold=0.4`.

    Args:
        name: a preset (see `preset_names`) or the path of a YAML file; None for the defaults.
        overrides: `key=value`, applied in their order.

    Raises:
        UsageError: neither a preset nor a file, text that is not YAML, an unknown setting, a value out of
            range; the message names the file.
        InputError: the file cannot be read as text.

    """
    if name is None:
        return parse_config("", overrides)
    if name in preset_names():
        return parse_config((_recipes() / f"{name}{_SUFFIX}").read_text(encoding="utf-8"), overrides)
    path = Path(name)
    text = _settings_text(path, f"neither a file nor a preset ({', '.join(preset_names())})")
    return parse_config(text, overrides, file=path.name)


def load_bands(path: Path) -> Bands:
    """Return the distance bands of a YAML file, one line a structure: `spleen: {d_min: 0, d_max: 16}`.

    Raises:
        UsageError: no such file, or not YAML.
        InputError: not text, an unknown structure, or a band without extent.

    """
    text = _settings_text(path, "no such file of distance bands")
    try:
        return parse_bands(text)
    except LymphctError as error:
        raise error.at(file=path.name) from error.__cause__


def _recipes() -> importlib.resources.abc.Traversable:
    return importlib.resources.files("lymphct") / "bundles" / "recipes"


def _settings_text(path: Path, missing: str) -> str:
    try:
        text = read_text(path)
    except InputError as error:
        if error.code != "E_MISSING":
            raise
        raise UsageError(missing, code="E_MISSING", cure="check the name").at(file=str(path)) from error
    if len(text) > LONGEST_SETTINGS:
        msg = f"{len(text)} characters are too many for settings (limit {LONGEST_SETTINGS})"
        raise UsageError(msg, code="E_YAML", cure="is this the right file?").at(file=path.name)
    return text
