"""Where layouts of data sets come from: the package, or a file of the user's (decision 0045)."""

import difflib
import importlib.resources
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml
from pydantic import ValidationError

from lymphct.config.parsing import plain_yaml
from lymphct.core.errors import InputError, UsageError
from lymphct.io.textfile import read_text
from lymphct.patients.importing.layout import (
    FileRule,
    Layout,
    NodeRule,
    StructureRule,
    TableRule,
    TumorRule,
)

LONGEST_LAYOUT: Final = 65_536
"""Characters; the parser takes minutes for a hostile megabyte."""
_CLOSE: Final = 0.6


def dataset_names() -> tuple[str, ...]:
    """Return the data sets whose layout comes with the package."""
    return tuple(
        sorted(e.name.removesuffix(".yaml") for e in _layouts().iterdir() if e.name.endswith(".yaml"))
    )


def load_dataset(name: str) -> Layout:
    """Return the layout of a data set of the package.

    Raises:
        UsageError: nothing of that name; the nearest is told.

    """
    names = dataset_names()
    if name not in names:
        near = difflib.get_close_matches(name.casefold(), names, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        msg = f"no data set {name[:40]!r} is known{hint}"
        raise UsageError(msg, code="E_DATASET", cure=f"one of {', '.join(names)}, or --layout FILE.yaml")
    return parse_layout((_layouts() / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml")


def load_layout(path: Path) -> Layout:
    """Read a layout of the user's own.

    Raises:
        InputError: missing, not text, or refused by `parse_layout`.

    """
    return parse_layout(read_text(path), path.name)


def parse_layout(text: str, file: str = "") -> Layout:
    """Return the layout that a YAML text describes.

    Raises:
        InputError: `E_LAYOUT`, the first thing that is wrong; an unknown name with the nearest that exists.

    """
    if len(text) > LONGEST_LAYOUT:
        _refuse(f"{len(text)} characters are too many for a layout (limit {LONGEST_LAYOUT})", file)
    try:
        values = plain_yaml(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        _refuse(f"not valid YAML{f' (line {mark.line + 1})' if mark else ''}", file)
    if not isinstance(values, dict):
        _refuse("no YAML mapping of names to values", file)
    try:
        return Layout.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        _refuse(f"{place[:80]}: {_why(first, str(first['loc'][-1]))}", file)


def _why(found: Any, name: str) -> str:  # noqa: ANN401 - a record of pydantic
    if found["type"] == "extra_forbidden":
        known = {field for kind in _KINDS for field in kind.model_fields}
        near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_CLOSE)
        return f"no such name{f'; did you mean {near[0]}?' if near else ''}"
    return str(found["msg"]).removeprefix("Value error, ")


_KINDS: Final = (Layout, FileRule, StructureRule, TumorRule, NodeRule, TableRule)


def _refuse(cause: str, file: str) -> NoReturn:
    cure = "correct the layout; its names stand in the documentation, `public-data`"
    raise InputError(cause, code="E_LAYOUT", cure=cure).at(file=file)


def _layouts() -> importlib.resources.abc.Traversable:
    return importlib.resources.files("lymphct") / "bundles" / "datasets"
