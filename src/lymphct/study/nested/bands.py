"""Distance bands that the cascades of a study fitted, beside those of the paper (Tab. II, Fig. 3)."""

from collections.abc import Sequence
from statistics import median

from lymphct.attention.bands import PAPER_BANDS, Bands
from lymphct.report.studies.printed import PrintedTable
from lymphct.report.wording import MISSING


def bands_table(fitted: Sequence[Bands], notes: Sequence[str] = ()) -> PrintedTable:
    """Return the median and the range over cascades of each edge of each band.

    Args:
        fitted: bands of each cascade.
        notes: sentences that stand under it.

    """
    rows = []
    for structure, paper in PAPER_BANDS.items():
        own = [bands[structure] for bands in fitted if structure in bands]
        rows.append(
            [
                structure.title,
                f"{paper.d_min:g} to {paper.d_max:g}".replace("-", "−"),
                _edge([band.d_min for band in own]),
                _edge([band.d_max for band in own]),
                str(len(own)),
            ]
        )
    return PrintedTable(
        name="bands",
        title="Distance bands fitted on training patients, mm",
        heading=(
            "Structure", "Tab. II", "From, median [range]", "To, median [range]", "Cascades",
        ),
        rows=rows,
        notes=notes,
    )  # fmt: skip


def _edge(values: Sequence[float]) -> str:
    if not values:
        return MISSING
    middle, low, high = (
        f"{value:.1f}".replace("-", "−") for value in (median(values), min(values), max(values))
    )
    return f"{middle} [{low} to {high}]"
