"""`lymphct import`: a PACS export, a public data set, or one of your own layout, as a cohort."""

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from lymphct.cli.context import GLOBALS, counted, progress_bar
from lymphct.cli.nnunet import import_nnunet
from lymphct.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Callable

    from lymphct.patients.importing.layout import Layout

FOLDER: Final = "folder"
"""Name of the command that stands for itself: what follows `import` is a folder, or a sub-command."""
SHOWN: Final = 3


class ExportImages(StrEnum):
    """What becomes of the series of an export."""

    REFERENCE = "reference"
    NIFTI = "nifti"


class FolderOrCommand(TyperGroup):
    """A group whose first word may be a folder: whatever is no sub-command goes to the command `folder`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer brings its own click
        """Put the command's name before a folder or an option, so that it need not be typed."""
        if not args:
            args = ["--help"]
        if args[0] not in self.commands:
            args = [FOLDER, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - the same
        """Show the folder in the place of the name, which nobody types."""
        name, command, rest = super().resolve_command(ctx, args)
        return ("FOLDER" if name == FOLDER else name), command, rest


class ByFolder(TyperCommand):
    """The command whose name is the folder: its usage line names it once."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - as above
        """Leave out the argument, which stands in the place of the name."""
        return super().collect_usage_pieces(ctx)[:1]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        cls=FolderOrCommand,
        help="Turn a PACS export, a public data set, or files of your own layout, into a cohort.",
    )
    group.command(FOLDER, cls=ByFolder)(import_folder)
    group.command("nnunet")(import_nnunet)
    app.add_typer(group, name="import")


def import_folder(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of the export, or in which a data set was unpacked."),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the cohort: cohort.csv and what belongs to it; a re-run goes on.")
    ],
    dataset: Annotated[
        str | None,
        typer.Option(
            help="totalsegmentator, pants, curvas-pdacvi, msd-pancreas, panorama or nih-lymph-nodes; without "
            "it and --layout the folder is a PACS export."
        ),
    ] = None,
    layout: Annotated[
        Path | None, typer.Option(help="YAML file that says which files are what, instead of --dataset.")
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest of a cohort used together with this one: patients with a CT of its are excluded; "
            "repeatable."
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Of an export: take the patients of whom everything is sure.")
    ] = False,
    choices: Annotated[
        Path | None,
        typer.Option(help="Of an export: a filled copy of proposals.csv, where you name series."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(
            help="Of an export: key of the pseudonyms, yours alone; made where none is. Default: OUT.key "
            "beside OUT."
        ),
    ] = None,
    linkage: Annotated[
        Path | None, typer.Option(help="Of an export: write who is who into this file, for you alone.")
    ] = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Of an export: bring tilted and uneven slices onto an even grid."),
    ] = False,
    images: Annotated[
        ExportImages,
        typer.Option(help="Of an export: leave series where they lie if they lie alone, or write all."),
    ] = ExportImages.REFERENCE,
    as_json: AsJson = False,
) -> None:
    """Turn a PACS export, a public data set, or files of your own layout, into a cohort.

    Images stay where they are, but for series of an export that share a folder, or lie in one that names the
    patient: these are written once.
    """
    own = {
        "--accept": accept,
        "--choices": choices is not None,
        "--key": key is not None,
        "--linkage": linkage is not None,
        "--resample": resample,
        "--images": images is not ExportImages.REFERENCE,
    }
    if dataset is None and layout is None:
        _require_none({"--beside": bool(beside)}, "a PACS export, without --dataset or --layout")
        from lymphct.cli.exports import import_pacs
        from lymphct.patients.exports.cohort import Request

        wanted = Request(
            out=out.absolute(),
            key=key or out.absolute().with_name(f"{out.absolute().name}.key"),
            accept=accept,
            choices=choices,
            linkage=linkage,
            resample=resample,
            images=images.value,
        )
        import_pacs(folder, wanted, as_json=as_json)
        return
    _require_none(own, "a data set")
    chosen = _chosen_layout(dataset, layout)
    from lymphct.core.errors import CohortPartlyFailedError
    from lymphct.patients.importing.cohort import RECORD_FILE, import_cohort
    from lymphct.patients.importing.patient import Import

    GLOBALS.go_on = lambda: "run the same command again: patients that are imported are kept"
    with ExitStack() as bars:

        def watched(total: int) -> "Callable[[str], None]":
            return bars.enter_context(progress_bar("patients", total))

        request = Import(out=out, layout=chosen)
        imported = import_cohort(folder, request, beside=beside or (), jobs=GLOBALS.jobs, watched=watched)
    if as_json:
        typer.echo(json.dumps(imported.record, sort_keys=True))
    else:
        for line in summary_lines(imported.record, chosen.licence):
            typer.echo(line)
        typer.echo(str(imported.manifest))
    if imported.failures:
        tried = counted(imported.record["done"] + len(imported.failures), "patient")
        msg = f"{len(imported.failures)} of {tried} failed: {_some(sorted(imported.failures))}"
        raise CohortPartlyFailedError(msg, cure=f"see {RECORD_FILE}; they are not in the manifest")


def _require_none(given: Mapping[str, bool], what: str) -> None:
    """Refuse options that do not belong to what is imported."""
    from lymphct.core.errors import UsageError

    for option, is_given in given.items():
        if is_given:
            msg = f"{option} does not go with {what}"
            raise UsageError(msg, cure="see lymphct import --help")


def _chosen_layout(dataset: str | None, layout: Path | None) -> "Layout":
    from lymphct.core.errors import UsageError
    from lymphct.patients.importing.known_layouts import load_dataset, load_layout

    if dataset is not None and layout is not None:
        msg = "--dataset and --layout exclude each other"
        raise UsageError(msg, cure="name a known data set, or give a layout of your own")
    return load_dataset(dataset) if dataset is not None else load_layout(layout or Path())


def summary_lines(record: Mapping[str, Any], licence: str) -> list[str]:
    """Say in a few lines what became of a data set and what did not fit."""
    done, failed, excluded = record["done"], record["failed"], record["excluded"]
    lines = [
        (
            f"{counted(done, 'patient')} of {record['dataset']} imported, {len(failed)} failed, "
            f"{len(excluded)} excluded; licence {licence}"
        )
    ]
    lines += [f"failed: {error}" for error in failed.values()]
    reasons: dict[str, list[str]] = {}
    for name, reason in excluded.items():
        reasons.setdefault(reason.partition(" of ")[0], []).append(f"{name} ({reason})")
    lines += [f"excluded: {_some(told)}" for told in reasons.values()]
    nowhere = set(record["names_without_files"])
    lines += [
        f"missing: {what} of {_some(ids)}"
        for what, ids in record["missing"].items()
        if what.rpartition("/")[2] not in nowhere
    ]
    unmatched = record["unmatched"]
    if unmatched["count"]:
        fit = "file fits" if unmatched["count"] == 1 else "files fit"
        lines.append(f"{unmatched['count']} {fit} no rule: {_some(unmatched['files'], unmatched['count'])}")
    if record["without_image"]:
        lines.append(f"masks without a CT: {_some(record['without_image'])}")
    lines += [
        f"no mask is named {name}{f'; the nearest is {near}' if near else ''}"
        for name, near in record["names_without_files"].items()
    ]
    lines += [f"notice: {notice}" for notice in record["notices"]]
    return lines


def _some(names: Sequence[str], count: int | None = None) -> str:
    total = len(names) if count is None else count
    more = f" and {total - SHOWN} more" if total > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
