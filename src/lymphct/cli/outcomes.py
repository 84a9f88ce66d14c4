"""How a command over a whole cohort ends: what it prints, and the error when patients failed."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lymphct.cli.context import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lymphct.patients.one_by_one import CohortOutcome, Result


def report_outcome(
    outcome: "CohortOutcome", out: Path, described: "Callable[[Result], str]", *, as_json: bool
) -> None:
    """Print the summary in `out` as JSON, or what `described` says of each patient.

    Raises:
        CohortPartlyFailedError: a patient failed.

    """
    from lymphct.patients.one_by_one import SUMMARY_FILE

    if as_json:
        typer.echo((out / SUMMARY_FILE).read_text(encoding="utf-8"))
    else:
        print_outcome(outcome, described)
    report_failures(outcome)


def report_failures(outcome: "CohortOutcome") -> None:
    """End a command with the error of the patients who failed, if any.

    Raises:
        CohortPartlyFailedError: a patient failed.

    """
    from lymphct.core.errors import CohortPartlyFailedError
    from lymphct.patients.one_by_one import FAILURES_FILE

    if outcome.failures:
        tried = counted(len(outcome.results) + len(outcome.failures), "patient")
        msg = f"{len(outcome.failures)} of {tried} failed: {', '.join(sorted(outcome.failures))}"
        raise CohortPartlyFailedError(msg, cure=f"see {FAILURES_FILE}")


def print_outcome(outcome: "CohortOutcome", described: "Callable[[Result], str]") -> None:
    """Print what `described` says of each patient who succeeded, and the cause for each who failed."""
    for result in outcome.results.values():
        typer.echo(described(result))
    for name, error in outcome.failures.items():
        typer.echo(f"{name}: failed: {error.cause} [{error.code}]")
