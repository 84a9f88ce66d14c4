"""`lymphct attention`: the attention map of a label map (Eq. 1, Eq. 2)."""

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lymphct.cli.context import chosen_config
from lymphct.cli.options import AsJson, Labels

if TYPE_CHECKING:
    from lymphct.core.volume import Volume

logger = logging.getLogger(__name__)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("attention")(attention)


def attention(
    structures: Annotated[
        Path, typer.Option(help="Label map (.nii.gz), or a folder of <structure>.nii.gz files.")
    ],
    out: Annotated[Path, typer.Option(help="Attention map to write (.nii.gz, float32, 0 to 1).")],
    labels: Labels = "auto",
    bands: Annotated[
        Path | None, typer.Option(help="YAML file of distance bands, mm; default: Tab. II of the paper.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the attention map on the label map's own grid."""
    _check_target(out, structures)
    settings = chosen_config().attention
    from lymphct.attention.bands import PAPER_BANDS
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.settings import load_bands

    chosen = PAPER_BANDS if bands is None else load_bands(bands)
    scheme = label_scheme(labels)
    from lymphct.attention.mapping import attention_map, structures_present
    from lymphct.core.terms import GUIDING_STRUCTURES
    from lymphct.io.images.reading import read_labels, write_volume
    from lymphct.io.results.store import check_writable_file

    check_writable_file(out)
    started = time.perf_counter()
    label_map = read_labels(structures, scheme=scheme)
    _warn_of_implausible(label_map)
    write_volume(out, attention_map(label_map, chosen, settings))
    present = structures_present(label_map)
    # A structure without a band of the user's counts as background.
    used = [s.label for s in GUIDING_STRUCTURES if s in present and s in chosen]
    missing = [s.label for s in GUIDING_STRUCTURES if s not in present]
    seconds = round(time.perf_counter() - started, 3)
    if as_json:
        typer.echo(json.dumps({"structures_used": used, "structures_missing": missing, "seconds": seconds}))
    logger.info("attention map from %d of %d structures", len(used), len(GUIDING_STRUCTURES))
    if missing:
        logger.warning("missing structures: %s", ", ".join(missing))


def _warn_of_implausible(label_map: "Volume") -> None:
    """Any mask may be given here: what no abdomen has is said, not refused."""
    from lymphct.anatomy.plausibility import implausible

    for finding in implausible(label_map):
        logger.warning("the label map looks wrong: %s", finding.text)


def _check_target(out: Path, structures: Path) -> None:
    from lymphct.core.errors import UsageError

    if not out.name.endswith(".nii.gz"):
        msg = "the attention map is written as .nii.gz"
        raise UsageError(msg, cure=f"--out {out.name.split('.')[0]}.nii.gz").at(file=out.name)
    if out.exists() and structures.exists() and out.samefile(structures):
        msg = "--out is the file of the structures"
        raise UsageError(msg, cure="choose another name").at(file=out.name)
