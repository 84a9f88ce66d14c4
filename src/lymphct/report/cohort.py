"""The page of a cohort: what became of each patient, in the order of the manifest, and a link to its page."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from lymphct.core.terms import Source
from lymphct.report.offline import rendered
from lymphct.report.wording import (
    CALLS,
    MISSING,
    WITHHOLDING,
    milliliters,
    number,
    telling_decimals,
)

COHORT_FILE: Final = "index.html"
BINS: Final = 20
"""Bars of the distribution of scores; each is 0.05 wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one patient of a cohort: exactly one of result, cause and exclusion is there.

    Attributes:
        patient_id: pseudonym, the name of the result folder.
        result: content of `result.json`.
        cause: why the prediction failed, with the file it concerns.
        code: of the failure.
        cure: how to mend it; empty where nobody knows.
        exclusion: why the manifest leaves the patient out.

    """

    patient_id: str
    result: Mapping[str, Any] | None = None
    cause: str = ""
    code: str = ""
    cure: str = ""
    exclusion: str = ""

    @property
    def state(self) -> str:
        """Return `done`, `failed` or `excluded`, as `summary.json` says it."""
        if self.result is not None:
            return "done"
        return "failed" if self.code else "excluded"


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortRow:
    """A patient as the table shows it; texts, blank ones as a dash."""

    patient_id: str
    state: str
    link: str
    score: str
    call: str
    nodes: str
    largest: str
    tumor: str
    sources: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of the distribution: which scores, how many patients below and from their threshold upwards."""

    low: float
    high: float
    negative: int
    positive: int


def cohort_page(fates: Sequence[Fate]) -> str:
    """Return the page as text; equal fates give equal text. Links lead to `<patient_id>/report.html`."""
    results = [fate.result for fate in fates if fate.result is not None]
    bundles = [result["bundle"] for result in results]
    bars = score_bars(results)
    scores = [float(r["probability"]) for r in results if r["probability"] is not None]
    thresholds = {r["threshold"] for r in results}
    return rendered(
        "cohort.html",
        bundles,
        counts=_counts(fates),
        calls=_call_counts(results),
        rows=[_row(fate, said=bundle_texts(bundles)) for fate in fates],
        failures=[fate for fate in fates if fate.state == "failed"],
        bars=bars,
        most=max((bar.negative + bar.positive for bar in bars), default=0),
        scored=len(scores),
        median=number(statistics.median(scores), 2) if scores else MISSING,
        lowest=number(min(scores), 2) if scores else MISSING,
        highest=number(max(scores), 2) if scores else MISSING,
        threshold=thresholds.pop() if len(thresholds) == 1 else None,
        made_by=_made_by(results),
    )


def bundle_texts(bundles: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the notices of bundles: they stand at the top of the page and in no row."""
    return frozenset(str(bundle["notice"]) for bundle in bundles)


def score_bars(results: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Count the scores of results in bars of equal width over 0 to 1; none without a score."""
    scored = [result for result in results if result["probability"] is not None]
    if not scored:
        return []
    counts = [[0, 0] for _ in range(BINS)]
    for result in scored:
        place = min(int(float(result["probability"]) * BINS), BINS - 1)
        counts[place][result["predicted_n_status"] == 1] += 1
    return [
        Bar(low=place / BINS, high=(place + 1) / BINS, negative=below, positive=above)
        for place, (below, above) in enumerate(counts)
    ]


def _counts(fates: Sequence[Fate]) -> list[tuple[int, str]]:
    states = [fate.state for fate in fates]
    words = {"done": "predicted", "failed": "failed", "excluded": "excluded"}
    return [(len(fates), "in the manifest"), *((states.count(s), word) for s, word in words.items())]


def _call_counts(results: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Count what was called what; of states nobody is in, those that would alarm are left out."""
    withheld = sum(result["probability"] is None for result in results)
    calls = [result["predicted_n_status"] for result in results]
    uncalled = calls.count(None) - withheld
    rare = ((withheld, "score withheld"), (uncalled, "not called"))
    return [
        (calls.count(1), CALLS[1]),
        (calls.count(0), CALLS[0]),
        *((count, word) for count, word in rare if count),
    ]


def _row(fate: Fate, *, said: frozenset[str]) -> CohortRow:
    result = fate.result
    if result is None:
        why = fate.cause or fate.exclusion
        return CohortRow(
            patient_id=fate.patient_id,
            state=fate.state,
            link="",
            score=MISSING,
            call=MISSING,
            nodes=MISSING,
            largest=MISSING,
            tumor=MISSING,
            sources=MISSING,
            notes=(why,) if why else (),
        )
    probability, threshold = result["probability"], result["threshold"]
    texts = [str(notice["text"]) for notice in result["notices"]]
    return CohortRow(
        patient_id=fate.patient_id,
        state=fate.state,
        link=f"{quote(fate.patient_id, safe='')}/report.html",
        score=number(probability, telling_decimals(probability, threshold)),
        call=_call(result),
        nodes=_nodes(result),
        largest=number(result["largest_positive_volume_mm3"], 0),
        tumor=_tumor(result["tumor"]),
        sources=_sources(result["sources"]),
        notes=tuple(text for text in texts if text not in said),
    )


def _call(result: Mapping[str, Any]) -> str:
    """Say how a patient was called, or why the score is withheld."""
    status = result["predicted_n_status"]
    if status is not None:
        return CALLS[status]
    if result["probability"] is not None:
        return "not called"
    reasons = [str(n["text"]) for n in result["notices"] if n["code"] in WITHHOLDING]
    return f"withheld: {'; '.join(reasons)}" if reasons else "withheld"


def _nodes(result: Mapping[str, Any]) -> str:
    total = result["nodes_total"]
    if total is None:
        return "not searched"
    verb = "drawn" if _is_drawn(result["sources"].get("nodes")) else "found"
    odd = result["nodes_implausible"]
    return f"{total} {verb}, {result['nodes_positive']} positive" + (f", {odd} implausible" if odd else "")


def _tumor(tumor: Mapping[str, Any] | None) -> str:
    if tumor is None:
        return "none"
    size = f"{milliliters(tumor['volume_mm3'])} ml, {number(tumor['largest_diameter_mm'], 0)} mm"
    return f"{size}, {tumor['site_guess']}" if tumor["site_guess"] else size


def _sources(sources: Mapping[str, str]) -> str:
    drawn = [name for name, source in sources.items() if _is_drawn(source)]
    return f"drawn: {', '.join(drawn)}" if drawn else "networks"


def _is_drawn(source: str | None) -> bool:
    return source is not None and Source(source).is_drawn


def _made_by(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return name and digest of the bundles, and the version of the software, each once."""
    lines = [
        f"bundle {result['bundle']['name']} ({str(result['bundle']['sha256'])[:12]}), "
        f"lymphct {result['versions'].get('lymphct', MISSING)}"
        for result in results
    ]
    return list(dict.fromkeys(lines))
