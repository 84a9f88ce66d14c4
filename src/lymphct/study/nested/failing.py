"""The failures of a study on its page and as files: tables of the most wrong, and pictures kind by kind."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lymphct.report.evaluation_page import PageGallery, PagePicture, PageSection, PageTable, shown
from lymphct.report.studies.printed import PrintedTable
from lymphct.scoring.score_table import ScoreTable
from lymphct.study.nested.gallery import HEADING, MOST, MOST_OF_ONE, NODES, PATIENTS
from lymphct.study.nested.page import chosen_method
from lymphct.study.nested.picturing import SIDE, Pictured

WORST: Final = 10
"""Patients of each error in the table of failures."""
KEY: Final = (
    f"Venous slices, {SIDE:g} mm wide, the patient's right on the left. Solid and tinted: drawn lymph nodes; "
    "dashed: found ones; red: positive, blue: negative, white: without a class. Green: the drawn tumor; "
    "yellow dots: where the attention is one half. White corners hold what the picture is about. Shown is "
    "what the first cascade of the fold found in which the patient is tested."
)
_CHOICE: Final = (
    f"Up to {MOST} of each kind, at most {MOST_OF_ONE} lymph nodes of one patient; patients by the method of "
    "most parts. No picture was chosen by hand."
)


def failure_section(
    scores: Mapping[str, ScoreTable], names: Mapping[str, str], found: Sequence[Pictured]
) -> PageSection:
    """Return the patients on whom the method of most parts is most wrong, and pictures of what went wrong.

    Args:
        scores: of the cohort, by method.
        names: of the methods.
        found: failures with their pictures.

    """
    galleries = list(_galleries(found))
    texts = [_CHOICE, KEY] if galleries else []
    if not scores:
        return PageSection(
            title="Failures", texts=["There is no score to be wrong.", *texts], galleries=galleries
        )
    return PageSection(
        title="Failures", texts=texts, galleries=galleries, tables=[_most_wrong(scores, names)]
    )


def _galleries(found: Sequence[Pictured]) -> Iterator[PageGallery]:
    for kind in (*PATIENTS, *NODES):
        own = [item for item in found if item.failure.kind == kind]
        pictures = [
            PagePicture(caption=item.failure.caption, png=item.drawing.png) for item in own if item.drawing
        ]
        if pictures:
            yield PageGallery(title=kind.title, note=kind.order, pictures=pictures)


def _most_wrong(scores: Mapping[str, ScoreTable], names: Mapping[str, str]) -> PageTable:
    chosen = chosen_method(scores)
    table = scores[chosen]
    columns = table.columns
    rows: list[tuple[str, str, str, str]] = []
    for label, kind, sign in ((1, "N+ with a low score", 1), (0, "N− with a high score", -1)):
        chosen_rows = [
            place for place in range(len(table.patients))
            if columns.labels[place] == label and columns.scored[place]
        ]  # fmt: skip
        worst = sorted(chosen_rows, key=lambda place: sign * float(columns.scores[place]))[:WORST]
        rows += [
            (
                table.patients[place],
                kind,
                shown(float(columns.scores[place])),
                (table.folds[place] if table.folds else "") or "–",
            )
            for place in worst
        ]
    return PageTable(
        caption=f"{names[chosen]}: the most wrong scores",
        heading=("patient", "what", "score", "fold"),
        rows=rows,
    )


def failure_table(found: Sequence[Pictured], notes: Sequence[str]) -> PrintedTable | None:
    """Return a row for each failure that was looked for, with the file of its picture; None without any.

    Args:
        found: failures with their pictures.
        notes: sentences that stand under it.

    """
    rows = [
        [
            item.failure.kind.title,
            *item.failure.cells,
            "–" if item.drawing is None else f"figures/{item.drawing.name}.png",
        ]
        for item in found
    ]
    if not rows:
        return None
    return PrintedTable(
        name="failures",
        title="What went wrong in test patients",
        heading=("Failure", *HEADING, "Picture"),
        rows=rows,
        notes=[*notes, _CHOICE, KEY],
    )
