"""`lymphct doctor`, `lymphct models`, `lymphct config`: is everything in order, and how is it set?"""

import json
from pathlib import Path
from typing import Annotated

import typer

from lymphct.cli.context import GLOBALS, chosen_config, counted
from lymphct.cli.options import AsJson, CohortFile
from lymphct.core.terms import StageName

MARKS = {"ok": "ok    ", "absent": "-     ", "failed": "FAILED"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("doctor")(doctor)
    models = typer.Typer(help="Model bundles.", no_args_is_help=True)
    models.command("verify")(verify)
    models.command("sign")(sign)
    models.command("trained-on")(trained_on)
    models.command("convert")(convert)
    app.add_typer(models, name="models")
    config = typer.Typer(help="Settings.", no_args_is_help=True)
    config.callback()(_group)
    config.command("show")(show)
    app.add_typer(config, name="config")


def _group() -> None:
    """Make a typer of one command a group, so that the command keeps its name."""


def doctor(as_json: AsJson = False) -> None:
    """Look at what is installed, the device, optional parts and the shipped bundle."""
    from dataclasses import asdict

    from lymphct.cli.installation import inspect_installation

    findings = []
    for finding in inspect_installation(GLOBALS.device):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{MARKS[finding.state]} {finding.group:8} {finding.name:14} {finding.text}")
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    worst = next((finding.exit_code for finding in findings if finding.exit_code), 0)
    if worst:
        raise typer.Exit(worst)


def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    parts: Annotated[
        str | None,
        typer.Option(help="Stages the bundle must have, separated by commas; default: all five."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Also verify the signature of the bundle by this key (PEM); it must have one."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle: its files, its networks, that no part is missing; say which commands it serves."""
    expected = _stages(parts)
    from lymphct.cli import installation
    from lymphct.cli.services import require_parts, services
    from lymphct.io.models.bundles import read_bundle

    checked = installation.verified_bundle(bundle)
    there = read_bundle(bundle).info.parts
    require_parts(there, expected)
    if public_key is not None:
        from lymphct.io.models.signatures import SIGNATURE_FILE, verify_signature

        said = verify_signature(bundle, public_key)
        checked.append(f"{SIGNATURE_FILE}: {counted(len(said.files), 'file')} as signed by key {said.key}")
    serves = services(there)
    if as_json:
        typer.echo(json.dumps({"bundle": bundle.name, "checked": checked, "serves": serves}))
        return
    for line in checked:
        typer.echo(f"ok  {line}")
    for command in serves:
        typer.echo(f"serves  {command}")


def sign(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    key: Annotated[
        Path, typer.Option(help="Private key, elliptic curve P-256, P-384 or P-521, PEM without a password.")
    ],
    as_json: AsJson = False,
) -> None:
    """Check a bundle and sign it: write model.sig into it, in the format of OpenSSF Model Signing."""
    from lymphct.cli.installation import verified_bundle
    from lymphct.io.models.signatures import SIGNATURE_FILE, sign_bundle

    verified_bundle(bundle)  # a name is not put under what is damaged
    said = sign_bundle(bundle, key)
    if as_json:
        signed = {"bundle": bundle.name, "signature": SIGNATURE_FILE, "key": said.key}
        typer.echo(json.dumps({**signed, "files": dict(said.files)}))
        return
    typer.echo(f"{bundle / SIGNATURE_FILE}: {counted(len(said.files), 'file')} signed by key {said.key}")


def _stages(names: str | None) -> tuple[StageName, ...]:
    if names is None:
        return tuple(StageName)
    words = [word.strip() for word in names.split(",")]
    unknown = [word for word in words if word not in set(StageName)]
    if unknown:
        msg = f"{unknown[0]!r} is not one of {', '.join(StageName)}"
        raise typer.BadParameter(msg, param_hint="--parts")
    return tuple(StageName(word) for word in words)


def trained_on(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    cohort: CohortFile,
    as_json: AsJson = False,
) -> None:
    """List the patients of a manifest on whom parts of a bundle were fitted; exit 3 when there is any."""
    from lymphct.core.errors import LeakageError
    from lymphct.io.manifest import read_manifest
    from lymphct.io.models.bundles import read_bundle

    info = read_bundle(bundle).info
    seen: dict[str, list[str]] = {}
    manifest = read_manifest(cohort)
    for record in manifest.patients:
        for part in info.parts_that_saw(record.patient_id):
            seen.setdefault(part, []).append(record.patient_id)
    if as_json:
        typer.echo(json.dumps({"bundle": info.name, "patients": len(manifest.patients), "seen": seen}))
    else:
        for part, names in seen.items():
            typer.echo(f"{part}: {', '.join(names)}")
    overlap = sorted({name for names in seen.values() for name in names})
    if overlap:
        msg = f"{info.name} was fitted on {len(overlap)} of {len(manifest.patients)} patients"
        raise LeakageError(msg, cure="test on other patients")
    if not as_json:
        typer.echo(f"{info.name} was fitted on none of {counted(len(manifest.patients), 'patient')}")


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Weights as torch saves a state_dict (.pth, .pt).")],
    out: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    as_json: AsJson = False,
) -> None:
    """Turn published weights into safetensors, to start from with --imagenet; no pickle is run."""
    from dataclasses import asdict

    from lymphct.io.weight_files import convert_weights

    done = convert_weights(checkpoint, out)
    if as_json:
        typer.echo(json.dumps({"file": out.name, **asdict(done)}))
        return
    typer.echo(f"{out}: {counted(done.tensors, 'tensor')}, {done.numbers} numbers, sha256 {done.sha256}")


def show(
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print the values, and sizes scaled to the grid; usable as --config."),
    ] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of settings.")] = False,
) -> None:
    """Show every setting with its value and where the value comes from.

    Sizes that a training scales to the working grid are shown as given and as scaled.
    """
    from lymphct.config import Config, described, scaled_sizes
    from lymphct.config.parsing import ON_GRID
    from lymphct.core.errors import UsageError

    if as_json and schema:
        msg = "--json and --schema exclude each other"
        raise UsageError(msg, cure="give one of them")
    config = chosen_config()
    if schema:
        typer.echo(json.dumps(Config.model_json_schema(), indent=1))
        return
    on_grid = {name: value for name, _, value in scaled_sizes(config)}
    values = config.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(values | ({ON_GRID: on_grid} if on_grid else {}), indent=1))
        return
    for name, _, source in described(config):
        here = f"\n    on the working grid: {json.dumps(on_grid[name])}" if name in on_grid else ""
        typer.echo(f"{name} = {json.dumps(_at(values, name))}{here}\n    {source}")


def _at(values: object, name: str) -> object:
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
