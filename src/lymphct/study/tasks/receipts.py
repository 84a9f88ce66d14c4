"""Receipts of tasks that leave their results elsewhere: the keys of what they made there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import key_of

PREPARED_FILE: Final = "prepared.json"
"""Receipt of prepared patients."""


def write_receipt(path: Path, places: Mapping[str, Path]) -> None:
    """Write the keys of committed results by their names, such as patients.

    Raises:
        InputError: one of them is not there.

    """
    keys: dict[str, JSON] = {name: key_of(place) for name, place in places.items()}
    write_json(path, keys)


def still_stands(path: Path, place_of: Callable[[str], Path]) -> bool:
    """Tell whether every result of a receipt is there as it was.

    Args:
        path: of the receipt.
        place_of: folder of the result of a name.

    """
    try:
        receipt: Any = read_json(path)
        return all(key == key_of(place_of(name)) for name, key in receipt.items())
    except InputError:
        return False
