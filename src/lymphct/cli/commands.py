"""The list of commands; each module registers its own when the program starts."""

import typer

from lymphct.cli import (
    annotate,
    attention,
    cohort,
    consistency,
    crossval,
    demo,
    dicom,
    evaluate,
    importing,
    nnunet,
    predict,
    prepare,
    scores,
    serve,
    structures,
    study,
    system,
    trace,
    train,
)
from lymphct.cli import register as registration
from lymphct.cli.epilogs import add_epilogs


def register(app: typer.Typer) -> None:
    """Add every command to the program."""
    for module in (
        demo,
        predict,
        dicom,
        annotate,
        train,
        crossval,
        study,
        prepare,
        evaluate,
        scores,
        consistency,
        attention,
        structures,
        trace,
        registration,
        cohort,
        nnunet,
        importing,
        serve,
        system,
    ):
        module.register(app)
    if app.registered_callback is not None and app.registered_callback.callback is not None:
        add_epilogs(app, app.registered_callback.callback)
