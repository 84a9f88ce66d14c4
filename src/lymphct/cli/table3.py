"""What `lymphct evaluate segmentation --preset table3` asks and prints (Tab. III)."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lymphct.cli.context import GLOBALS, counted, progress_bar

if TYPE_CHECKING:
    from lymphct.evaluation.surfaces import SurfaceDefinition


class Preset(StrEnum):
    """A table of the paper."""

    TABLE3 = "table3"


def table3(
    methods: Sequence[str],
    truth: Path,
    out: Path,
    *,
    labels: str | None,
    thickness: float | None,
    surface: "SurfaceDefinition",
) -> dict[str, Any]:
    """Score the methods on the patients of the truth, and return the record."""
    from lymphct.evaluation.surfaces import SurfaceSettings
    from lymphct.io.images.labels import label_scheme
    from lymphct.scoring.table3 import Table3Request, evaluate_table3, named_methods, scored_patients

    named = named_methods(methods)
    patients = scored_patients(named, truth)
    request = Table3Request(
        scheme=label_scheme(labels or "auto"),
        thickness=thickness,
        surface=SurfaceSettings(definition=surface),
    )
    with progress_bar("patients", len(patients)) as advance:
        return evaluate_table3(named, patients, request, out, jobs=GLOBALS.jobs, progress=advance)


def table3_text(record: dict[str, Any]) -> str:
    """Return the table as the paper prints it: mean ± SD over patients."""
    from lymphct.scoring.table3 import printed_name

    rows = record["rows"]
    wide = max([len("method"), *(len(row["method"]) for row in rows)])
    lines = [f"{'structure':<11}{'method':<{wide + 2}}{'Dice':>15}{'ASD mm':>15}{'HD mm':>17}  found in"]
    before = ""
    for row in rows:
        name = printed_name(row["structure"])
        figures = (_figure(row, "dice", 3, 15), _figure(row, "asd", 3, 15), _figure(row, "hd", 2, 17))
        shown = "" if name == before else name
        found = f"{row['found_in']} of {row['patients']}"
        lines.append(f"{shown:<11}{row['method']:<{wide + 2}}{''.join(figures)}  {found}")
        before = name
    thickness = record["settings"]["slice_thickness_mm"]
    sliced = "" if thickness is None else f", in slices of {thickness:g} mm"
    lines.append(f"mean ± SD over {counted(record['patients'], 'patient')}{sliced}")
    return "\n".join(lines)


def _figure(row: dict[str, Any], metric: str, decimals: int, width: int) -> str:
    mean, sd = row[f"{metric}_mean"], row[f"{metric}_sd"]
    if mean is None:
        return f"{'-':>{width}}"
    spread = "" if sd is None else f" ± {sd:.{decimals}f}"
    return f"{f'{mean:.{decimals}f}{spread}':>{width}}"
