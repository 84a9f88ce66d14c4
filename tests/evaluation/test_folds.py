from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.folds import split_for_training_all, stratified_folds

STRATA = ("N+ head", "N+ tail", "N- head", "N- tail")
cohorts = st.dictionaries(st.text(min_size=1, max_size=8), st.sampled_from(STRATA), min_size=10, max_size=80)
seeds = st.integers(-3, 2**40)


def cohort(n: int) -> dict[str, str]:
    return {f"case{number:04d}": STRATA[number % 3] for number in range(n)}


@given(cohorts, seeds)
@settings(deadline=None, max_examples=40)
def test_every_patient_is_in_exactly_one_part_of_the_cascade_split(
    patients: dict[str, str], seed: int
) -> None:
    split = split_for_training_all(patients, seed)
    parts = (split.train, split.validation, split.fusion_train, split.fusion_validation)
    assert sorted(patient for part in parts for patient in part) == sorted(patients)
    assert all(parts)


@given(cohorts, seeds, st.integers(2, 6))
@settings(deadline=None, max_examples=40)
def test_every_patient_is_tested_once_and_never_trained_on_in_that_fold(
    patients: dict[str, str], seed: int, n_folds: int
) -> None:
    folds = stratified_folds(patients, n_folds, seed)
    for fold in folds:
        assert sorted(fold.train + fold.validation + fold.test) == sorted(patients)
        assert all((fold.train, fold.validation, fold.test))
    assert sorted(patient for fold in folds for patient in fold.test) == sorted(patients)


@given(cohorts, seeds, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_the_order_of_the_manifest_changes_no_split(
    patients: dict[str, str], seed: int, chance: Random
) -> None:
    names = list(patients)
    chance.shuffle(names)
    shuffled = {name: patients[name] for name in names}
    assert split_for_training_all(shuffled, seed) == split_for_training_all(patients, seed)
    assert stratified_folds(shuffled, 5, seed) == stratified_folds(patients, 5, seed)


@given(cohorts, seeds)
@settings(deadline=None, max_examples=40)
def test_test_parts_hold_each_stratum_within_one_patient_of_its_share(
    patients: dict[str, str], seed: int
) -> None:
    folds = stratified_folds(patients, 5, seed)
    sizes = [len(fold.test) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    for stratum in STRATA:
        of_stratum = [sum(patients[patient] == stratum for patient in fold.test) for fold in folds]
        assert max(of_stratum) - min(of_stratum) <= 1


def test_five_folds_of_a_hundred_are_64_16_and_20() -> None:
    for fold in stratified_folds(cohort(100), 5, seed=1):
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (64, 16, 20)


def test_the_cascade_split_of_a_hundred_is_48_12_32_8_and_stratified() -> None:
    patients = cohort(100)
    split = split_for_training_all(patients, seed=1)
    parts = (split.train, split.validation, split.fusion_train, split.fusion_validation)
    assert [len(part) for part in parts] == [48, 12, 32, 8]
    for part in parts:
        counts = Counter(patients[patient] for patient in part)
        assert all(abs(counts[stratum] - len(part) / 3) <= 2 for stratum in STRATA[:3])


def test_another_seed_gives_another_split() -> None:
    patients = cohort(60)
    assert split_for_training_all(patients, 1) != split_for_training_all(patients, 2)
    assert stratified_folds(patients, 5, 1) != stratified_folds(patients, 5, 2)


def test_the_split_of_known_patients_is_the_same_on_every_machine() -> None:
    split = split_for_training_all(dict.fromkeys("abcdefgh", "N+"), seed=0)
    assert split == split_for_training_all(dict.fromkeys("hgfedcba", "N+"), seed=0)
    assert (split.validation, split.fusion_validation) == (("c",), ("f",))


@pytest.mark.parametrize("n", range(4, 12))
def test_even_few_patients_fill_four_parts(n: int) -> None:
    split = split_for_training_all(cohort(n), seed=3)
    assert all((split.train, split.validation, split.fusion_train, split.fusion_validation))


def test_three_patients_cannot_be_split_for_training_all() -> None:
    with pytest.raises(InputError, match="3 patients cannot fill four parts"):
        split_for_training_all(cohort(3), seed=0)


def test_one_fold_is_no_cross_validation() -> None:
    with pytest.raises(UsageError, match=r"1 folds with a validation share of 0\.2"):
        stratified_folds(cohort(10), 1, seed=0)
    with pytest.raises(UsageError, match=r"validation share of 1\.0"):
        stratified_folds(cohort(10), 5, seed=0, validation=1.0)


@pytest.mark.parametrize(("n", "n_folds"), [(4, 5), (2, 2), (3, 2)])
def test_too_few_patients_for_the_folds_are_refused(n: int, n_folds: int) -> None:
    with pytest.raises(InputError, match=f"{n} patients are too few for {n_folds} folds"):
        stratified_folds(cohort(n), n_folds, seed=0)


def in_cascade(names: frozenset[str], patients: dict[str, str], seed: int) -> int:
    split = split_for_training_all(patients, seed, rare=[names])
    return len(names.intersection(split.train + split.validation))


@given(cohorts, seeds, st.data())
@settings(deadline=None, max_examples=40)
def test_rare_patients_are_in_the_cascade_as_many_as_fit_and_no_size_changes(
    patients: dict[str, str], seed: int, data: st.DataObject
) -> None:
    names = frozenset(data.draw(st.sets(st.sampled_from(sorted(patients)), min_size=1)))
    before = split_for_training_all(patients, seed)
    after = split_for_training_all(patients, seed, rare=[names])
    was, now = (
        (split.train, split.validation, split.fusion_train, split.fusion_validation)
        for split in (before, after)
    )
    assert list(map(len, was)) == list(map(len, now))
    assert sorted(patient for part in now for patient in part) == sorted(patients)
    cascade = len(before.train) + len(before.validation)
    if len(names) <= cascade:
        assert in_cascade(names, patients, seed) == len(names)


def test_fifty_of_749_all_teach_and_change_places_within_their_strata() -> None:
    patients = cohort(749)
    fifty = frozenset(sorted(patients)[:50])
    assert in_cascade(fifty, patients, 4) == 50
    splits = [split_for_training_all(patients, 4, rare=rare) for rare in ((), (fifty,))]
    shares = [Counter(patients[p] for p in s.train + s.validation) for s in splits]
    assert shares[0] == shares[1]


def test_the_rarest_come_first_and_a_common_kind_leaves_strata_alone() -> None:
    patients = cohort(30)  # 18 in the cascade
    names = sorted(patients)
    few, many = frozenset(names[:6]), frozenset(names[3:28])
    split = split_for_training_all(patients, 7, rare=[many, few])
    cascade = set(split.train + split.validation)
    assert few <= cascade
    alone = split_for_training_all(patients, 7, rare=[few])
    strata = [Counter(patients[p] for p in s.train + s.validation) for s in (alone, split)]
    assert strata[0] == strata[1]
    assert len(many & cascade) >= len(many.intersection(alone.train + alone.validation))


def test_what_everybody_or_nobody_has_changes_no_split() -> None:
    patients = cohort(40)
    plain = split_for_training_all(patients, 2)
    assert split_for_training_all(patients, 2, rare=[frozenset(patients), frozenset()]) == plain


@given(cohorts, seeds, st.data())
@settings(deadline=None, max_examples=60)
def test_patients_of_unknown_status_are_in_the_cascade_and_the_others_fill_the_fusion(
    patients: dict[str, str], seed: int, data: st.DataObject
) -> None:
    unknown = frozenset(data.draw(st.sets(st.sampled_from(sorted(patients)), min_size=1)))
    plain = split_for_training_all(patients, seed)
    split = split_for_training_all(patients, seed, unknown=unknown)
    cascade, fusion = split.train + split.validation, split.fusion_train + split.fusion_validation
    assert sorted(cascade + fusion) == sorted(patients)
    assert not unknown.intersection(fusion)
    before = len(plain.fusion_train) + len(plain.fusion_validation)
    assert abs(len(fusion) - min(before, len(patients) - len(unknown))) <= 1
    assert split.train
    assert split.validation


def test_where_nobody_is_of_unknown_status_the_split_is_as_it_was() -> None:
    patients = cohort(57)
    assert split_for_training_all(patients, 3, unknown=frozenset()) == split_for_training_all(patients, 3)
    nobody_known = split_for_training_all(patients, 3, unknown=frozenset(patients))
    assert (nobody_known.fusion_train, nobody_known.fusion_validation) == ((), ())
