"""What the chart says of a synthetic patient (Tab. I)."""

from dataclasses import dataclass
from typing import Final

import numpy as np

REPORT_SENSITIVITY: Final = 0.588
REPORT_SPECIFICITY: Final = 0.609


@dataclass(frozen=True, kw_only=True)
class Record:
    """A patient's row of the manifest.

    Attributes:
        n_status: 1 for N+, 0 for N-.
        ct_reported_n: what a radiologist called; right at `REPORT_SENSITIVITY` and
            `REPORT_SPECIFICITY`, those of the paper's reports (Tab. VI).
        age: years.
        sex: F or M.
        pT: T stage by the tumor's diameter (8th edition).
        pN: N stage.

    """

    n_status: int
    ct_reported_n: int
    age: int
    sex: str
    pT: str  # noqa: N815 - the name of the column everyone knows
    pN: str  # noqa: N815 - likewise


def draw_record(rng: np.random.Generator, *, n_status: int, diameter: float) -> Record:
    """Draw a plausible row; `diameter` of the tumor in mm."""
    called = rng.random() < (REPORT_SENSITIVITY if n_status else 1 - REPORT_SPECIFICITY)
    into_arteries = rng.random() < 0.04
    stage = "T1" if diameter <= 20 else "T2" if diameter <= 40 else "T3"
    return Record(
        n_status=n_status,
        ct_reported_n=int(called),
        age=int(np.clip(np.rint(rng.normal(62, 9)), 30, 88)),
        sex="M" if rng.random() < 0.6 else "F",
        pT="T4" if into_arteries else stage,
        pN="N0" if not n_status else "N1" if rng.random() < 0.75 else "N2",
    )
