"""The page of an evaluated cohort: a single HTML file that needs no network, no server and no script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from lymphct.report.offline import rendered
from lymphct.report.png import data_uri
from lymphct.report.tables import fixed
from lymphct.report.wording import MISSING


@dataclass(frozen=True, slots=True, kw_only=True)
class PageTable:
    """A table of text: the first column names the row, the others are figures."""

    caption: str
    heading: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePicture:
    """A picture.

    Attributes:
        caption: what it shows, in a line.
        png: of it.
        is_wide: it needs the width of the page.

    """

    caption: str
    png: bytes
    is_wide: bool = False

    @property
    def uri(self) -> str:
        """Return the picture as an address that the page holds in itself."""
        return data_uri(self.png)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageGallery:
    """Small pictures of one kind, side by side, under a title and a note."""

    title: str
    note: str
    pictures: Sequence[PagePicture]


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSection:
    """A part of the page: sentences, then pictures, galleries, tables."""

    title: str
    texts: Sequence[str] = ()
    pictures: Sequence[PagePicture] = ()
    galleries: Sequence[PageGallery] = ()
    tables: Sequence[PageTable] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage:
    """What a page says.

    Attributes:
        title: of the page.
        bundles: facts of the bundles that predicted, `is_phantom` and `notice`; their warnings stand first.
        stamps: sentences that stand at the top and under every table.
        sections: in their order.
        facts: name → value, at the foot.

    """

    title: str
    bundles: Sequence[Mapping[str, JsonValue]]
    stamps: Sequence[str]
    sections: Sequence[PageSection]
    facts: Mapping[str, str]


def evaluation_page(page: EvaluationPage) -> str:
    """Return the page as text; equal inputs give equal text."""
    return rendered(
        "evaluation.html",
        page.bundles,
        sheets=("page.css", "evaluation.css"),
        page=page,
        stamp="; ".join(page.stamps),
    )


def shown_limits(low: float | None, high: float | None) -> str:
    """Return the limits of an interval for readers.

    >>> shown_limits(0.12345, 1.0), shown_limits(None, None)
    ('[0.123, 1.000]', '[–, –]')
    """
    return f"[{shown(low)}, {shown(high)}]"


def shown(value: float | None, decimals: int = 3) -> str:
    """Return a figure for readers; a dash where it is not defined.

    >>> shown(0.12345), shown(None), shown(-2.0, 1)
    ('0.123', '–', '−2.0')
    """
    return MISSING if value is None else fixed(value, decimals).replace("-", "−")
