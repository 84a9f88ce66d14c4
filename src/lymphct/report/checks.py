"""The checks of a patient for readers: verdict first, numbers in words, failures on top."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from lymphct.report.wording import number, plain

VERDICTS: Final[dict[bool | None, str]] = {False: "failed", None: "not done", True: "passed"}
"""What `passed` means, in the order of the table."""

METHODS: Final = {
    "deeds": "DEEDS",
    "deeds-binary": "DEEDS, the program of its authors",
    "convexadam": "ConvexAdam",
    "none": "none, the phases share coordinates",
}

Number = int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """One check: verdict, what was looked at, what was measured (a line each), what it means."""

    verdict: str
    name: str
    measured: tuple[str, ...]
    text: str


def check_rows(checks: Sequence[Mapping[str, JsonValue]]) -> list[CheckRow]:
    """Word the records of checks (`name`, `passed`, `value`, `text`): failed first, then not done."""
    rows = [
        CheckRow(
            verdict=_verdict(check.get("passed")),
            name=plain(check.get("name")),
            measured=_measured(check.get("value")),
            text=plain(check.get("text")),
        )
        for check in checks
    ]
    order = list(VERDICTS.values())
    return sorted(rows, key=lambda row: order.index(row.verdict))


def counted_verdicts(rows: Sequence[CheckRow]) -> list[tuple[str, int]]:
    """Count the rows of each verdict that there is, failed ones first."""
    counts = [(word, sum(row.verdict == word for row in rows)) for word in VERDICTS.values()]
    return [(word, count) for word, count in counts if count]


def _verdict(passed: JsonValue) -> str:
    return VERDICTS[passed if isinstance(passed, bool) else None]


def _measured(value: JsonValue) -> tuple[str, ...]:
    match value:
        case None | "":
            return ()
        case dict() if "method" in value:
            return tuple(_registration_lines(value))
        case dict():
            return tuple(f"{name.replace('_', ' ')}: {_short(item)}" for name, item in value.items())
        case list():
            return tuple(_short(item) for item in value)
        case _:
            return (_short(value),)


def _short(value: JsonValue) -> str:
    """Write a value; of a fraction no more digits than anybody reads."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    return plain(value)


def _registration_lines(value: Mapping[str, JsonValue]) -> list[str]:
    """Say what the numbers of a registration mean; those that were not measured are left out."""
    method = plain(value["method"])
    lines = [f"method: {METHODS.get(method, method)}"]
    before, after = _number(value, "distance_before"), _number(value, "distance_after")
    if before is not None and after is not None:
        lines.append(
            f"difference of the phases: {before:.1f} before, {after:.1f} after (0 to 60, 0 is equal)"
        )
    mean, most = _number(value, "consistency_mean_mm"), _number(value, "consistency_p95_mm")
    if mean is not None and most is not None:
        lines.append(f"error there and back: {mean:.2f} mm on average, 95 % below {most:.2f} mm")
    folding = _number(value, "folding_percent")
    if folding is not None:
        lines.append(f"folding: {_percent(folding)} of the body")
    least = _number(value, "min_jacobian")
    if least is not None:
        lines.append(f"strongest local shrinking: to {number(100 * least, 0)} % of the volume")
    spread = _number(value, "sd_log_jacobian")
    if spread is not None:
        lines.append(f"spread of local volume change: {spread:.2f} (SD of its logarithm)")
    overlap = _number(value, "overlap")
    if overlap is not None:
        lines.append(f"shared field of view: {_percent(100 * overlap)} of the body")
    return lines


def _number(value: Mapping[str, JsonValue], name: str) -> Number | None:
    found = value.get(name)
    return found if isinstance(found, Number) and not isinstance(found, bool) else None


def _percent(value: Number) -> str:
    """Write a percentage; what is little is not written as nothing.

    >>> _percent(0.0), _percent(0.004), _percent(99.0)
    ('0 %', '0.004 %', '99 %')
    """
    return f"{value:.3g} %"
