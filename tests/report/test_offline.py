"""Warnings stand at the top of every page, each once."""

from typing import Any

from lymphct.core.terms import PHANTOM_NOTICE
from lymphct.report.cohort import cohort_page
from lymphct.report.offline import bundle_notices


def bundle(notice: str, *, is_phantom: bool = False) -> dict[str, Any]:
    return {"name": "b", "sha256": "00", "is_phantom": is_phantom, "notice": notice}


def test_a_notice_is_shown_once_and_not_when_the_warning_says_it() -> None:
    assert bundle_notices([bundle("one"), bundle("two"), bundle("one"), bundle("")]) == ["one", "two"]
    assert bundle_notices([bundle(PHANTOM_NOTICE, is_phantom=True), bundle("one")]) == ["one"]
    # Where no warning stands, what the bundle says of itself does.
    assert bundle_notices([bundle(PHANTOM_NOTICE)]) == [PHANTOM_NOTICE]
    assert bundle_notices([]) == []


def test_a_page_without_any_bundle_has_no_warning_of_one() -> None:
    page = cohort_page([])
    assert 'role="alert"' not in page
    assert '<section class="notice-box">' not in page
    assert "Research use only." in page
