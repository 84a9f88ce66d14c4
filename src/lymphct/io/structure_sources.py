"""Who gave each structure of a label map: what `predict` and `trace` write beside the masks they merged."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lymphct.core.errors import InputError
from lymphct.core.origin import Origin, united
from lymphct.core.terms import STRUCTURES_BY_NAME, Source, Structure
from lymphct.io.images.known_sources import known_sources
from lymphct.io.results.jsonfile import read_json

_RECORDS: Final = (("../result.json", "structure_sources"), ("trace.json", "sources"))
"""Where it may stand, seen from the folder of the label map, and under which key."""
_LONGEST: Final = 200


def record_beside(labels: Path) -> Path | None:
    """Return the file that says who gave each structure of a label map; None where there is none."""
    found = _found(labels)
    return None if found is None else found[0]


def structure_sources(labels: Path) -> dict[Structure, str]:
    """Return who gave each structure of a label map, by the names of sources; empty where nothing says so.

    Raises:
        InputError: the file beside it is none of ours.

    """
    found = _found(labels)
    if found is None:
        return {}
    path, key = found
    content: Any = read_json(path)
    told = content.get(key, {}) if isinstance(content, dict) else None
    if not isinstance(told, dict) or not all(map(_is_source, told.items())):
        msg = f"{key} does not say a source of each structure"
        raise InputError(msg, code="E_SOURCE", cure="move the masks away from it").at(file=path.name)
    return {STRUCTURES_BY_NAME[name]: source for name, source in told.items() if source != Source.NONE.value}


def _found(labels: Path) -> tuple[Path, str] | None:
    folder = labels.absolute().parent
    places = [(folder / name, key) for name, key in _RECORDS if name == "trace.json" or folder.name == "seg"]
    return next(((path.resolve(), key) for path, key in places if path.is_file()), None)


def _is_source(entry: tuple[object, object]) -> bool:
    name, source = entry
    return name in STRUCTURES_BY_NAME and isinstance(source, str) and len(source) <= _LONGEST


def mask_origins(paths: Iterable[Path | None]) -> tuple[Origin, ...]:
    """Return the tools and data sets whose masks stand in label maps, each once, with their licences.

    Raises:
        InputError: as `structure_sources`.

    """
    names = {
        name
        for path in paths
        if path is not None
        for source in structure_sources(path).values()
        for name in source.split("+")
    }
    return origins_named(names)


def origins_named(names: Iterable[str]) -> tuple[Origin, ...]:
    """Return the tools and data sets among these names of sources, with their licences.

    >>> [origin.name for origin in origins_named(["pants", "trace", "files"])]
    ['pants']
    """
    known = [known_sources()[name].origin for name in sorted(set(names)) if name in known_sources()]
    return united(origin for origin in known if origin is not None)
