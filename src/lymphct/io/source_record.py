"""`source.json` beside a manifest: which data set a cohort comes from, its licence and what to cite."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from lymphct.core.errors import InputError
from lymphct.core.origin import Origin, united
from lymphct.io.results.jsonfile import read_json, write_json

SOURCE_FILE: Final = "source.json"


def origin_beside(manifest: Path) -> Origin | None:
    """Return what `source.json` beside a manifest says; None where there is none.

    Raises:
        InputError: the file is not one of ours.

    """
    path = manifest.parent / SOURCE_FILE
    if not path.exists():
        return None
    content: Any = read_json(path)
    try:
        return Origin.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        msg = f"it does not say where the cohort comes from: {where}: {first['msg']}"
        cure = "import the data set again; without the file the licence is not told in the bundle"
        raise InputError(msg, code="E_SOURCE", cure=cure).at(file=SOURCE_FILE) from error


def origins_beside(manifests: Iterable[Path]) -> tuple[Origin, ...]:
    """Return the data sets of several cohorts, each once.

    Raises:
        InputError: as `origin_beside`.

    """
    found = (origin_beside(manifest) for manifest in manifests)
    return united(origin for origin in found if origin is not None)


def write_origin(manifest: Path, origin: Origin) -> None:
    """Write `source.json` beside a manifest.

    Raises:
        EnvironmentProblemError: it cannot be written.

    """
    write_json(manifest.parent / SOURCE_FILE, origin.model_dump(mode="json"))
