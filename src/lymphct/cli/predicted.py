"""What is printed of predicted patients: a line for each, and what a reader must know."""

from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from lymphct.core.terms import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from lymphct.patients.one_by_one import CohortOutcome


def summary_line(result: "Mapping[str, Any]", said: "Collection[str]" = ()) -> str:
    """Say in one line what a result record says, and a line for each notice that was not said already."""
    probability = result["probability"]
    score = (
        "score withheld"
        if probability is None
        else f"probability of LN metastasis {probability:.3f} (threshold {result['threshold']:.3f})"
    )
    found = result["nodes_total"]
    nodes = "nodes not searched" if found is None else f"{counted(found, 'node')}{_called(result)}"
    used, missing = len(result["structures_used"]), len(result["structures_missing"])
    lines = [f"{result['patient_id']}: {score}; {nodes}; {used} of {used + missing} guiding structures"]
    drawn = [name for name, source in result["sources"].items() if "given" in source]
    lines[0] += f"; drawn: {', '.join(drawn)}" if drawn else ""
    lines += [f"  notice: {text}" for text in _notices(result) if text not in said]
    return "\n".join(lines)


def _called(result: "Mapping[str, Any]") -> str:
    positive = result["nodes_positive"]
    is_drawn = "given" in result["sources"]["nodes"]
    if positive is None:
        return " drawn, not called" if is_drawn else ", not called"
    return f" drawn, {positive} called positive" if is_drawn else f", {positive} predicted positive"


def told_once(outcome: "CohortOutcome") -> "Callable[[Mapping[str, Any]], str]":
    """Print the notices that all patients have, once; return what to say of each patient besides."""
    shared = shared_notices(list(outcome.results.values()))
    for text in shared:
        typer.echo(f"notice for all {len(outcome.results)} patients: {text}")
    return partial(summary_line, said=shared)


def shared_notices(results: "Sequence[Mapping[str, Any]]") -> list[str]:
    """Return the notices that all of several patients have, in the order of the first.

    >>> one, other = ({"notices": [{"text": "a"}, {"text": text}]} for text in "bc")
    >>> shared_notices([one, other]), shared_notices([one])
    (['a'], [])
    """
    if len(results) < 2:
        return []
    others = [frozenset(_notices(result)) for result in results[1:]]
    return [text for text in _notices(results[0]) if all(text in there for there in others)]


def _notices(result: "Mapping[str, Any]") -> list[str]:
    return [notice["text"] for notice in result["notices"]]
