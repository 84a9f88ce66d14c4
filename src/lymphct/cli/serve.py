"""`lymphct serve`: a watched folder, and on demand a DICOM receiver that fills it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lymphct.cli.context import GLOBALS, chosen_config, duration
from lymphct.cli.options import AsJson, Registration, RequireSignature, signed_digest

if TYPE_CHECKING:
    from lymphct.io.receiving import ReceivingSettings
    from lymphct.patients.serving.serving import Line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    watch: Annotated[
        Path, typer.Option(metavar="INBOX", help="Folder that is watched; nothing in it is ever changed.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="OUTBOX", help="Folder of the results, the log serve.jsonl and refused/.")
    ],
    bundle: Annotated[Path | None, typer.Option(help="Models; default: the shipped phantom bundle.")] = None,
    require_signature: RequireSignature = None,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Add each result as DICOM SEG, parametric map and SR.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Do what is there and end, as from cron.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Examine again what failed (not what was refused).")
    ] = False,
    settle: Annotated[
        float, typer.Option(min=0, help="Seconds in which no file of a study may change before it is taken.")
    ] = 60.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks at the folder.")] = 10.0,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Until the process of one study is killed, and the study failed.")
    ] = 120.0,
    memory: Annotated[
        float | None, typer.Option(min=1, help="GB of address space of that process; default: no limit.")
    ] = None,
    listen: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Receive CT by DICOM (C-STORE) into INBOX as well; needs the extra serve.",
        ),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")] = None,
    title: Annotated[
        str | None, typer.Option(help="AE title by which senders must call; default: LYMPHCT.")
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="Key of the pseudonyms, as of import; made where none is. Default: OUTBOX.key."),
    ] = None,
    registration: Annotated[
        Registration | None,
        typer.Option(help="Arterial to venous phase; default: as the bundle was trained."),
    ] = None,
    resample: Annotated[
        bool, typer.Option("--resample", help="Bring tilted and uneven slices onto an even grid.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a folder: each study that is complete is imported, predicted and exported, exactly once.

    A study in which something would have to be guessed goes to OUTBOX/refused, with the reason. Ends by a
    signal; started again, it goes on where it was.
    """
    _require_sense(listen, host, title, once=once)
    config = chosen_config()
    from lymphct.io.receiving import receiving
    from lymphct.io.threads import threads_of_each
    from lymphct.patients.serving.examining import How, InChild
    from lymphct.patients.serving.serving import Places, require_places, service
    from lymphct.patients.serving.settings import ServingSettings

    out = out.absolute()
    receiver = None if listen is None else _receiver(listen, host, title)
    places = Places(
        inbox=watch.absolute(), outbox=out, key=(key or out.with_name(f"{out.name}.key")).absolute()
    )
    require_places(places)
    settings = ServingSettings(
        settle=settle,
        every=every,
        study_seconds=60 * minutes,
        study_memory=None if memory is None else int(memory * 1e9),
    )
    models = _usable_bundle(bundle)
    how = How(
        key=str(places.key),
        bundle=str(models),
        signed=signed_digest(models, require_signature),
        config=config.model_dump_json(),
        device=GLOBALS.device,
        registration=None if registration is None else registration.value,
        dicom=dicom,
        resample=resample,
        jobs=GLOBALS.jobs,
        threads=threads_of_each(1),
    )

    def told(line: "Line") -> None:
        if as_json or not GLOBALS.quiet:
            typer.echo(json.dumps(line, sort_keys=True) if as_json else line_of(line))

    GLOBALS.go_on = lambda: "run the same command again: what is done stays done, the rest is taken up"
    examine = InChild(how=how, settings=settings)
    with service(places, settings, examine, retry_failed=retry_failed) as running:
        if once:
            _end(running.run_once(told))
        elif receiver is None:
            running.run(told)
        else:
            with receiving(places.inbox, running.pseudonyms, receiver) as port:
                typer.echo(f"listening on port {port}", err=True)
                running.run(told)


def _require_sense(listen: int | None, host: str | None, title: str | None, *, once: bool) -> None:
    from lymphct.core.errors import UsageError

    if listen is None and (host is not None or title is not None):
        msg = "--host and --title have no effect without --listen"
        raise UsageError(msg, cure="add --listen PORT")
    if listen is not None and once:
        msg = "--listen has no effect on --once, which ends when the folder is done"
        raise UsageError(msg, cure="leave out one of them")


def _receiver(port: int, host: str | None, title: str | None) -> "ReceivingSettings":
    from pydantic import ValidationError

    from lymphct.core.errors import UsageError
    from lymphct.io.receiving import ReceivingSettings

    given = {"port": port, "host": host, "title": title}
    try:
        return ReceivingSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError:
        msg = "an AE title has 1 to 16 letters, digits or signs, without blanks and backslashes"
        raise UsageError(msg, cure="choose another --title") from None


def _usable_bundle(bundle: Path | None) -> Path:
    """Return the bundle, once its description and the device are known to be usable.

    The service itself loads no networks: it starts and ends in no time, and stays small.
    """
    from lymphct.cli.services import require_parts
    from lymphct.core.terms import StageName
    from lymphct.io.models.bundle_reading import read_bundle
    from lymphct.io.models.bundles import shipped_bundle_path

    if GLOBALS.device not in {"auto", "cpu"}:
        from lymphct.learning.devices import chosen_device

        chosen_device(GLOBALS.device)
    folder = (bundle or shipped_bundle_path()).resolve()
    needed = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES, StageName.IDENTIFICATION)
    require_parts(read_bundle(folder).info.parts, needed)
    return folder


def line_of(line: "Line") -> str:
    """Return a line of the log as people read it.

    >>> line_of({"study": "study-1a", "state": "done", "version": 2, "files": 9, "seconds": 41.5, "code": ""})
    'study-1a (version 2): done, 9 files, 42 s'
    """
    number = line["version"]
    version = f" (version {number})" if isinstance(number, int) and number > 1 else ""
    why = f": {line.get('reason', '')} [{line['code']}]" if line["code"] else ""
    seconds = line["seconds"] if isinstance(line["seconds"], float) else 0.0
    return f"{line['study']}{version}: {line['state']}, {line['files']} files, {duration(seconds)}{why}"


def _end(lines: "list[Line]") -> None:
    """End a single run.

    Raises:
        CohortPartlyFailedError: a study of this run was refused or failed.

    """
    from lymphct.core.errors import CohortPartlyFailedError
    from lymphct.patients.serving.ledger import LOG_FILE

    bad = [line for line in lines if line["state"] != "done"]
    if bad:
        msg = f"not done: {len(bad)} of {len(lines)} in this run"
        raise CohortPartlyFailedError(msg, cure=f"see {LOG_FILE}")
