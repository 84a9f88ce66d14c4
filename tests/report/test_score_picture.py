"""How the page of a patient tells what a score is worth and draws what drove it."""

import re
from dataclasses import replace

import pytest

from lymphct.core.patient import Multiphase, NodeMap, Prediction
from lymphct.core.score import CalibratedScore, NodeChange, ScoreDrivers
from lymphct.report.context import ReportContext
from lymphct.report.page import patient_page
from lymphct.report.score_picture import MOST_BARS, driver_picture, worth_of

WORTH = CalibratedScore(
    probability=0.61,
    low=0.42,
    high=0.78,
    method="platt",
    interval="wilson",
    outcomes=("N+",),
    level=0.9,
    guaranteed_threshold=0.7,
    sensitivity=0.8,
    confidence=0.9,
    positives=30,
    negatives=41,
    calibrated_on="validation",
)
DRIVERS = ScoreDrivers(
    score=0.684,
    without_nodes=0.534,
    without_tumor=0.66,
    without_both=0.51,
    nodes=(NodeChange(node=3, change=0.15), NodeChange(node=1, change=-0.02), NodeChange(node=2, change=0.0)),
)


def told(prediction: Prediction, drivers: ScoreDrivers | None = DRIVERS, **changes: object) -> Prediction:
    return replace(prediction, drivers=drivers, calibrated=replace(WORTH, **changes))  # type: ignore[arg-type]


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)).replace("&#39;", "'")


def test_the_page_says_what_the_score_is_worth(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    page = patient_page(told(prediction), ct, context)
    words = words_of(page)
    assert (
        "0.61 (0.42 to 0.78) is the share of N+ among patients with such a score: Platt scaling, learned "
        "from 30 N+ and 41 N− validation patients of its training." in words
    )
    assert "Outcomes that cannot be excluded at 90 %: N+ (N− would be unlike it)." in words
    assert (
        "A score from 0.700 upwards finds at least 80 % of all N+, with 90 % confidence; this one stays "
        "below it." in words
    )
    # The interval and the probability on the scale of 500 units that begins at 10.
    assert re.search(r'class="range" x="220\.0" y="4" width="180\.0"', page)
    assert 'cx="315.0"' in page


def test_a_bundle_that_knows_nothing_leaves_both_sections_out(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    page = patient_page(prediction, ct, context)
    assert "What the score is worth" not in page
    assert "What drove the score" not in page
    assert "change of the score" not in page


def test_what_is_withheld_is_told_with_its_reason(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    few = told(
        prediction,
        None,
        probability=None,
        low=None,
        high=None,
        method="",
        interval="",
        outcomes=("N-", "N+"),
        guaranteed_threshold=None,
        abstentions=("no guaranteed threshold: 11 N+ are needed, there were 1 N+ and 2 N-",),
    )
    page = patient_page(few, ct, context)
    words = words_of(page)
    assert "Withheld: no guaranteed threshold: 11 N+ are needed, there were 1 N+ and 2 N−." in words
    assert "N− or N+." in words  # not that the score does not tell: nobody could have told
    assert "is the share of N+" not in words
    assert 'class="range"' not in page


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        (("N-", "N+"), "N− or N+ (the score does not tell)."),
        (("N-",), "N− (N+ would be unlike it)."),
        ((), "none of both (the score is unlike those of either class)."),
    ],
)
def test_each_set_of_outcomes_has_its_meaning(
    outcomes: tuple[str, ...], words: str, prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    assert words in words_of(patient_page(told(prediction, outcomes=outcomes), ct, context))


def test_a_withheld_score_is_worth_nothing() -> None:
    assert worth_of(WORTH, None) is None
    assert worth_of(None, 0.5) is None


def test_bars_point_to_what_raised_and_what_lowered_the_score(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    picture = driver_picture(told(prediction), [1, 2, 3])
    assert picture is not None
    assert [(bar.name, bar.change, bar.raised) for bar in picture.bars] == [
        ("tumor", "+0.024", True),
        ("lymph nodes together", "+0.150", True),
        ("node 3, predicted positive", "+0.150", True),
        ("node 1, predicted negative", "−0.020", False),
    ]
    assert [round(bar.length, 3) for bar in picture.bars] == [32.0, 200.0, 200.0, 26.667]
    assert [round(bar.start, 3) for bar in picture.bars] == [0.0, 0.0, 0.0, -26.667]
    assert (picture.without_both, picture.score, picture.tumor_share) == ("0.510", "0.684", "14 %")
    assert picture.rest == "One more node changes the score by less than 0.001."
    page = patient_page(told(prediction), ct, context)
    assert '<a href="#node-3">node 3, predicted positive</a>' in page
    assert 'id="node-3"' in page
    assert page.count("<dt>change of the score</dt>") == 3
    assert "<dd>−0.020</dd>" in page
    assert page.count('class="raised"') == 3
    assert page.count('class="lowered"') == 1


def test_a_number_of_the_nodes_that_is_learned_is_told_as_the_probability_it_is(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    words = "What the score reads of the nodes is a probability of N+"
    assert words not in patient_page(told(prediction), ct, context)
    page = patient_page(told(prediction, replace(DRIVERS, by_nodes=0.6249)), ct, context)
    assert f"{words} that a network of all of them gives: 0.625." in page


def test_a_patient_without_nodes_has_the_bar_of_the_tumor_alone(
    prediction: Prediction, ct: Multiphase, context: ReportContext
) -> None:
    instances = prediction.nodes.instances
    bare = replace(
        told(prediction, replace(DRIVERS, without_nodes=0.684, without_tumor=0.51, nodes=())),
        nodes=NodeMap(instances=instances.with_array(0 * instances.array), nodes=()),
    )
    picture = driver_picture(bare, [])
    assert picture is not None
    assert [(bar.name, bar.change) for bar in picture.bars] == [("tumor", "+0.174")]
    assert (picture.tumor_share, picture.rest) == ("100 %", "")
    assert "What drove the score" in patient_page(bare, ct, context)


def test_of_sixty_nodes_those_have_bars_that_change_most(prediction: Prediction) -> None:
    changes = tuple(NodeChange(node=n, change=0.1 / n) for n in range(1, 61))
    picture = driver_picture(told(prediction, replace(DRIVERS, nodes=changes)), [])
    assert picture is not None
    assert len(picture.bars) == MOST_BARS + 2
    assert [bar.link for bar in picture.bars] == [None] * (MOST_BARS + 2)
    assert picture.bars[-1].name == "node 10"
    assert picture.rest == "Each of 50 more nodes changes the score by 0.009 at most."


def test_where_nothing_changes_no_bar_looks_long(prediction: Prediction) -> None:
    still = ScoreDrivers(score=0.5, without_nodes=0.5, without_tumor=0.499, without_both=0.499, nodes=())
    picture = driver_picture(told(prediction, still), [])
    assert picture is not None
    assert picture.bars[0].length < 15
    nothing = ScoreDrivers(score=0.5, without_nodes=0.5, without_tumor=0.5, without_both=0.5, nodes=())
    flat = driver_picture(told(prediction, nothing), [])
    assert flat is not None
    assert (flat.bars[0].length, flat.bars[0].change, flat.tumor_share) == (0.0, "0.000", "")
