"""Tables in the three forms of papers."""

import csv
import io

from lymphct.report.studies.printed import PrintedTable, latex_text

TABLE = PrintedTable(
    name="table_6",
    title="Status & methods",
    heading=("method", "AUC [95 %]"),
    rows=[("=ours|x", "0.68 [0.61–0.75]"), ("a_b", "−0.1")],
    notes=("Features of both leak: 100 %.",),
)


def test_markdown_keeps_its_columns() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[0] == "**Status & methods**"
    assert lines[2:5] == ["| method | AUC [95 %] |", "| - | - |", "| =ours\\|x | 0.68 [0.61–0.75] |"]
    assert lines[-1] == "Features of both leak: 100 %."


def test_csv_has_no_formula_and_repeats_the_notes() -> None:
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows[0] == ["method", "AUC [95 %]", "notes"]
    assert rows[1][0] == "'=ours|x"
    assert {row[2] for row in rows[1:]} == {"Features of both leak: 100 %."}
    plain = PrintedTable(name="t", title="t", heading=("a",), rows=[("b",)])
    assert list(csv.reader(io.StringIO(plain.csv()))) == [["a"], ["b"]]


def test_latex_prints_what_stands_there() -> None:
    text = TABLE.latex()
    assert r"\caption{Status \& methods}" in text
    assert r"a\_b & $-$0.1 \\" in text
    assert r"\begin{tabular}{lr}" in text
    assert r"leak: 100 \%." in text
    assert latex_text("{x}^2 ≥ ~\\") == r"\{x\}\textasciicircum{}2 $\geq$ \textasciitilde{}\textbackslash{}"


def test_the_files_are_named_after_the_table() -> None:
    assert sorted(TABLE.forms()) == ["table_6.csv", "table_6.md", "table_6.tex"]
