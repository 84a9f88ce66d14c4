"""Table of structures and tumor: Dice of groups, of every structure, of the tumor (Sec. IV-B, Sec. IV-C)."""

from collections.abc import Mapping, Sequence

from benchmarks.quality.subjects import Record
from benchmarks.quality.tables import Aim, Cell, Table, mean_defined, over_patients

from lymphct.core.terms import Structure
from lymphct.evaluation.segmentation import VoxelCounts
from lymphct.evaluation.statistics import Interval

ARTERIES = (
    Structure.SUPERIOR_MESENTERIC_ARTERY,
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY,
    Structure.LEFT_GASTRIC_ARTERY,
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER,
)
VEINS = (
    Structure.INFERIOR_VENA_CAVA,
    Structure.PORTAL_AND_SPLENIC_VEIN,
    Structure.SUPERIOR_MESENTERIC_VEIN,
)
GROUPS: Mapping[str, tuple[Structure, ...]] = {
    "organs and aorta": tuple(s for s in Structure if s not in (*ARTERIES, *VEINS)),
    "SMA, TC&SA, LGA, CHA&PHA": ARTERIES,
    "veins": VEINS,
}
AIMS: Mapping[str, float] = {"organs and aorta": 0.85, "SMA, TC&SA, LGA, CHA&PHA": 0.60, "tumor": 0.60}

Counts = Sequence[int]
"""Voxels of prediction, truth and both."""


def anatomy_tables(records: Sequence[Record]) -> tuple[list[Table], list[Aim]]:
    """Return Dice as means over patients, and how often a structure that exists is found at all."""
    drawn = [record["structures"] for record in records if "structures" in record]
    tumors = [record["tumor"] for record in records if "tumor" in record]
    rows: list[tuple[Cell, ...]] = []
    means: dict[str, Interval] = {}
    if drawn:
        for name, group in GROUPS.items():
            columns = [[patient[s.label] for s in group] for patient in drawn]
            means[name] = _mean_dice(columns)
            rows.append((f"mean of {name}", means[name], _share_found(columns), len(drawn)))
        for structure in Structure:
            columns = [[patient[structure.label]] for patient in drawn]
            rows.append((structure.title, _mean_dice(columns), _share_found(columns), len(drawn)))
    if tumors:
        columns = [[counts] for counts in tumors]
        means["tumor"] = _mean_dice(columns)
        rows.append(("tumor", means["tumor"], _share_found(columns), len(tumors)))
    if not rows:
        return [], []
    header = ("Structure", "Dice", "Found in", "Patients")
    note = (
        "Dice: means over patients. Found in: share of the patients who have it in whom any voxel is found."
    )
    aims = [
        Aim(name=f"Dice, {name}", reached=means[name], aim=aim) for name, aim in AIMS.items() if name in means
    ]
    return [Table(title="Structures and tumor", columns=header, rows=tuple(rows), note=note)], aims


def _mean_dice(patients: Sequence[Sequence[Counts]]) -> Interval:
    """Average over the structures of a group, then over patients."""
    dice = [mean_defined([VoxelCounts(*counts).dice for counts in group]) for group in patients]
    return over_patients(lambda rows: mean_defined([dice[row] for row in rows]), len(dice))


def _share_found(patients: Sequence[Sequence[Counts]]) -> float:
    there = [counts for group in patients for counts in group if counts[1] > 0]
    return mean_defined([float(counts[0] > 0) for counts in there])
