"""The list of commands; each module registers its own when the program starts."""

import typer

from lymphct.cli import attention, cohort, demo, evaluate, predict, system, train


def register(app: typer.Typer) -> None:
    """Add every command to the program."""
    for module in (demo, system, cohort, attention, train, predict, evaluate):
        module.register(app)
