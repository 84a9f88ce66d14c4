"""A folder of DICOM slices in, one CT series on its grid out."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.dicom.archive import unpacked
from lymphct.io.images.dicom.choice import chosen_series
from lymphct.io.images.dicom.concatenation import require_whole
from lymphct.io.images.dicom.files import scan_file
from lymphct.io.images.dicom.index import INDEX_FILE, index_notice
from lymphct.io.images.dicom.pixels import read_pixels
from lymphct.io.images.dicom.series import series_notices, stack_slices
from lymphct.io.images.dicom.slice_header import SliceHeader
from lymphct.io.images.limits import AnatomicalLimits, DicomLimits, SafetyLimits, check_anatomy, check_safety
from lymphct.io.images.sources import is_dicom, source_of
from lymphct.io.regular_file import combined_digest

_CLUTTER = frozenset({INDEX_FILE, "Thumbs.db", "desktop.ini"})


def read_dicom(
    path: Path,
    *,
    limits: SafetyLimits | None = None,
    dicom_limits: DicomLimits | None = None,
    anatomy: AnatomicalLimits | None = None,
) -> ReadImage:
    """Read one axial CT series of a folder (and the folders below it), a zip archive or a multi-frame file.

    Args:
        path: DICOM files under any names, of one slice or of many (Enhanced CT); an index (DICOMDIR) is not
            followed. `FOLDER#2` or `FOLDER#` with a SeriesInstanceUID chooses from several series
            (`lymphct.io.images.sources`).
        limits: safety limits; None for the defaults.
        dicom_limits: limits of the files and tolerances of the stack; None for the defaults.
        anatomy: limits of an abdominal CT, checked before any pixel is decoded; None for none.

    Returns:
        HU on i along rows, j along columns, k along the normal. The digest does not depend on file names.

    Raises:
        InputError: with what is wrong; no text of a tag and no name of a slice's file is ever quoted,
            but for the descriptions in a list of several series.

    """
    dicom_limits = dicom_limits or DicomLimits()
    try:
        with _opened(path, dicom_limits) as (folder, wanted):
            headers, skipped = _scan(folder, dicom_limits)
            ordered, geometry = stack_slices(chosen_series(headers, wanted), dicom_limits)
            check_safety(geometry, limits or SafetyLimits())
            if anatomy:
                check_anatomy(geometry, anatomy)
            volume = read_pixels(ordered, geometry, dicom_limits)
            index = index_notice(folder, dicom_limits)
    except InputError as error:
        raise error.at(file=path.name) from None
    return ReadImage(
        volume=volume,
        digest=combined_digest([header.mark for header in ordered]),
        notices=series_notices(ordered, skipped) + index,
        patient_key=ordered[0].patient_key,
        frame_key=ordered[0].frame_key if len({header.frame_key for header in ordered}) == 1 else "",
    )


def series_geometry(path: Path, *, dicom_limits: DicomLimits | None = None) -> Geometry:
    """Return the grid of a series from its headers alone; same errors as `read_dicom`."""
    with ordered_slices(path, dicom_limits=dicom_limits) as (_, geometry):
        return geometry


@contextmanager
def ordered_slices(
    path: Path, *, dicom_limits: DicomLimits | None = None
) -> Iterator[tuple[tuple[SliceHeader, ...], Geometry]]:
    """Yield the slices of a series by k and their grid, from headers alone; same errors as `read_dicom`.

    The files are there inside the block: an archive is unpacked for so long.
    """
    dicom_limits = dicom_limits or DicomLimits()
    try:
        with _opened(path, dicom_limits) as (folder, wanted):
            headers, _ = _scan(folder, dicom_limits)
            yield stack_slices(chosen_series(headers, wanted), dicom_limits)
    except InputError as error:
        raise error.at(file=path.name) from None


@contextmanager
def _opened(path: Path, limits: DicomLimits) -> Iterator[tuple[Path, str]]:
    """Yield the folder with the slices or the file that holds them, and the series that is wanted of it."""
    place, wanted = source_of(path)
    if place.is_dir() or is_dicom(place):
        yield place, wanted
        return
    with unpacked(place, limits) as folder:
        yield folder, wanted


def _scan(folder: Path, limits: DicomLimits) -> tuple[list[SliceHeader], dict[str, int]]:
    return scan_files(_files(folder, limits), limits)


def scan_files(paths: Sequence[Path], limits: DicomLimits) -> tuple[list[SliceHeader], dict[str, int]]:
    """Return the headers of the slices among some files, and how many other files there are, by kind.

    Raises:
        InputError: no slices, a damaged file that belongs to them, or a part of a concatenation is missing.

    """
    headers: list[SliceHeader] = []
    skipped: dict[str, int] = {}
    digests: set[str] = set()
    for number, path in enumerate(paths, start=1):
        try:
            found = scan_file(path, number, limits)
        except InputError as error:
            cause = f"file {number} by name: {error.cause}"
            raise InputError(cause, code=error.code, cure=error.cure) from None
        if not isinstance(found, str) and found[0].digest not in digests:
            headers.extend(found)
            digests.add(found[0].digest)
            continue
        kind = found if isinstance(found, str) else "copy"
        skipped[kind] = skipped.get(kind, 0) + 1
    if not headers:
        others = sum(skipped.values())
        msg = f"the folder holds no CT slices ({others} other files)" if others else "the folder is empty"
        raise InputError(msg, code="E_NO_SLICES", cure="give the folder of the CT series")
    require_whole(headers)
    return headers, skipped


def _files(folder: Path, limits: DicomLimits) -> list[Path]:
    """List the files below a folder by name, or the one file; links to folders are not followed."""
    if not folder.is_dir():
        return [folder]
    paths: list[Path] = []

    def refuse(error: OSError) -> None:
        msg = f"a folder cannot be listed ({error.strerror})"
        raise InputError(msg, code="E_UNREADABLE", cure="change its permissions")

    for parent, _, names in os.walk(folder, onerror=refuse):
        paths += [Path(parent, name) for name in names if not name.startswith(".") and name not in _CLUTTER]
        if len(paths) > limits.files:
            msg = f"the folder holds more than {limits.files} files, the limit"
            raise InputError(msg, code="E_TOO_LARGE", cure="give the folder of one series")
    return sorted(paths)
