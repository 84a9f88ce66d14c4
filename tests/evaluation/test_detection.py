import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lymphct.core.arrays import AnyArray, LabelArray
from lymphct.core.errors import GeometryMismatchError, InputError, UsageError
from lymphct.evaluation.detection import (
    InstanceMatches,
    MatchedPair,
    MatchingRule,
    instance_scores,
    match_instances,
)


def line(*labels: int) -> LabelArray:
    return np.array(labels, dtype=np.int32).reshape(1, 1, -1)


def map_pairs(largest: int = 4) -> st.SearchStrategy[tuple[LabelArray, LabelArray]]:
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 12))
    return shapes.flatmap(
        lambda shape: st.tuples(*[hnp.arrays(np.int32, shape, elements=st.integers(0, largest))] * 2)
    )


def all_ious(prediction: LabelArray, truth: LabelArray) -> dict[tuple[int, int], float]:
    """Return the IoU of every pair, one mask per node: the slow way."""
    ious = {}
    for p in np.unique(prediction[prediction > 0]).tolist():
        for t in np.unique(truth[truth > 0]).tolist():
            both, either = (prediction == p) & (truth == t), (prediction == p) | (truth == t)
            ious[p, t] = int(both.sum()) / int(either.sum())
    return ious


def best_total(ious: dict[tuple[int, int], float], iou: float) -> float:
    """Return the largest sum of IoU over all one-to-one choices, by trying all of them."""
    allowed = [pair for pair, value in ious.items() if value >= iou]

    def best(pairs: list[tuple[int, int]]) -> float:
        if not pairs:
            return 0.0
        (p, t), rest = pairs[0], pairs[1:]
        return max(best(rest), ious[p, t] + best([pair for pair in rest if pair[0] != p and pair[1] != t]))

    return best(allowed)


def matches(tp: int, fp: int, fn: int) -> InstanceMatches:
    pairs = tuple(MatchedPair(n, n, 0.5) for n in range(1, tp + 1))
    spurious, missed = tuple(range(tp + 1, tp + fp + 1)), tuple(range(tp + 1, tp + fn + 1))
    return InstanceMatches(
        pairs=pairs,
        missed=missed,
        spurious=spurious,
        duplicates=(),
        prediction_voxels=dict.fromkeys(range(1, tp + fp + 1), 10),
        truth_voxels=dict.fromkeys(range(1, tp + fn + 1), 10),
    )


def test_pairs_missed_and_spurious_nodes_are_those_worked_out_by_hand() -> None:
    truth = line(1, 1, 1, 1, 0, 2, 2, 0, 0, 3)
    prediction = line(0, 7, 7, 7, 0, 0, 9, 9, 0, 0)
    result = match_instances(prediction, truth)
    # 7 and 1: 3 of 4 voxels; 9 and 2: 1 of 3 voxels, just enough for 0.3.
    assert result.pairs == (MatchedPair(7, 1, 0.75), MatchedPair(9, 2, 1 / 3))
    assert (result.missed, result.spurious, result.duplicates) == ((3,), (), ())
    assert (result.true_positives, result.false_positives, result.false_negatives) == (2, 0, 1)
    assert result.prediction_voxels == {7: 3, 9: 2}
    assert result.truth_voxels == {1: 4, 2: 2, 3: 1}


def test_an_iou_of_exactly_the_threshold_is_enough() -> None:
    truth, prediction = line(1, 1, 1, *[0] * 7), line(*[1] * 10)
    assert match_instances(prediction, truth, iou=0.3).true_positives == 1
    assert match_instances(prediction, truth, iou=0.3001).true_positives == 0


def test_the_second_half_of_a_split_node_is_a_duplicate() -> None:
    truth, prediction = line(1, 1, 1, 1, 1, 1), line(4, 4, 4, 5, 5, 0)
    result = match_instances(prediction, truth)
    assert result.pairs == (MatchedPair(4, 1, 0.5),)
    assert result.spurious == result.duplicates == (5,)
    assert match_instances(prediction, truth, iou=0.4).duplicates == ()


# IoU of p1 with t1 4/10, of p1 with t2 2/6, of p2 with t1 3/8.
CHAIN_TRUTH = line(1, 1, 1, 1, 1, 1, 1, 1, 2, 2)
CHAIN_PREDICTION = line(2, 2, 2, 0, 1, 1, 1, 1, 1, 1)


def test_the_maximum_rule_finds_a_pair_that_the_greedy_rule_loses() -> None:
    greedy = match_instances(CHAIN_PREDICTION, CHAIN_TRUTH, rule="greedy")
    assert greedy.pairs == (MatchedPair(1, 1, 0.4),)  # what is left of both neighbours has no partner
    best = match_instances(CHAIN_PREDICTION, CHAIN_TRUTH, rule="maximum")
    assert best.pairs == (MatchedPair(1, 2, 2 / 6), MatchedPair(2, 1, 3 / 8))


@given(map_pairs())
@settings(deadline=None, max_examples=80)
def test_the_maximum_rule_has_the_largest_total_iou(pair: tuple[LabelArray, LabelArray]) -> None:
    ious = all_ious(*pair)
    for iou in (0.1, 0.3):
        result = match_instances(*pair, iou=iou)
        assert sum(match.iou for match in result.pairs) == pytest.approx(best_total(ious, iou))
        assert all(match.iou == ious[match.prediction, match.truth] >= iou for match in result.pairs)


@given(map_pairs(largest=8))
@settings(deadline=None, max_examples=100)
@example((CHAIN_PREDICTION, CHAIN_TRUTH))
def test_one_to_one_matching_finds_at_least_the_greedy_matches(pair: tuple[LabelArray, LabelArray]) -> None:
    best, greedy = (match_instances(*pair, rule="maximum"), match_instances(*pair, rule="greedy"))
    assert best.true_positives >= greedy.true_positives


@given(map_pairs(), st.sampled_from(["maximum", "greedy"]))
@settings(deadline=None, max_examples=60)
def test_every_node_is_matched_once_or_named_once(
    pair: tuple[LabelArray, LabelArray], rule: MatchingRule
) -> None:
    result = match_instances(*pair, rule=rule)
    predicted = [match.prediction for match in result.pairs] + list(result.spurious)
    true = [match.truth for match in result.pairs] + list(result.missed)
    assert sorted(predicted) == np.unique(pair[0][pair[0] > 0]).tolist()
    assert sorted(true) == np.unique(pair[1][pair[1] > 0]).tolist()
    assert set(result.duplicates) <= set(result.spurious)
    assert sum(result.prediction_voxels.values()) == (pair[0] > 0).sum()


@given(map_pairs(), st.sampled_from(["maximum", "greedy"]))
@settings(deadline=None, max_examples=40)
def test_a_perfect_prediction_matches_everything(
    pair: tuple[LabelArray, LabelArray], rule: MatchingRule
) -> None:
    result = match_instances(pair[0], pair[0], rule=rule)
    assert not result.missed
    assert not result.spurious
    assert all(match.iou == 1.0 and match.prediction == match.truth for match in result.pairs)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int64"])
def test_types_orders_and_sizes_of_labels_do_not_matter(dtype: str) -> None:
    rng = np.random.default_rng(0)
    truth: AnyArray = rng.integers(0, 6, (4, 3, 5)).repeat(3, 0).repeat(3, 1)
    prediction: AnyArray = np.roll(truth, 1, axis=0)
    expected = match_instances(prediction, truth)
    assert expected.pairs
    assert match_instances(prediction.astype(dtype), np.asfortranarray(truth)) == expected
    by_columns = match_instances(np.asfortranarray(prediction), np.asfortranarray(truth))
    assert by_columns == expected
    huge = match_instances(prediction * 10**15, truth * 10**15)
    assert [pair.iou for pair in huge.pairs] == [pair.iou for pair in expected.pairs]


def test_many_short_runs_are_all_counted() -> None:
    rng = np.random.default_rng(1)
    prediction, truth = rng.integers(0, 40, (2, 20, 20, 30))
    result = match_instances(prediction, truth, iou=0.001)
    counts = np.bincount(prediction.ravel(), minlength=40)
    assert result.prediction_voxels == dict(enumerate(counts.tolist()[1:], start=1))
    ious = all_ious(prediction, truth)
    assert all(match.iou == ious[match.prediction, match.truth] for match in result.pairs)


def test_scores_are_pooled_and_averaged_over_patients() -> None:
    scores = instance_scores([matches(2, 1, 0), matches(1, 0, 3), matches(0, 2, 0), matches(0, 0, 0)])
    assert (scores.true_positives, scores.false_positives, scores.false_negatives) == (3, 3, 3)
    assert (scores.recall, scores.precision, scores.f) == (0.5, 0.5, 0.5)
    # The third patient has no true nodes, the fourth has neither: they have no recall.
    assert scores.mean_recall == pytest.approx((1 + 1 / 4) / 2)
    assert scores.mean_precision == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores.mean_f == pytest.approx((4 / 5 + 2 / 5 + 0) / 3)
    assert (scores.patients, scores.patients_with_truth, scores.patients_with_prediction) == (4, 2, 3)


def test_patients_without_any_node_have_no_scores() -> None:
    scores = instance_scores([matches(0, 0, 0)])
    undefined = (scores.recall, scores.precision, scores.f, scores.mean_recall, scores.mean_precision)
    assert np.isnan([*undefined, scores.mean_f]).all()


def test_empty_maps_have_nothing_to_match() -> None:
    empty = np.zeros((3, 3, 3), dtype=np.uint8)
    result = match_instances(empty, empty)
    assert not result.pairs
    assert not result.missed
    assert not result.spurious


def test_no_patients_have_no_scores() -> None:
    with pytest.raises(InputError, match="no patients to score"):
        instance_scores([])


@pytest.mark.parametrize("iou", [0.0, -0.1, 1.5, float("nan")])
def test_an_impossible_iou_is_refused(iou: float) -> None:
    with pytest.raises(UsageError, match="cannot be demanded"):
        match_instances(line(1, 1), line(1, 1), iou=iou)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="no matching rule 'hungry'"):
        match_instances(line(1, 1), line(1, 1), rule="hungry")  # type: ignore[arg-type]  # what is tested


def test_bad_label_maps_are_refused() -> None:
    with pytest.raises(InputError, match="negative label -1"):
        match_instances(line(1, -1), line(1, 1))
    halves: AnyArray = line(1, 1) / 2
    with pytest.raises(InputError, match="not whole numbers"):
        match_instances(halves, line(1, 1))
    with pytest.raises(GeometryMismatchError, match="not two images of one three-dimensional grid"):
        match_instances(line(1, 1), line(1, 1, 1))
