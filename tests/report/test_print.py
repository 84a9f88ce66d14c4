"""What comes out of a printer: A4, few sheets, nothing that only a screen can do."""

import re
from dataclasses import replace
from pathlib import Path

from tests.browser import needs_chromium, printed

from lymphct.core.patient import Multiphase, Prediction
from lymphct.report.cohort import cohort_page
from lymphct.report.cohort_rows import Fate
from lymphct.report.context import ReportContext
from lymphct.report.page import write_patient_page
from lymphct.report.tables import result_record

pytestmark = needs_chromium


def sheets(pdf: bytes) -> list[tuple[int, int]]:
    """Return width and height of each sheet, mm."""
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    return [(round(float(wide) * 25.4 / 72), round(float(high) * 25.4 / 72)) for wide, high in boxes]


def test_a_patient_fits_on_few_upright_sheets_without_the_viewer(
    tmp_path: Path, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    context = replace(context, arterial_as_acquired=ct.arterial)
    paper = sheets(printed(write_patient_page(tmp_path, prediction, ct, context, viewer=True), tmp_path))
    assert set(paper) == {(210, 297)}
    assert len(paper) <= 6  # three nodes on two of them


def test_a_cohort_lies_across_its_sheets(
    tmp_path: Path, prediction: Prediction, context: ReportContext
) -> None:
    result = result_record(prediction, context)
    page = tmp_path / "index.html"
    page.write_text(cohort_page([Fate(patient_id=f"p{n}", result=result) for n in range(60)]), "utf-8")
    paper = sheets(printed(page, tmp_path))
    assert set(paper) == {(297, 210)}
    assert 2 <= len(paper) <= 5  # about 25 patients on each
