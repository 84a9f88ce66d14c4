"""Settings and distance bands from YAML text, checked; whatever is wrong is told in one line."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from pydantic import ValidationError

from lymphct.attention.bands import Bands, bands_from_mapping
from lymphct.cascade.settings import Config
from lymphct.core.errors import UsageError


def parse_config(text: str, overrides: Sequence[str] = ()) -> Config:
    """Read settings from YAML text, then apply `key=value` overrides such as `nodes.threshold=0.4`.

    Raises:
        UsageError: text that is not YAML, an unknown setting, or a value out of range; one line says which.

    """
    # Starting from the defaults, a group given in part keeps the rest of this room's values.
    values = _merged(Config().model_dump(mode="json"), _mapping(text, "settings"))
    for override in overrides:
        path, equals, value = override.partition("=")
        if not equals:
            msg = f"--set takes key=value, got {override!r}"
            raise UsageError(msg, cure="for example --set attention.border=4")
        _assign(values, path.split("."), _scalar(value))
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        msg = f"setting {place}: {first['msg']}"
        raise UsageError(msg, code="E_SETTING", cure="`lymphct config show` lists all settings") from error


def parse_bands(text: str) -> Bands:
    """Read distance bands from YAML text, one line a structure: `spleen: {d_min: 0, d_max: 16}`.

    Raises:
        UsageError: text that is not a YAML mapping.
        InputError: an unknown structure, or a band without extent.

    """
    return bands_from_mapping(_mapping(text, "bands"))


def _mapping(text: str, what: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" (line {where.line + 1})" if where else ""
        msg = f"the {what} are not valid YAML{line}"
        raise UsageError(msg, code="E_YAML", cure="correct the file") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        msg = f"the {what} are not a YAML mapping of names to values"
        raise UsageError(msg, code="E_YAML", cure="write `name: value` lines")
    return values


def _merged(defaults: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in given.items():
        inner = merged.get(name)
        both_groups = isinstance(inner, dict) and isinstance(value, Mapping)
        merged[name] = _merged(inner, value) if both_groups and inner is not None else value
    return merged


def _scalar(text: str) -> Any:  # noqa: ANN401 - a YAML value can be of any type; pydantic checks it next
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        msg = f"the value {text!r} is not valid YAML"
        raise UsageError(msg, code="E_YAML", cure="for example --set attention.border=4") from error


def _assign(values: dict[str, Any], path: Sequence[str], value: object) -> None:
    *groups, last = path
    for group in groups:
        inner = values.setdefault(group, {})
        if not isinstance(inner, Mapping):
            msg = f"{group} is a single setting, not a group"
            raise UsageError(msg, code="E_SETTING", cure="`lymphct config show` lists all settings")
        values[group] = inner = dict(inner)
        values = inner
    values[last] = value
