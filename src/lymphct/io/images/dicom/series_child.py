"""A process that looks at series, each in a process of its own: a bad one costs itself and nothing else.

Runs as `python -m lymphct.io.images.dicom.series_child`; `series_worker` starts it. Requests come as lines of
JSON and answers go back likewise: nothing that a series holds is ever unpickled.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lymphct.core.errors import LymphctError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Notice
from lymphct.core.system import worked_apart
from lymphct.io.images.dicom.even_grid import Evened, evened, read_evened
from lymphct.io.images.dicom.pixels import read_pixels
from lymphct.io.images.dicom.reading import scan_files
from lymphct.io.images.dicom.series import series_notices
from lymphct.io.images.dicom.values import refuse_damaged
from lymphct.io.images.hounsfield import checked_hounsfield
from lymphct.io.images.limits import (
    AnatomicalLimits,
    DicomLimits,
    LookLimits,
    SafetyLimits,
    check_anatomy,
    check_safety,
)
from lymphct.io.images.nifti import write_nifti
from lymphct.io.images.vessels import measured_contrast, slices_to_look_at
from lymphct.io.images.voxel_digest import image_digest
from lymphct.io.results.disk import environment_errors


def main() -> None:
    """Answer requests until there are no more."""
    for line in sys.stdin:
        request = json.loads(line)
        sys.stdout.write(json.dumps(answered(request)) + "\n")
        sys.stdout.flush()


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one request in a process of its own, within its limits."""
    limits = LookLimits(**request["limits"])
    content, why = worked_apart(
        lambda: json.dumps(_answer(request)).encode("ascii"),
        memory=limits.memory_bytes,
        processor=limits.processor_seconds,
        wall=limits.wall_seconds,
    )
    if why:
        return _refused(f"the series could not be looked at: {why}", "E_LIMITS", "leave the series out")
    found: dict[str, Any] = json.loads(content)
    return found


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        with environment_errors():
            return _take(request) if request["do"] == "take" else _look(request)
    except LymphctError as error:
        return _refused(error.cause, error.code, error.cure)
    except MemoryError:
        return _refused("out of memory", "E_MEMORY", "leave the series out")
    except Exception as bug:  # noqa: BLE001 - a bug of ours costs one series
        return _refused(f"unexpected {type(bug).__name__}", "E_BUG", "report it")


def _refused(cause: str, code: str, cure: str) -> dict[str, Any]:
    return {"error": [cause, code, cure]}


def _opened(request: Mapping[str, Any]) -> tuple[Evened, tuple[Notice, ...]]:
    limits = DicomLimits()
    headers, skipped = scan_files([Path(path) for path in request["files"]], limits)
    if wanted := request.get("stack"):
        headers = [header for header in headers if header.stack == wanted]
    if not headers:
        refuse_damaged("the series changed while it was read")
    stack = evened(headers, limits, resample=bool(request.get("resample")))
    check_safety(stack.geometry, SafetyLimits())
    check_anatomy(stack.geometry, AnatomicalLimits())
    return stack, series_notices(stack.stack.headers, skipped) + stack.notices


def _look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Read every header and some slices; return the grid, notices, and what contrast agent did."""
    stack, notices = _opened(request)
    headers, step = stack.stack.headers, stack.geometry.spacing[2]
    chosen = [headers[k] for k in slices_to_look_at(len(headers), step)]
    apart = step * max(1, (len(headers) - 1) // max(len(chosen) - 1, 1))
    spacing = (*stack.geometry.spacing[:2], apart)
    grid = Geometry(
        shape=(*stack.geometry.shape[:2], len(chosen)),
        spacing=spacing,
        origin=stack.geometry.origin,
        direction=stack.geometry.direction,
    )
    volume, _ = checked_hounsfield(read_pixels(chosen, grid, DicomLimits()))
    return {
        "shape": list(stack.geometry.shape),
        "spacing": [round(value, 4) for value in stack.geometry.spacing],
        "range": [round(float(end), 1) for end in _heights(stack.geometry)],
        "notices": [notice.text for notice in notices],
        "is_resampled": bool(stack.notices),
        "contrast": measured_contrast(volume).as_json(),
    }


def _heights(geometry: Geometry) -> tuple[float, float]:
    """Return the lowest and the highest place along the body, mm."""
    ends = geometry.world([(0, 0, 0), (0, 0, geometry.shape[2] - 1)])[:, 2]
    return float(ends.min()), float(ends.max())


def _take(request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a series as a whole; write it where the request says a file; return its digest and notices."""
    stack, notices = _opened(request)
    volume, more = checked_hounsfield(read_evened(stack, DicomLimits()))
    if request.get("to"):
        write_nifti(Path(request["to"]), volume)
    return {
        "image_digest": image_digest(volume),
        "notices": [notice.text for notice in (*notices, *more)],
    }


if __name__ == "__main__":
    main()
