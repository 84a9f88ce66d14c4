"""The page of a cohort: what became of each patient, in the order of the manifest, and a link to its page.

A plain table without script; with it the rows can be sorted and filtered (decision 0070).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lymphct.report.cohort_rows import COLUMNS, OUTCOMES, Fate, cohort_row, shared_notices
from lymphct.report.cohort_scores import cohort_scores
from lymphct.report.offline import rendered, template_text
from lymphct.report.wording import MISSING

COHORT_FILE: Final = "index.html"


def cohort_page(fates: Sequence[Fate]) -> str:
    """Return the page as text; equal fates give equal text. Links lead to `<patient_id>/report.html`."""
    results = [fate.result for fate in fates if fate.result is not None]
    bundles = [result["bundle"] for result in results]
    script = template_text("cohort.js")
    texts = bundle_texts(bundles)
    shared = [text for text in shared_notices(results) if text not in texts]
    rows = [cohort_row(fate, said=texts.union(shared)) for fate in fates]
    failures = [fate for fate in fates if fate.state == "failed"]
    return rendered(
        "cohort.html",
        bundles,
        sheets=("page.css", "cohort.css"),
        scripts=(script,),
        script=script,
        counts=_counts(fates),
        outcomes=_outcome_counts(fates),
        noted=sum(row.notices > 0 for row in rows),
        columns=COLUMNS,
        rows=rows,
        shared=shared,
        failures=failures,
        codes=Counter(fate.code for fate in failures).most_common(),
        scores=cohort_scores(fates),
        made_by=_made_by(results),
    )


def bundle_texts(bundles: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the notices of bundles: they stand at the top of the page and in no row."""
    return frozenset(str(bundle["notice"]) for bundle in bundles)


def _counts(fates: Sequence[Fate]) -> list[tuple[int, str]]:
    states = Counter(fate.state for fate in fates)
    words = {"done": "predicted", "failed": "failed", "excluded": "excluded"}
    return [(len(fates), "in the manifest"), *((states[s], word) for s, word in words.items())]


def _outcome_counts(fates: Sequence[Fate]) -> list[tuple[str, str, int]]:
    """Count the outcomes (name, words, patients): both calls, and those others that somebody has."""
    counts = Counter(fate.outcome for fate in fates)
    always = {"positive", "negative"}
    return [(name, words, counts[name]) for name, words in OUTCOMES.items() if counts[name] or name in always]


def _made_by(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return name and digest of the bundles, and the version of the software, each once."""
    lines = [
        f"bundle {result['bundle']['name']} ({str(result['bundle']['sha256'])[:12]}), "
        f"lymphct {result['versions'].get('lymphct', MISSING)}"
        for result in results
    ]
    return list(dict.fromkeys(lines))
