"""Settings and distance bands from YAML text, checked; whatever is wrong is told in one line."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml
from pydantic import ValidationError

from lymphct.attention.bands import Bands, bands_from_mapping
from lymphct.cascade.settings import Config
from lymphct.core.errors import UsageError
from lymphct.core.settings import described

ON_GRID: Final = "on_grid"
"""What the sizes are on the working grid, beside the settings as given; printed, never read."""

MOST_VALUES: Final = 100_000
"""That a text may stand for; all settings together are under a thousand."""

_CLOSE: Final = 0.75
"""Share of letters in common from which another name is suggested."""


def parse_config(text: str, overrides: Sequence[str] = (), *, file: str = "") -> Config:
    """Read settings from YAML text, then apply `key=value` overrides such as `nodes.threshold=0.4`.

    Args:
        text: YAML. A group `on_grid`, which `config show --json` adds, follows from the rest and is not read.
        overrides: applied in their order.
        file: name of the file that holds the text; messages about an override do not name it.

    Raises:
        UsageError: text that is not YAML, or everything that is wrong with single settings at once: unknown
            ones with the nearest valid name, values out of range.

    """
    try:
        given = _mapping(text, "settings")
    except UsageError as error:
        raise error.at(file=file) from error.__cause__
    given.pop(ON_GRID, None)
    # Starting from the defaults, a group given in part keeps the rest of this room's values.
    values = _merged(Config().model_dump(mode="json"), given)
    config, wrong = _judged(values)
    refused = [error.at(file=file) for error in wrong.values()]
    for override in overrides:
        try:
            _apply(values, override)
        except UsageError as error:
            refused.append(error)
    if overrides:
        config, also = _judged(values)
        refused += [error for place, error in also.items() if place not in wrong]
    if config is None or refused:
        raise _at_once(refused)
    return config


def _judged(values: Mapping[str, Any]) -> tuple[Config | None, dict[str, UsageError]]:
    """Return the settings, or what is wrong with them by the name of the setting."""
    try:
        return Config.model_validate(values), {}
    except ValidationError as error:
        wrong: dict[str, UsageError] = {}
        for found in error.errors(include_url=False):
            place = ".".join(str(part) for part in found["loc"])
            is_unknown = found["type"] == "extra_forbidden"
            why = _unknown(place) if is_unknown else f"{found['msg']}, got {str(found['input'])[:40]!r}"
            cure = "`lymphct config show` lists all settings"
            wrong.setdefault(place, UsageError(f"setting {place}: {why}", code="E_SETTING", cure=cure))
        return None, wrong


def _unknown(place: str) -> str:
    """Say that a setting does not exist, and which one was probably meant."""
    names = [name for name, _, _ in described(Config())]
    groups = {name.rpartition(".")[0] for name in names}
    last = place.rpartition(".")[2]
    same_end = [name for name in names if name.rpartition(".")[2] == last]
    near = same_end[:2] or difflib.get_close_matches(place, [*names, *groups], n=1, cutoff=_CLOSE)
    return f"no such setting; did you mean {' or '.join(near)}?" if near else "no such setting"


def _at_once(refused: Sequence[UsageError]) -> UsageError:
    if len(refused) == 1:
        return refused[0]
    told = [f"{error.file}: {error.cause}" if error.file else error.cause for error in refused]
    msg = f"{len(refused)} settings are wrong: {'; '.join(told)}"
    return UsageError(msg, code="E_SETTING", cure="`lymphct config show` lists all settings")


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals:
        msg = f"--set takes key=value, got {override!r}"
        raise UsageError(msg, cure="for example --set attention.border=4")
    _assign(values, path.split("."), _scalar(value))


def parse_bands(text: str) -> Bands:
    """Read distance bands from YAML text, one line a structure: `spleen: {d_min: 0, d_max: 16}`.

    Raises:
        UsageError: text that is not a YAML mapping.
        InputError: an unknown structure, or a band without extent.

    """
    return bands_from_mapping(_mapping(text, "bands"))


def plain_yaml(text: str) -> Any:  # noqa: ANN401 - a YAML value can be of any type
    r"""Return what YAML text says, unless its aliases (`*name`) multiply.

    A dozen lines of aliases to aliases may stand for more values than any memory holds.

    >>> plain_yaml("a: &sizes [1, 2]\nb: *sizes")
    {'a': [1, 2], 'b': [1, 2]}

    Raises:
        yaml.YAMLError: not YAML, a tag that would build an object, or more than `MOST_VALUES` values.
        RecursionError: nested too deep.

    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is not None and _values_in(root, {}) > MOST_VALUES:
        msg = f"it stands for more than {MOST_VALUES} values"
        raise yaml.MarkedYAMLError(problem=msg, problem_mark=root.start_mark)
    return yaml.safe_load(text)


def _values_in(node: yaml.Node, known: dict[int, float]) -> float:
    """Return how many values a part of the text stands for; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is counted
        inner = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else []
        inner = node.value if isinstance(node, yaml.SequenceNode) else inner
        known[id(node)] = 1 + sum(_values_in(part, known) for part in inner)
    return known[id(node)]


def _mapping(text: str, what: str) -> dict[str, Any]:
    try:
        values = plain_yaml(text)
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
