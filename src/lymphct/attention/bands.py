"""Distance bands: the paper's and a user's (Tab. II)."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from lymphct.attention.settings import AttentionSettings
from lymphct.core.errors import InputError
from lymphct.core.terms import GUIDING_STRUCTURES, Structure


class Band(NamedTuple):
    """Signed distances from a structure between which its lymph nodes lie, mm (negative inside)."""

    d_min: float
    d_max: float


Bands = Mapping[Structure, Band]


class Trapezium(NamedTuple):
    """A band and how it ends: attention over the signed distance from a structure, all mm (Eq. 1)."""

    d_min: float
    d_max: float
    ramp: float
    """Width over which the attention falls from 1 to 0 on both sides."""


Shapes = Mapping[Structure, Trapezium]


PAPER_BANDS: Final[Bands] = {
    Structure.SPLEEN: Band(0.0, 16.0),
    Structure.ESOPHAGUS: Band(0.0, 25.0),
    Structure.STOMACH: Band(-2.0, 18.0),
    Structure.AORTA: Band(0.0, 28.0),
    Structure.PANCREAS: Band(-5.0, 20.0),
    Structure.DUODENUM: Band(-5.0, 22.0),
    Structure.SUPERIOR_MESENTERIC_ARTERY: Band(-1.0, 20.0),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: Band(-2.0, 18.0),
    Structure.LEFT_GASTRIC_ARTERY: Band(0.0, 21.0),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: Band(0.0, 20.0),
}
"""Tab. II."""


def bands_of(settings: AttentionSettings) -> Bands:
    """Return the bands of the settings: those of Tab. II where they name none.

    >>> bands_of(AttentionSettings()) == PAPER_BANDS
    True
    """
    if settings.bands is None:
        return PAPER_BANDS
    names = {structure.label: structure for structure in GUIDING_STRUCTURES}
    return {names[name]: Band(band.d_min, band.d_max) for name, band in settings.bands.items()}


def bands_from_mapping(entries: Mapping[str, object]) -> dict[Structure, Band]:
    """Read bands as a YAML file states them: structure name → `{d_min: mm, d_max: mm}`.

    Only the structures named get a band.

    >>> bands_from_mapping({"spleen": {"d_min": 0, "d_max": 16}})
    {<Structure.SPLEEN: 1>: Band(d_min=0.0, d_max=16.0)}

    Raises:
        InputError: nothing is named, a name is not one of the ten guiding structures, a value is no finite
            number, or d_min is not below d_max.

    """
    names = {structure.label: structure for structure in GUIDING_STRUCTURES}
    if not isinstance(entries, Mapping) or not entries:
        msg = "no distance band is given"
        raise InputError(
            msg, code="E_BANDS", cure="write one line a structure: spleen: {d_min: 0, d_max: 16}"
        )
    bands: dict[Structure, Band] = {}
    for name, entry in entries.items():
        if name not in names:
            msg = f"distance band for {name!r}, which is not a structure that guides the attention"
            raise InputError(msg, code="E_BANDS", cure=f"use one of: {', '.join(names)}")
        bands[names[name]] = _band(name, entry)
    return bands


def _band(name: str, entry: object) -> Band:
    keys = {"d_min", "d_max"}
    if not isinstance(entry, Mapping) or set(entry) != keys:
        msg = f"the distance band of {name} must have exactly d_min and d_max, got {entry!r}"
        raise InputError(msg, code="E_BANDS", cure=f"write {name}: {{d_min: 0, d_max: 16}}")
    d_min, d_max = entry["d_min"], entry["d_max"]
    for value in (d_min, d_max):
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            msg = f"the distance band of {name} holds {value!r}, which is no finite number of mm"
            raise InputError(msg, code="E_BANDS", cure=f"write {name}: {{d_min: 0, d_max: 16}}")
    if d_min >= d_max:
        msg = f"the distance band of {name} is empty: d_min {d_min:g} mm is not below d_max {d_max:g} mm"
        raise InputError(msg, code="E_BANDS", cure="exchange the two numbers")
    return Band(float(d_min), float(d_max))
