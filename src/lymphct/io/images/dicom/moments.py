"""Dates and times of DICOM as seconds, for differences between them alone."""

import math
import re
from datetime import date
from functools import lru_cache
from typing import Final

_DAY: Final = 86_400.0


def moment(day: str, time: str) -> float:
    """Return seconds since some day of the past; NaN where date or time is unknown."""
    return _day(day) + time_of_day(time)


def moment_of(text: str) -> float:
    """Return the same of a date and time in one; what it says of its time zone does not count.

    >>> moment_of("20240206101530.5+0100") - moment_of("20240206101500")
    30.5
    """
    return moment(text[:8], text[8:])


@lru_cache(maxsize=1024)
def _day(text: str) -> float:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8])).toordinal() * _DAY
    except ValueError:
        return math.nan


def time_of_day(text: str) -> float:
    """Return seconds from midnight on; NaN where there is no time."""
    found = re.match(r"(\d\d):?(\d\d):?(\d\d(\.\d+)?)?", text)
    if found is None:
        return math.nan
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3] or 0)
