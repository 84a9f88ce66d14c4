"""Methods without a network: what radiologists reported, and controls that should tell little (Sec. IV-E)."""

from typing import Final

from lymphct.baselines.method import StatusMethod
from lymphct.core.evidence import Evidence
from lymphct.metastasis.heads import Rule


def reported_status(evidence: Evidence) -> float | None:
    """Return the N status radiologists reported from CT, 1 or 0; None without a report."""
    reported = evidence.clinical.ct_reported_n
    return None if reported is None else float(reported)


def node_count(evidence: Evidence) -> float:
    """Return how many lymph nodes were found, whatever their class."""
    return float(len(evidence.nodes))


def tumor_volume(evidence: Evidence) -> float | None:
    """Return the volume of the tumor, mm³; None where none was found."""
    return evidence.tumor_volume or None


CT_REPORTED: Final = StatusMethod(
    name="CT-reported LN status", needs=("ct_reported_n",), fit=Rule(reported_status).fit
)
NODE_COUNT: Final = StatusMethod(name="control: number of nodes", needs=("nodes",), fit=Rule(node_count).fit)
TUMOR_VOLUME: Final = StatusMethod(name="control: tumor volume", needs=("tumor",), fit=Rule(tumor_volume).fit)
