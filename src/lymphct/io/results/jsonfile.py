"""Strict JSON: nothing ambiguous is read, nothing non-standard is written."""

import json
import logging
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, cast

from pydantic import JsonValue

from lymphct.core.errors import InputError
from lymphct.core.system import PLAIN, read_at
from lymphct.io.results.disk import environment_errors, read_bounded, replace_file

logger = logging.getLogger(__name__)

JSON: TypeAlias = JsonValue
"""Null, boolean, number, text, list of JSON, or dictionary from text to JSON."""

LARGEST_JSON = 32 * 2**20
"""Bytes; the largest file of ours, the truth of a phantom cohort, is a hundredth of it."""

DEEPEST_JSON = 64
"""Levels of nesting; our own files have fewer than ten."""

# A string is consumed whole, even unterminated, so that its brackets do not count and time stays linear.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def read_json(path: Path, *, max_bytes: int = LARGEST_JSON, max_depth: int = DEEPEST_JSON) -> JSON:
    """Read a JSON file.

    Raises:
        InputError: missing, too large, not UTF-8, or refused by `parse_json`.

    """
    content = read_bounded(path, max_bytes)
    try:
        return parse_json(content, max_depth=max_depth)
    except InputError as error:
        raise error.at(file=path.name) from error.__cause__


def parse_json(content: bytes, *, max_depth: int = DEEPEST_JSON) -> JSON:
    """Parse JSON text.

    Raises:
        InputError: not UTF-8, not JSON, nested too deep, a key given twice, or a number that is not finite.

    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start})"
        raise InputError(msg, code="E_JSON", cure="save it as UTF-8") from error
    _require_depth(text, max_depth)
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite_float
        )
    except InputError:
        raise
    except json.JSONDecodeError as error:
        msg = f"not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        raise InputError(msg, code="E_JSON", cure="mend or copy the file again") from error
    except ValueError as error:  # an integer of thousands of digits
        msg = "a number is too long"
        raise InputError(msg, code="E_JSON", cure="mend or copy the file again") from error
    return cast("JSON", value)


def _require_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                msg = f"nested deeper than {max_depth} levels"
                raise InputError(msg, code="E_JSON_DEEP", cure="is this the right file?")
        elif mark in "]}":
            depth -= 1


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for key, value in pairs:
        if key in found:
            msg = f"the key {key[:40]!r} is given twice"
            raise InputError(msg, code="E_JSON_DUPLICATE", cure="keep one of them")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    msg = f"holds {name}, which is not JSON"
    raise InputError(msg, code="E_JSON_NUMBER", cure="write null or a finite number")


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        msg = f"the number {digits[:20]} is out of range"
        raise InputError(msg, code="E_JSON_NUMBER", cure="write a finite number")
    return number


def format_json(value: JSON | Mapping[str, JSON]) -> bytes:
    """Return the one text of a value: sorted keys, ASCII, a newline at the end.

    Raises:
        ValueError: a number is not finite.

    """
    return (json.dumps(value, allow_nan=False, sort_keys=True, indent=1) + "\n").encode("ascii")


def write_json(path: Path, value: JSON | Mapping[str, JSON]) -> None:
    """Write a JSON file; a crash leaves the old file or the new one.

    Raises:
        ValueError: a number is not finite; nothing is written.
        EnvironmentProblemError: no space, no permission and the like.

    """
    replace_file(path, format_json(value))


def append_json_line(path: Path, value: JSON | Mapping[str, JSON]) -> None:
    """Append one line of JSON in one write, so that processes may share the file.

    Raises:
        ValueError: a number is not finite; nothing is written.
        EnvironmentProblemError: no space, no permission and the like.

    """
    line = (json.dumps(value, allow_nan=False, sort_keys=True) + "\n").encode("ascii")
    with environment_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | PLAIN, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            # A line torn by a kill must not swallow this one.
            if size and read_at(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            written = os.write(descriptor, line)
            while written < len(line):  # a nearly full disk takes a part and refuses the rest
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_json_lines(path: Path, *, max_bytes: int = LARGEST_JSON) -> list[JSON]:
    """Read what `append_json_line` wrote; a line torn by a kill is left out and logged.

    Raises:
        InputError: missing or too large.

    """
    values: list[JSON] = []
    if path.exists() and path.stat().st_size == 0:
        return values
    for number, line in enumerate(read_bounded(path, max_bytes).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(parse_json(line))
        except InputError as torn:
            logger.warning("%s: line %d is incomplete and left out (%s)", path.name, number, torn.cause)
    return values
