"""The page of an evaluated cohort: text is escaped, stamps stand everywhere, nothing can load."""

import re

import numpy as np

from lymphct.report.evaluation_page import (
    EvaluationPage,
    PageGallery,
    PagePicture,
    PageSection,
    PageTable,
    evaluation_page,
)
from lymphct.report.png import encode_png
from lymphct.report.tables import PHANTOM_WARNING, RESEARCH_USE

HOSTILE = "<script>alert(1)</script>"
PICTURE = encode_png(np.zeros((2, 2), dtype=np.uint8))


def page(
    *, is_phantom: bool = False, notice: str = "", stamps: tuple[str, ...] = (), text: str = "sentence"
) -> str:
    table = PageTable(caption=text, heading=("", text), rows=[(text, "0.5"), ("second", "–")])
    sections = [
        PageSection(
            title=text, texts=[text], pictures=[PagePicture(caption=text, png=PICTURE)], tables=[table, table]
        ),
        PageSection(title="empty"),
    ]
    return evaluation_page(
        EvaluationPage(
            title=text,
            bundles=[{"is_phantom": is_phantom, "notice": notice}],
            stamps=stamps,
            sections=sections,
            facts={"bundle": text},
        )
    )


def test_whatever_a_file_says_is_text() -> None:
    text = page(text=HOSTILE, stamps=(HOSTILE,))
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;") > 10
    assert "<script" not in text
    assert not re.search(r"\son\w+=", text)


def test_nothing_but_the_pictures_and_the_one_style_may_load() -> None:
    text = page()
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text.replace("&#39;", "'")
    assert re.findall(r"(?:src|href)=\"([^\"]{0,22})", text) == ["data:image/png;base64,"]
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text


def test_stamps_stand_at_the_top_and_under_every_table() -> None:
    text = page(stamps=("first thing", "second thing"))
    assert text.count('<p class="stamp">first thing; second thing</p>') == text.count("<caption>") == 2
    assert text.index("<p>second thing</p>") < text.index("Research use only")
    assert "stamp" not in page().split("</style>")[1]


def test_what_it_must_not_be_used_for_is_said() -> None:
    assert RESEARCH_USE in page()
    assert PHANTOM_WARNING in page(is_phantom=True)
    assert PHANTOM_WARNING not in page()


def test_what_the_bundles_want_said_stands_before_the_stamps() -> None:
    text = page(notice=HOSTILE, stamps=("a stamp",))
    assert HOSTILE not in text
    assert 0 < text.index("&lt;script&gt;alert(1)") < text.index("<p>a stamp</p>")
    both = page(is_phantom=True, notice="learned from few", stamps=("a stamp",))
    assert both.index(PHANTOM_WARNING) < both.index("<p>learned from few</p>") < both.index("<p>a stamp</p>")


def test_equal_inputs_give_equal_text() -> None:
    assert page(stamps=("a",)) == page(stamps=("a",))


def test_figures_stand_in_the_cells_of_their_row() -> None:
    text = page()
    assert '<tr><th scope="row">sentence</th><td>0.5</td></tr>' in text
    assert '<tr><th scope="row">second</th><td>–</td></tr>' in text


def test_small_pictures_stand_under_the_title_of_their_kind() -> None:
    pictures = [PagePicture(caption=f"case{number} · N+ → N−", png=PICTURE) for number in range(3)]
    gallery = PageGallery(title="N+ called N−", note="lowest score first", pictures=pictures)
    wide = PagePicture(caption="Fig. 4", png=PICTURE, is_wide=True)
    section = PageSection(title="Failures", pictures=[wide], galleries=[gallery])
    text = evaluation_page(
        EvaluationPage(title="t", bundles=[], stamps=(), sections=[section], facts={"seed": "0"})
    )
    assert text.index("N+ called N−") < text.index("case0 · N+ → N−") < text.index("case2")
    assert text.count('<div class="gallery">') == text.count('class="wide-picture"') == 1
    assert text.count("data:image/png;base64,") == 4
