"""Values of DICOM elements, taken without ever quoting the text of one."""

import hmac
import logging
import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import numpy as np
from pydicom.dataset import Dataset

from lymphct.core.errors import InputError

_KEY: Final = secrets.token_bytes(32)
_MEANINGS: Final = {
    "ImagePositionPatient": "position",
    "ImageOrientationPatient": "orientation",
    "PixelSpacing": "pixel spacing",
    "RescaleSlope": "rescale to HU",
    "RescaleIntercept": "rescale to HU",
}


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom and highdicom from warning and logging: their sentences quote the text of tags."""
    logs = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def keyed_hash(text: str) -> str:
    """Return a hash that tells two texts apart within this process and says nothing about them."""
    return hmac.new(_KEY, text.encode("utf-8", "replace"), "sha256").hexdigest() if text else ""


def refuse_damaged(detail: str) -> NoReturn:
    """Raise the error for a damaged DICOM file; what led to it may quote tags and is cut off."""
    msg = f"incomplete or damaged file: {detail}"
    raise InputError(msg, code="E_DICOM", cure="copy the series again") from None


def element_value(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - any value of a tag
    """Return the value of an element, None when absent."""
    try:
        return dataset.get(keyword)
    except Exception:  # noqa: BLE001 - pydicom raises many types, and quotes tags in them
        refuse_damaged(f"the DICOM element {keyword} cannot be read")


def element_text(dataset: Dataset, keyword: str) -> str:
    """Return the text of an element without outer blanks, empty when absent."""
    value = element_value(dataset, keyword)
    return "" if value is None else str(value).strip()


def element_whole_number(dataset: Dataset, keyword: str, default: int) -> int:
    """Return a whole number, `default` when absent or empty."""
    value = element_value(dataset, keyword)
    try:
        return default if value in (None, "") else int(value)
    except (TypeError, ValueError, OverflowError):
        refuse_damaged(f"the DICOM element {keyword} is no whole number")


def element_numbers(dataset: Dataset, keyword: str, count: int, code: str) -> tuple[float, ...]:
    """Return `count` finite numbers; raise `InputError` with `code` when they are not there."""
    value = element_value(dataset, keyword)
    try:
        numbers = tuple(float(x) for x in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        msg = f"the slice has no valid {_MEANINGS[keyword]} ({keyword})"
        raise InputError(msg, code=code, cure="export the original CT series again")
    return numbers
