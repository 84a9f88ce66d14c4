"""Masks alone on disk, where a prediction was asked for up to one stage (`lymphct predict --only`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lymphct.core.patient import Prediction
from lymphct.core.terms import StageName
from lymphct.io.images.reading import write_volume
from lymphct.report.colors import write_color_tables
from lymphct.report.context import ReportContext
from lymphct.report.tables import write_nodes, write_result

MASKS: Final[Mapping[StageName, tuple[str, ...]]] = {
    StageName.STRUCTURES: ("structures",),
    StageName.TUMOR: ("structures", "tumor"),
    StageName.NODES: ("structures", "tumor", "attention", "node_instances"),
}
"""Masks that are known after a stage. There is no class map of the nodes: nobody called them."""


def write_masks(folder: Path, prediction: Prediction, context: ReportContext, last: StageName) -> None:
    """Write the masks of a stage and of those it needs, and `result.json`; for nodes `nodes.csv` besides."""
    seg = folder / "seg"
    seg.mkdir()
    volumes = {
        "structures": prediction.structures,
        "tumor": prediction.tumor,
        "attention": prediction.attention,
        "node_instances": prediction.nodes.instances,
    }
    for name in MASKS[last]:
        write_volume(seg / f"{name}.nii.gz", volumes[name])
    write_color_tables(seg, prediction.nodes, only=MASKS[last])
    write_result(folder, prediction, context)
    if last is StageName.NODES:
        write_nodes(folder, prediction)
