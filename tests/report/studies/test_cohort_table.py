"""Tab. I: counts, medians, what is missing."""

from lymphct.report.studies.cohort_table import Characteristics, cohort_table

OURS = [
    Characteristics(sex="F", age=60, pt="pT2", pn="pN1", n_status=1, tumor_size=3, site="head",
                    positive_volumes=(100.0, 300.0), negative_volumes=(50.0,)),
    Characteristics(sex="M", age=70, pt="pT3", pn="pN0", n_status=0, tumor_size=4, site="body_tail"),
    Characteristics(sex="M", n_status=0, site="head"),
    Characteristics(),
]  # fmt: skip


def test_each_figure_says_of_how_many() -> None:
    table = cohort_table({"cohort": OURS, "external": []}, notes=("phantoms",))
    cells = {row[0]: row[1:] for row in table.rows}
    assert table.heading == ["Characteristic", "cohort (n = 4)", "external (n = 0)"]
    assert cells["Patients"] == ["4", "0"]
    assert cells["N status: N+"] == ["1 (25%)", "0"]
    assert cells["N status: missing"] == ["1 (25%)", "0"]
    assert cells["Sex: male"][0] == "2 (50%)"
    assert cells["pT stage: missing"][0] == "2 (50%)"
    assert cells["Age, years"] == ["65 [62–68] (n = 2)", "–"]
    assert cells["Tumor size, cm"][0] == "3.5 [3.2–3.8] (n = 2)"
    assert cells["Positive LN volume, mm³"][0] == "200 [150–250] (n = 2)"
    assert cells["Negative LN volume, mm³"][0] == "50 [50–50] (n = 1)"
    assert table.notes == ("phantoms",)
