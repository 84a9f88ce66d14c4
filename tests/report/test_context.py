import pytest
from pydantic import JsonValue

from lymphct.core.errors import LymphctError
from lymphct.report.context import ReportContext

FACTS: dict[str, JsonValue] = {"name": "b", "sha256": "00", "is_phantom": True, "notice": "synthetic"}


def test_a_context_knows_phantom_bundles_and_their_notice() -> None:
    context = ReportContext(patient_id="p", bundle={**FACTS, "extra": 1}, versions={})
    assert context.is_phantom
    assert context.bundle_notice == "synthetic"


@pytest.mark.parametrize("fact", FACTS)
def test_a_bundle_that_lacks_a_fact_is_refused(fact: str) -> None:
    bundle = {name: value for name, value in FACTS.items() if name != fact}
    with pytest.raises(LymphctError, match=f"a report needs the bundle's {fact}"):
        ReportContext(patient_id="p", bundle=bundle, versions={})


def test_a_phantom_flag_that_is_text_is_refused() -> None:
    with pytest.raises(LymphctError, match=r"is_phantom \(bool\), got 'false'"):
        ReportContext(patient_id="p", bundle={**FACTS, "is_phantom": "false"}, versions={})
