"""Nested folds: everybody is tested once, nobody is in two parts, and only ids, strata and seed count."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.core.errors import InputError
from lymphct.study.nested.folds import NestedFold, PartNeed, fold_problems, nested_folds


def strata_of(count: int) -> dict[str, str]:
    return {f"case{number}": f"{number % 2} {'head' if number % 3 else 'tail'}" for number in range(count)}


@given(count=st.integers(20, 90), seed=st.integers(0, 99), inner=st.integers(2, 5))
@settings(max_examples=12, deadline=None)
def test_everybody_is_tested_once_outside_and_once_inside(count: int, seed: int, inner: int) -> None:
    strata = strata_of(count)
    folds = nested_folds(strata, seed, inner=inner)
    assert Counter(name for fold in folds for name in fold.outer.test) == Counter(list(strata))
    for fold in folds:
        others = {*fold.outer.train, *fold.outer.validation}
        assert others == set(strata) - set(fold.outer.test)
        assert Counter(name for part in fold.inner for name in part.test) == Counter(others)
        for part in (fold.outer, *fold.inner):
            assert not set(part.train) & set(part.validation)
            assert not {*part.train, *part.validation} & set(part.test)
        for part in fold.inner:
            assert not {*part.train, *part.validation, *part.test} & set(fold.outer.test)


@given(st.permutations(sorted(strata_of(40))))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_manifest_does_not_count(names: list[str]) -> None:
    strata = strata_of(40)
    assert nested_folds({name: strata[name] for name in names}, 5, inner=3) == nested_folds(
        strata, 5, inner=3
    )


def test_another_seed_is_another_split_and_inner_folds_differ() -> None:
    strata = strata_of(60)
    first, second = (nested_folds(strata, seed, inner=2) for seed in (0, 1))
    assert first != second
    assert first[0].inner[0].test != first[1].inner[0].test


def test_strata_are_spread_over_all_test_parts() -> None:
    strata = strata_of(100)
    for stratum in set(strata.values()):
        counts = [
            sum(strata[name] == stratum for name in fold.outer.test)
            for fold in nested_folds(strata, 7, inner=5)
        ]
        assert max(counts) - min(counts) <= 1


def test_twelve_patients_are_too_few() -> None:
    with pytest.raises(InputError, match="12 patients are too few for 5 folds that are split again"):
        nested_folds(strata_of(12), 0, inner=2)


def test_without_inner_folds_the_outer_one_trains_the_cascade() -> None:
    fold = nested_folds(strata_of(30), 0, inner=0)[0]
    assert [(c.train, c.validation, c.test) for c in fold.cascades] == [
        (fold.outer.train, fold.outer.validation, ())
    ]


def need(what: str, holders: set[str], parts: tuple[str, ...] = ("train", "validation")) -> PartNeed:
    return PartNeed(what=what, of="cascades", parts=parts, holds=holders.__contains__)  # type: ignore[arg-type]


def test_parts_that_lack_something_are_named() -> None:
    folds: tuple[NestedFold, ...] = nested_folds(strata_of(30), 0, inner=2)
    everybody = set(strata_of(30))
    lone = folds[0].inner[0].train[0]
    problems = list(fold_problems(folds, [need("a tumor", everybody), need("a node", {lone})]))
    assert len(problems) == 1
    assert "lack a node; the cohort has 1" in str(problems[0])
    assert "fold 1 1 validation" in str(problems[0])
    assert "fold 1 1 train," not in str(problems[0])
