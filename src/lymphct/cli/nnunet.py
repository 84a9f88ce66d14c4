"""`lymphct export nnunet` and `lymphct import nnunet`: from nnU-Net and back."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted, patient_bar
from lymphct.cli.options import AsJson, CohortFile, Labels, Rehash


class Target(StrEnum):
    """What the labels of a data set show."""

    STRUCTURES = "structures"
    TUMOR = "tumor"
    NODES = "nodes"
    NODE_CLASSES = "node-classes"


class SplitKind(StrEnum):
    """Which of our splits `splits_final.json` holds."""

    FOLDS = "folds"
    PLAN = "plan"


class ImportedPart(StrEnum):
    """Which part of a bundle an nnU-Net becomes."""

    STRUCTURES = "structures"
    TUMOR = "tumor"
    NODES = "nodes"


def register(app: typer.Typer) -> None:
    """Add the group `export`."""
    group = typer.Typer(help="Hand a cohort to another tool.", no_args_is_help=True, rich_markup_mode=None)
    group.callback()(lambda: None)  # a group of one command is a group all the same
    group.command("nnunet")(export_nnunet)
    app.add_typer(group, name="export")


def export_nnunet(
    cohort: CohortFile,
    out: Annotated[Path, typer.Option(help="Folder that receives DatasetNNN_Name, e.g. $nnUNet_raw.")],
    number: Annotated[int, typer.Option(min=1, max=999, help="NNN, the number of the data set.")] = 1,
    name: Annotated[str, typer.Option(help="Name of the data set.")] = "LymphCT",
    channels: Annotated[
        str, typer.Option(help="Input channels: A (registered to V), V, attention; in this order.")
    ] = "A,V",
    target: Annotated[Target, typer.Option(help="What the labels show.")] = Target.STRUCTURES,
    split: Annotated[
        SplitKind,
        typer.Option(help="splits_final.json: the folds of the cross-validation, or train's split."),
    ] = SplitKind.FOLDS,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    work: Annotated[
        Path | None, typer.Option(help="Folder of prepared patients that runs share; default: in --out.")
    ] = None,
    labels: Labels = "auto",
    rehash: Rehash = False,
    as_json: AsJson = False,
) -> None:
    """Write a cohort as a raw data set of nnU-Net v2, registered and on the working grid."""
    config = chosen_config()
    from lymphct.io.images.labels import label_scheme
    from lymphct.io.manifest import read_manifest
    from lymphct.io.manifest_check import require_usable as require_usable_manifest

    scheme = label_scheme(labels)
    manifest = read_manifest(cohort)
    from lymphct.io.results.store import locked
    from lymphct.io.results.usable import require_usable
    from lymphct.patients.nnunet import export as exporting
    from lymphct.study.nnunet_folds import nnunet_folds

    for problem in require_usable_manifest(manifest).values():
        raise problem
    require_usable(out)
    request = exporting.NnunetExport(
        out=out,
        number=number,
        name=name,
        channels=exporting.channels_of(channels),
        target=target.value,
        folds=nnunet_folds(manifest.patients, split.value, folds, GLOBALS.seed),
        is_phantom=any(record.is_synthetic for record in manifest.patients),
        config=config,
        labels=scheme,
        work=work,
        rehash=rehash,
    )
    GLOBALS.go_on = lambda: "run the same command again: patients that are prepared are kept"
    with locked(out), patient_bar("patients", len(manifest.patients)) as bar:
        done = exporting.export_nnunet(manifest, request, jobs=GLOBALS.jobs, progress=bar.done)
    if as_json:
        import json

        typer.echo(json.dumps({**asdict(done), "folder": str(done.folder)}))
        return
    train, test = counted(len(done.train), "training patient"), counted(len(done.test), "other patient")
    typer.echo(f"{done.folder}: {train}, {test}, {len(done.left_out)} left out")


def import_nnunet(
    folder: Annotated[
        Path, typer.Argument(help="Results folder of nnU-Net, Trainer__Plans__3d_fullres, or a fold in it.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Bundle: is made, or receives the part.")],
    part: Annotated[
        ImportedPart | None,
        typer.Option("--as", help="What the network finds; default: as our export noted."),
    ] = None,
    fold: Annotated[str | None, typer.Option(help="0, 1, … or all; default: the first there is.")] = None,
    checkpoint: Annotated[str, typer.Option(help="File in the fold's folder.")] = "checkpoint_final.pth",
    channels: Annotated[
        str | None,
        typer.Option(help="What each input is: A, V, attention; default: as our export noted."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of a new bundle.")] = "nnunet",
) -> None:
    """Take a trained nnU-Net over into a bundle; its checkpoint is opened where it can do no harm."""
    config = chosen_config()
    from lymphct.study.nnunet import NnunetImport
    from lymphct.study.nnunet import import_nnunet as taken_over

    if Path(checkpoint).name != checkpoint:
        msg = "--checkpoint is the name of a file in the fold's folder"
        raise typer.BadParameter(msg)
    from lymphct.patients.nnunet.export import channels_of

    request = NnunetImport(
        folder=folder,
        bundle=out,
        part=None if part is None else part.value,
        fold=fold,
        checkpoint=checkpoint,
        channels=None if channels is None else channels_of(channels),
        config=config,
        name=name,
    )
    typer.echo(str(taken_over(request)))
