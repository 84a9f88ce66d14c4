"""`lymphct attention`: the attention map of a label map (Eq. 1, Eq. 2)."""

import json
import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("attention")(attention)


def attention(
    structures: Annotated[
        Path, typer.Option(help="Label map (.nii.gz), or a folder of <structure>.nii.gz files.")
    ],
    out: Annotated[Path, typer.Option(help="Attention map to write (.nii.gz, float32, 0 to 1).")],
    labels: Annotated[
        str,
        typer.Option(
            help="Numbering of the label map: lymphct, totalsegmentator, or a YAML file name: number."
        ),
    ] = "lymphct",
    bands: Annotated[
        Path | None, typer.Option(help="YAML file of distance bands, mm; default: Tab. II of the paper.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compute the attention map on the label map's own grid."""
    from lymphct.attention.mapping import attention_map, structures_present
    from lymphct.config import parse_bands
    from lymphct.core.terms import GUIDING_STRUCTURES
    from lymphct.io.images import read_labels, write_volume
    from lymphct.io.store import check_writable_file
    from lymphct.workflow.settings import load_config

    config = load_config(GLOBALS.config, GLOBALS.overrides)
    check_writable_file(out)
    started = time.perf_counter()
    label_map = read_labels(structures, scheme=labels)
    chosen = parse_bands(bands) if bands else config.attention.bands
    result = attention_map(label_map, chosen, config.attention)
    write_volume(out, result)
    used = structures_present(label_map)
    missing = [s.label for s in GUIDING_STRUCTURES if s not in used]
    summary = {
        "structures_used": [s.label for s in used],
        "structures_missing": missing,
        "seconds": round(time.perf_counter() - started, 3),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    logger.info("attention map from %d of %d structures", len(used), len(GUIDING_STRUCTURES))
    if missing:
        logger.warning("missing structures: %s", ", ".join(missing))
