"""What the card of a bundle says of lessons besides drawn masks: guides, teachers, harvests, found nodes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lymphct.cascade.description import BundleInfo
from lymphct.core.terms import STRUCTURES_BY_NAME, StageName
from lymphct.study.harvest_table import MEASURES, score_rows
from lymphct.study.request import FOUND, HARVEST


def lessons_card(info: BundleInfo) -> Iterator[str]:
    """Yield paragraphs, Markdown; none where every part learned from drawn masks alone."""
    yield from _guided_by(info)
    yield from _self_learned(info)
    yield from _harvested(info)
    yield from _found(info)


def card_table(head: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, with a sentence before it where there is one."""
    lines = [columns, ["-"] * len(columns), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{head}\n\n{table}" if head else table


def _guided_by(info: BundleInfo) -> Iterator[str]:
    """Say whose masks guided stage 1, and in how many patients those of the networks were none."""
    whose = {"given": "drawn", "network": "the networks', in patients who taught them as well"}
    sources = {"structures": info.structures_source, "tumor": info.tumor_source}
    known = {name: whose[source] for name, source in sources.items() if source is not None}
    if not known:
        return
    told = "; ".join(f"{name}: {source}" for name, source in known.items())
    counts = (
        info.parts[StageName.NODES].extra.get("guided_by_tumor") if StageName.NODES in info.parts else None
    )
    found = counts if isinstance(counts, dict) else {}
    instead = (
        f" In {found['drawn']} patients the network found no tumor and the drawn one was taken."
        if (found.get("drawn"))
        else ""
    )
    yield f"Masks that guided the search for lymph nodes in training — {told}.{instead}"


def _self_learned(info: BundleInfo) -> Iterator[str]:
    """Say from whose masks the structures were learned besides drawn ones, round by round."""
    part = info.parts.get(StageName.STRUCTURES)
    rounds = None if part is None else part.extra.get("self_learning")
    for told in rounds if isinstance(rounds, list) else []:
        if not isinstance(told, dict):
            continue
        scores = told.get("validation")
        rows = [
            [STRUCTURES_BY_NAME[name].title, *(_decimals(found.get(who)) for who in ("teacher", "student"))]
            for name, found in (scores.items() if isinstance(scores, dict) else ())
            if isinstance(found, dict)
        ]
        head = f"Self-learning, round {told.get('round')}: {_taught_by(told)}"
        yield card_table(head, ["Dice, validation patients", "teacher", "student"], rows) if rows else head


def _taught_by(told: Mapping[str, Any]) -> str:
    counts = told["patients"]
    alone = ", ".join(STRUCTURES_BY_NAME[name].title for name in told["drawn_alone"])
    only = f" From drawn masks alone, of which the teacher finds too little: {alone}." if alone else ""
    teacher, both, drawn = (counts.get(kind, 0) for kind in ("teacher", "both", "drawn"))
    return (
        f"the teacher is {', '.join(told['teacher'])}. Labels are the teacher's in {teacher} patients, drawn "
        f"and the teacher's in {both}, drawn alone in {drawn}.{only}"
    )


def _harvested(info: BundleInfo) -> Iterator[str]:
    """Say from whose masks tumors were learned besides drawn ones, and what was reached (Sec. IV-B)."""
    part = info.parts.get(StageName.TUMOR)
    record = None if part is None else part.extra.get(HARVEST)
    if not isinstance(record, dict):
        return
    counts: Any = record["patients"]
    told: Any = record["taught_by"]
    head = (
        f"Tumors were drawn in {counts['few']} of the patients that taught the tumor network; the masks of "
        f"another network in {told['pseudo-2']} of {counts['harvested']} others taught it, too."
    )
    scores: Any = record["scores"]
    if not scores:
        yield f"{head} No drawn mask was kept to score it."
        return
    rows = score_rows(scores)
    columns = ["network", "patients", "found", *MEASURES.values()]
    yield card_table(f"{head} Medians and quartiles in patients that nothing learned from:", columns, rows)


def _decimals(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "-"


def _found(info: BundleInfo) -> Iterator[str]:
    """Say how many nodes stage 1 found for stage 2 to learn from (decision 0054)."""
    part = info.parts.get(StageName.IDENTIFICATION)
    counts = None if part is None else part.extra.get(FOUND)
    if isinstance(counts, dict):
        none = f" {counts['not_a_node']} that are no lymph nodes," if _has_none(info) else ""
        yield (
            "Stage 2 learned from drawn lymph nodes and from those that stage 1 found in patients it did not "
            f"learn from: {counts['positive']} positive, {counts['negative']} negative,{none} and "
            f"{counts['unknown']} of which nobody can say, which teach nothing."
        )


def _has_none(info: BundleInfo) -> bool:
    """Tell whether stage 2 knows a third class."""
    head: Any = info.parts[StageName.IDENTIFICATION].architecture.get("head")
    return isinstance(head, dict) and head.get("classes") == 3
