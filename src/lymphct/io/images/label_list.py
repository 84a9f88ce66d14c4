"""A list of the user's own of what the numbers of a label map mean: YAML, `name: number`."""

from pathlib import Path
from typing import Final

import yaml

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.io.textfile import read_text

LARGEST_NUMBER: Final = 65_535
"""Largest number that a label map may hold."""
_LONGEST_NAMES: Final = 65_536


def read_label_names(path: Path) -> dict[int, Structure]:
    """Read a YAML file with lines `name: number`, such as `aorta: 52`.

    Raises:
        InputError: not such a file, an unknown name, a name or a number given twice.

    """
    text = read_text(path)
    if len(text) > _LONGEST_NAMES:  # the parser takes minutes for a hostile megabyte
        raise _bad_names("is too long").at(file=path.name)
    try:
        # compose, not load: the tree still shows a key that stands twice.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        raise _bad_names("is not valid YAML").at(file=path.name) from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise _bad_names("must hold lines `name: number`").at(file=path.name)
    numbers: dict[int, Structure] = {}
    for key, value in root.value:
        name, number = str(key.value), str(value.value)
        structure = STRUCTURES_BY_NAME.get(name)
        if structure is None:
            raise _bad_names(f"unknown structure {name[:40]!r}").at(file=path.name)
        if not (number.isascii() and number.isdigit() and 0 < int(number[:9]) <= LARGEST_NUMBER):
            raise _bad_names(f"{name} needs a number from 1 to {LARGEST_NUMBER}").at(file=path.name)
        if int(number) in numbers or structure in numbers.values():
            raise _bad_names(f"{name} or its number {int(number)} is given twice").at(file=path.name)
        numbers[int(number)] = structure
    return numbers


def _bad_names(cause: str) -> InputError:
    return InputError(cause, code="E_LABELS", cure="one line per structure, for example `aorta: 52`")
