"""Parts of a split get whom they need, by the fewest moves; else they are left alone."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.evaluation.folds import split_for_training_all
from lymphct.evaluation.guarantees import Need, rearranged, unmet

PARTS = ("train", "validation", "fusion_train", "fusion_validation")
KINDS = ("plus", "minus", "drawn")


def need(part: str, *holders: str) -> Need:
    return Need(part=part, what="such a patient", holders=frozenset(holders))


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[dict[str, str], list[Need]]:
    """Four to six patients, each of some kinds, and up to six needs."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=4, max_size=6, unique=True))
    kinds = {name: draw(st.sets(st.sampled_from(KINDS))) for name in names}
    wanted = draw(st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(KINDS)), max_size=6))
    needs = [need(part, *(name for name in names if kind in kinds[name])) for part, kind in wanted]
    return {name: "+".join(sorted(kinds[name])) for name in names}, needs


@given(cohorts(), st.integers(0, 50))
@settings(deadline=None, max_examples=150)
def test_needs_are_met_exactly_where_some_split_meets_them(
    cohort: tuple[dict[str, str], list[Need]], seed: int
) -> None:
    strata, needs = cohort
    split = split_for_training_all(strata, seed, [needs])
    parts = {part: getattr(split, part) for part in PARTS}
    assert sorted(name for names in parts.values() for name in names) == sorted(strata)
    assert all(parts.values())
    possible = any(
        not unmet(
            {part: [n for n, p in zip(strata, places, strict=True) if p == part] for part in PARTS}, needs
        )
        for places in product(PARTS, repeat=len(strata))
        if len(set(places)) == len(PARTS)
    )
    assert (not unmet(parts, needs)) == possible


@given(cohorts(), st.integers(0, 50))
@settings(deadline=None, max_examples=50)
def test_a_split_that_meets_its_needs_is_left_alone(
    cohort: tuple[dict[str, str], list[Need]], seed: int
) -> None:
    strata, needs = cohort
    before = split_for_training_all(strata, seed)
    met = [one for one in needs if not unmet({part: getattr(before, part) for part in PARTS}, [one])]
    assert split_for_training_all(strata, seed, [met]) == before


def test_a_part_that_is_given_a_patient_gives_back_one_of_his_stratum() -> None:
    parts = {"train": ["a", "b", "c"], "validation": ["d", "e"]}
    strata = {"a": "N+", "b": "N+", "c": "N-", "d": "N-", "e": "N+"}
    found = rearranged(parts, strata, "abcde", [[need("validation", "b"), need("train", "a", "b")]])
    assert found == {"train": ["a", "c", "e"], "validation": ["b", "d"]}


def test_a_part_that_cannot_spare_anybody_grows() -> None:
    parts = {"train": ["a", "b", "c"], "validation": ["d"]}
    needs = [need("validation", "d"), need("validation", "a"), need("train", "b")]
    found = rearranged(parts, dict.fromkeys("abcd", ""), "abcd", [needs])
    assert found == {"train": ["b", "c"], "validation": ["a", "d"]}


def test_a_group_that_cannot_be_met_moves_nobody_and_hinders_no_other() -> None:
    parts = {"train": ["a", "b"], "validation": ["c", "d"]}
    strata = dict.fromkeys("abcd", "")
    hopeless = [need("train", "c"), need("validation", "c")]
    assert rearranged(parts, strata, "abcd", [hopeless]) == parts
    met = rearranged(parts, strata, "abcd", [hopeless, [need("validation", "a")]])
    assert "a" in met["validation"]


@pytest.mark.parametrize("number", range(5))
def test_twelve_patients_get_both_classes_in_every_part_of_the_fusion(number: int) -> None:
    strata = {f"case{n}": f"{n % 4 == 0:d} head" for n in range(12)}
    plus = frozenset(name for name, stratum in strata.items() if stratum.startswith("1"))
    groups = [
        [
            Need(
                part=part, what="N+ patient" if holders is plus else "N- patient", holders=frozenset(holders)
            )
            for part in ("fusion_train", "fusion_validation")
            for holders in (plus, frozenset(strata) - plus)
        ]
    ]
    split = split_for_training_all(strata, number, groups)
    for part in (split.fusion_train, split.fusion_validation):
        assert plus.intersection(part)
        assert set(part) - plus
