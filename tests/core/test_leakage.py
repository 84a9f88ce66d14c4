"""What was learned from a patient is never applied to that patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lymphct.core.errors import LeakageError
from lymphct.core.leakage import Fitted, require_unseen

ids = st.frozensets(st.text("abc123", min_size=1, max_size=3), max_size=6)


@given(ids, ids)
def test_the_guard_raises_exactly_when_a_patient_was_seen(
    fitted_on: frozenset[str], others: frozenset[str]
) -> None:
    fitted = Fitted(0.5, fitted_on)
    if fitted_on & others:
        with pytest.raises(LeakageError, match="cannot be evaluated"):
            fitted.for_unseen(others)
    else:
        assert fitted.for_unseen(others) == 0.5


def test_the_message_counts_the_patients_and_names_the_first_three() -> None:
    with pytest.raises(
        LeakageError, match="4 patients were used for fitting and cannot be evaluated: a, b, c …"
    ):
        require_unseen(list("abcd"), list("edcba"))


def test_patients_may_come_from_a_generator() -> None:
    with pytest.raises(LeakageError, match=r"1 patients.*case2"):
        require_unseen((f"case{n}" for n in range(3)), (f"case{n}" for n in range(2, 5)))


def test_a_lone_id_is_one_patient_and_not_its_letters() -> None:
    fitted = Fitted("bands", frozenset({"case7", "c"}))
    with pytest.raises(LeakageError, match="cannot be evaluated: case7"):
        fitted.for_unseen("case7")
    assert fitted.for_unseen("case8") == "bands"
    with pytest.raises(LeakageError, match="cannot be evaluated: case7"):
        require_unseen("case7", ["case7"])
