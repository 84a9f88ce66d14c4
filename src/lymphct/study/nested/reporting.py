"""What is read of a study: one page without network, its figures, its checklists, tables for papers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from lymphct.attention.bands import PAPER_BANDS, Bands, bands_of
from lymphct.core.errors import InputError
from lymphct.core.terms import PHANTOM_NOTICE, counted
from lymphct.evaluation.classification import auc, roc_curve
from lymphct.evaluation.status import IMPROPER
from lymphct.io.results.disk import replace_file
from lymphct.io.results.jsonfile import read_json
from lymphct.io.table import read_table
from lymphct.report.evaluation_page import (
    EvaluationPage,
    PagePicture,
    PageSection,
    PageTable,
    evaluation_page,
)
from lymphct.report.studies.checklists import SHEETS, answers, markdown, sheet
from lymphct.report.studies.pictures import Drawing, attention_drawing, bands_drawing, roc_drawing
from lymphct.report.studies.printed import PrintedTable
from lymphct.scoring.score_table import ScoreTable, read_scores
from lymphct.scoring.status import StatusEvaluation, StatusRequest, measure_status
from lymphct.study.nested.bands import bands_table
from lymphct.study.nested.centers import center_table
from lymphct.study.nested.failing import WORST, failure_section, failure_table
from lymphct.study.nested.page import (
    ABLATION,
    SHEETS_FOLDER,
    checklist_section,
    comparison_section,
    page_table,
    risk_section,
)
from lymphct.study.nested.picturing import Pictured
from lymphct.study.nested.plan import COHORT, NestedPlan
from lymphct.study.nested.predictions import COMPARED
from lymphct.study.nested.tables import LEAKS
from lymphct.study.nested.told import CONTROLS, methods_paragraph, place_facts, study_facts

_NUMBERS: Final = {"1": "I", "3": "III", "4": "IV", "5": "V", "6": "VI", "7": "VII"}
PAGE_FILE: Final = "report.html"
METHODS_FILE: Final = "methods.md"
FIGURES: Final = "figures"
TABLES_FOLDER: Final = "tables"
_WIDE: Final = frozenset({"figure_3_fitted", "figure_4"})
"""Figures that need the width of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a study shows of images and networks (`showing.shown_of`).

    Attributes:
        anatomy: Fig. 1; None where nobody's structures were drawn.
        examples: Fig. 4; None where nobody's nodes were.
        failures: what went wrong, with pictures.
        bands: fitted by each cascade (Fig. 3); none where Tab. II stands.

    """

    anatomy: Drawing | None = None
    examples: Drawing | None = None
    failures: Sequence[Pictured] = ()
    bands: Sequence[Bands] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a report is made from.

    Attributes:
        plan: of the study.
        predicted: folder of `tables.write_predictions`.
        tables: folder of `tables.write_tables`.
        masks: folder of what was drawn in test patients; None where no method looks at images.
        versions: of Python and libraries.
        shown: of images and networks.

    """

    plan: NestedPlan
    predicted: Path
    tables: Path
    masks: Path | None
    versions: Mapping[str, str]
    shown: Shown = Shown()

    def scores(self, cohort: str) -> dict[str, ScoreTable]:
        """Return what each method says of a cohort, of methods with a score and patients of both classes."""
        found = {}
        for method in self.plan.methods:
            try:
                table = read_scores(self.predicted / COMPARED / cohort / f"{method}.csv")
            except InputError:  # nobody's status is known: the tables say so
                continue
            known = table.columns.labels[table.columns.scored]
            if 0 < known.sum() < known.size:
                found[method] = table
        return found

    @property
    def stamps(self) -> list[str]:
        """Sentences that stand with every figure."""
        leaks = [LEAKS] if self.plan.features == "paper" else []
        return [*leaks, *([PHANTOM_NOTICE] if self.plan.is_phantom else [])]


def write_report(folder: Path, source: Source) -> None:
    """Write page, figures, checklists, paragraph of methods, and tables in LaTeX.

    Args:
        folder: receives them.
        source: what they are made from.

    """
    compared: Any = read_json(source.tables / f"comparison_{COHORT}.json")
    names = source.plan.titles
    scores = {cohort: source.scores(cohort) for cohort in source.plan.cohorts}
    found = {
        cohort: {
            method: measure_status(table, StatusRequest(seed=source.plan.seed))
            for method, table in own.items()
        }
        for cohort, own in scores.items()
    }
    drawings = list(_drawings(source, scores))
    first, *printed = _printed(source)
    lacking = {names[method]: len(table.without_score) for method, table in scores[COHORT].items()}
    facts = study_facts(source.plan, source.versions, lacking) | place_facts()
    facts |= {"performance": _performance(scores[COHORT], names)} if scores[COHORT] else {}
    facts |= {"failures": _failures_told(source.shown)}
    pictures = [item.drawing for item in source.shown.failures if item.drawing is not None]
    _write_forms(folder / FIGURES, [*drawings, *pictures])
    _write_forms(folder / TABLES_FOLDER, list(_own_tables(source, found)))
    for name in SHEETS:
        text = markdown(sheet(name), answers(sheet(name), facts))
        _write(folder / SHEETS_FOLDER / f"{name}.md", text.encode())
    paragraph = methods_paragraph(source.plan, facts)
    _write(folder / METHODS_FILE, f"{paragraph}\n".encode())
    sections = [
        PageSection(title="What was studied", texts=[paragraph], tables=[first]),
        *(risk_section(cohort, own, names) for cohort, own in found.items()),
        PageSection(
            title="The calls",
            texts=[IMPROPER],
            tables=printed,
        ),
        comparison_section(compared, names),
        *_mask_section(source),
        PageSection(
            title="Figures",
            pictures=[
                PagePicture(caption=drawing.caption, png=drawing.png, is_wide=drawing.name in _WIDE)
                for drawing in drawings
            ],
            tables=[page_table(bands_table(source.shown.bands))] if source.shown.bands else [],
        ),
        failure_section(scores[COHORT], names, source.shown.failures),
        checklist_section(facts),
    ]
    page = EvaluationPage(
        title=f"Cross-validation: {source.plan.name}",
        bundles=[],
        stamps=source.stamps,
        sections=sections,
        facts={"seed": str(source.plan.seed), "folds": source.plan.folds, "features": source.plan.features,
               "methods": ", ".join(source.plan.methods), "versions": facts["versions"]},
    )  # fmt: skip
    _write(folder / PAGE_FILE, evaluation_page(page).encode("utf-8", errors="backslashreplace"))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)


def _write_forms(folder: Path, things: Sequence[Drawing] | Sequence[PrintedTable]) -> None:
    for thing in things:
        for name, content in thing.forms().items():
            _write(folder / name, content)


def _drawings(source: Source, scores: Mapping[str, Mapping[str, ScoreTable]]) -> Iterator[Drawing]:
    """Yield the figures in the order of the paper."""
    shown, attention = source.shown, source.plan.config.attention
    border, bands = attention.border, bands_of(attention)
    if shown.anatomy is not None:
        yield shown.anatomy
    yield attention_drawing(bands, border, "Tab. II" if attention.bands is None else "of the settings")
    if shown.bands:
        yield bands_drawing(shown.bands, PAPER_BANDS, border)
    if shown.examples is not None:
        yield shown.examples
    yield from _roc_drawings(scores, source.plan.titles)


def _own_tables(
    source: Source, found: Mapping[str, Mapping[str, StatusEvaluation]]
) -> Iterator[PrintedTable]:
    """Yield the tables that the report makes itself: centers, fitted bands, failures."""
    for cohort, own in found.items():
        centers = center_table(own, source.plan.titles, cohort)
        if centers is not None:
            yield replace(centers, notes=[*source.stamps, *centers.notes])
    if source.shown.bands:
        yield bands_table(source.shown.bands, source.stamps)
    wrong = failure_table(source.shown.failures, source.stamps)
    if wrong is not None:
        yield wrong


def _failures_told(shown: Shown) -> str:
    count = sum(item.drawing is not None for item in shown.failures)
    pictures = f", and pictures of {counted(count, 'failure')}" if count else ""
    return f"the {WORST} most wrong scores of each kind are on the page{pictures}"


def _roc_drawings(
    scores: Mapping[str, Mapping[str, ScoreTable]], names: Mapping[str, str]
) -> Iterator[Drawing]:
    """Yield Fig. 5a and 5b of the cohort, and of each other one where it has scores."""
    for cohort, tables in scores.items():
        of = "" if cohort == COHORT else f"_{cohort}"
        ablation = [method for method in ABLATION if method in tables]
        others = [method for method in tables if method not in {*ABLATION, *CONTROLS}]
        ours = [method for method in ablation if method == ABLATION[-1]]
        for letter, what, methods in (("a", "the ablation", ablation), ("b", "the baselines", others + ours)):
            if methods:
                curves = {names[method]: _curve(tables[method]) for method in methods}
                yield roc_drawing(f"figure_5{letter}{of}", f"ROC of {what}, {cohort}", curves)


def _curve(table: ScoreTable) -> tuple[Any, str]:
    known = table.columns.rows(table.columns.scored)
    area = auc(known.labels, known.scores)
    return roc_curve(known.labels, known.scores), f"AUC {area:.3f} (n = {known.labels.size})"


def _mask_section(source: Source) -> Iterator[PageSection]:
    """Yield what the cascades drew in test patients, where they drew anything."""
    places = [] if source.masks is None else sorted(source.masks.glob("*.csv"))
    if places:
        tables = [_page_table(place, source.stamps) for place in places]
        yield PageSection(title="What the networks drew in test patients", tables=tables)


def _printed(source: Source) -> list[PageTable]:
    """Return Tab. I, VI and VII as they were printed."""
    places = [source.tables / f"table_{number}.csv" for number in ("1", "6")]
    places += [source.tables / f"table_7_{cohort}.csv" for cohort in source.plan.cohorts if cohort != COHORT]
    return [_page_table(place, source.stamps) for place in places]


def _page_table(place: Path, stamps: Sequence[str]) -> PageTable:
    """Return a printed table for the page, which has the warnings beside every table anyway."""
    rows = read_table(place, ())
    heading = [name for name in rows[0].cells if name != "notes"]
    number = _NUMBERS.get(place.stem.removeprefix("table_").partition("_")[0])
    title = "Nodes found, by size" if number is None else f"Tab. {number}"
    notes = rows[0].cells.get("notes", "")
    for said in (*stamps, IMPROPER):
        notes = notes.replace(said, "").strip()
    caption = f"{title}. {notes}".strip()
    return PageTable(
        caption=caption, heading=heading, rows=[[r.cells[name] for name in heading] for r in rows]
    )


def _performance(scores: Mapping[str, ScoreTable], names: Mapping[str, str]) -> str:
    return "; ".join(f"{names[method]}: {_curve(table)[1]}" for method, table in scores.items())
