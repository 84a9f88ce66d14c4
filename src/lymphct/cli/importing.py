"""`lymphct import`: what other tools made, taken over."""

import typer

from lymphct.cli.nnunet import import_nnunet


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(help="Take over what another tool made.", no_args_is_help=True, rich_markup_mode=None)
    group.callback()(lambda: None)  # a group of one command is a group all the same
    group.command("nnunet")(import_nnunet)
    app.add_typer(group, name="import")
