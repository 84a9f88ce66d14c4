import pytest

from lymphct.io.column_names import near_misses
from lymphct.io.manifest import KNOWN_COLUMNS


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Tumor", "tumor"),
        ("tumour", "tumor"),
        ("n status", "n_status"),
        ("N-Status", "n_status"),
        ("structure", "structures"),
        ("Arterial ", "arterial"),
        ("centre", "center"),
        ("exclude reason", "exclude_reason"),
    ],
)
def test_a_name_that_is_nearly_ours_is_noticed(written: str, meant: str) -> None:
    assert near_misses(["patient_id", "venous", written], KNOWN_COLUMNS) == {written: meant}


@pytest.mark.parametrize("other", ["hospital", "scanner", "comment", "date", "kvp", "bmi", ""])
def test_columns_of_the_user_are_no_near_miss(other: str) -> None:
    assert near_misses(["patient_id", "venous", other], KNOWN_COLUMNS) == {}


def test_a_column_that_is_there_was_not_meant_by_another() -> None:
    assert near_misses(["patient_id", "venous", "tumor", "tumour"], KNOWN_COLUMNS) == {}
