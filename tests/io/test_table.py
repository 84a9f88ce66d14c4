from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.table import read_table


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "scores.csv"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_cells_are_separated_by_commas_semicolons_or_tabs(tmp_path: Path, separator: str) -> None:
    text = "\ufeff a , b ,c\n\n1, x ,2\n3,\n".replace(",", separator)
    rows = read_table(write(tmp_path, text), ("a", "b"))
    assert [(row.line, dict(row.cells)) for row in rows] == [
        (3, {"a": "1", "b": "x", "c": "2"}),
        (4, {"a": "3", "b": "", "c": ""}),
    ]


def test_a_heading_alone_has_no_rows(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a,b\n"), ("a", "b")) == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,c\n1,2\n", "the column 'b' is missing"),
        ("a,B\n1,2\n", "the column 'b' is missing (there is 'B')"),
        ("a,b,a\n1,2,3\n", "the column 'a' stands twice"),
        ("a,b\n1,2,3\n", "line 2 has 3 cells, the heading 2"),
        ('a,b\n1,"2\n', "line 2: unexpected end of data"),
        ("\n\n", "it has no heading"),
        (b"a,b\n\xff\xfe\n", "not UTF-8 text (byte 4)"),
        (b"a,b\n\x00\n", "it holds binary zeros"),
        ("", "[E_"),
    ],
)
def test_what_is_no_table_is_refused_with_the_cause(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(InputError) as refused:
        read_table(write(tmp_path, content), ("a", "b"))
    assert words in str(refused.value)
    assert str(refused.value).startswith("scores.csv: ")
