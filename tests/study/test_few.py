"""Who teaches, is harvested, chooses and is scored where few tumors are drawn."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.config import Config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import Roles
from lymphct.io.manifest import PatientRecord
from lymphct.study.few import chosen_cast, few_refusals, require_few, scored_records, with_some_kept_aside
from lymphct.study.request import TrainingRequest

IMAGE = Path("image.nii.gz")


def record(name: str, *, drawn: bool = False, arterial: bool = True, split: str = "") -> PatientRecord:
    return PatientRecord(
        patient_id=name,
        venous=IMAGE,
        arterial=IMAGE if arterial else None,
        tumor=IMAGE if drawn else None,
        cells={"split": split},
    )


DRAWN = [record(f"d{n}", drawn=True) for n in range(10)]
BLANK = [record(f"b{n}") for n in range(10)]


def request(records: Sequence[PatientRecord], *, aside: float = 0.2) -> TrainingRequest:
    harvest = Config().tumor_harvest.model_copy(update={"kept_aside": aside})
    config = Config().model_copy(update={"tumor_harvest": harvest})
    return TrainingRequest(folder=Path("run"), name="few", records=records, config=config, seed=1, few=True)


def kept(asked: TrainingRequest) -> set[str]:
    return {one.patient_id for one in scored_records(with_some_kept_aside(asked))}


def test_a_share_of_the_drawn_is_kept_for_the_scores_the_same_with_the_same_seed() -> None:
    asked = request([*DRAWN, *BLANK])
    first = kept(asked)
    assert len(first) == 2
    assert first < {one.patient_id for one in DRAWN}
    assert kept(replace(asked, records=[*reversed(BLANK), *reversed(DRAWN)])) == first
    assert {*kept(replace(asked, seed=2)), *kept(replace(asked, seed=3))} != first
    teachers = {one.patient_id for one in with_some_kept_aside(asked).teachers}
    assert teachers == {one.patient_id for one in (*DRAWN, *BLANK)} - first


def test_where_the_manifest_keeps_somebody_nobody_else_is_kept() -> None:
    test = record("t", drawn=True, split="Test")
    assert kept(request([*DRAWN, *BLANK, test])) == {"t"}
    unseen = record("u", split="test")  # without a mask nothing can be scored
    assert len(kept(request([*DRAWN, *BLANK, unseen]))) == 2


@pytest.mark.parametrize(("drawn", "aside", "count"), [(2, 0.9, 0), (3, 0.9, 1), (10, 0.0, 0), (4, 0.01, 1)])
def test_two_drawn_patients_are_left_to_teach_and_to_choose(drawn: int, aside: float, count: int) -> None:
    assert len(kept(request([*DRAWN[:drawn], *BLANK], aside=aside))) == count


def test_only_a_harvest_keeps_anybody_aside() -> None:
    asked = replace(request([*DRAWN, *BLANK]), few=False)
    assert with_some_kept_aside(asked) is asked


@pytest.mark.parametrize(
    ("records", "code", "words"),
    [
        (BLANK, "E_NO_LABELS", "none of 10 patients who may teach has a drawn tumor"),
        (DRAWN, "E_NOBODY", "all of 10 patients who may teach have a drawn tumor: nobody to harvest"),
        (
            [*BLANK, *(replace(one, arterial=None) for one in DRAWN)],
            "E_ARTERIAL",
            "none of 10 patients with a drawn tumor has an arterial phase",
        ),
        (
            [*DRAWN, *(replace(one, arterial=None) for one in BLANK)],
            "E_ARTERIAL",
            "none of 10 patients with no drawn tumor has an arterial phase",
        ),
    ],
)
def test_a_cohort_with_nothing_to_harvest_is_refused_in_one_line(
    records: list[PatientRecord], code: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        require_few(request(records))
    assert refusal.value.code == code
    assert refusal.value.cure


def test_a_network_to_go_on_from_is_refused() -> None:
    asked = replace(request([*DRAWN, *BLANK]), start_from=Path("bundle"))
    with pytest.raises(UsageError, match="from scratch"):
        require_few(asked)
    assert not list(few_refusals(replace(asked, start_from=None)))


def test_each_patient_has_one_role() -> None:
    flat = record("flat", arterial=False)
    records = [*DRAWN, *BLANK, flat, record("t", drawn=True, split="test")]
    roles = Roles(train=("b0", "b1", "d0", "d1", "flat"), validation=("b2", "d2"))
    cast = chosen_cast(request(records), roles)
    assert (cast.few, cast.harvested) == (("d0", "d1"), ("b0", "b1"))
    assert (cast.judges, cast.scored, cast.left_out) == (("d2",), ("t",), ("flat",))
    assert cast.seen(("flat", "d0", "t")) == ("d0", "t")


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (("b0", "b1"), "no training patient has a drawn tumor"),
        (("flat_drawn", "b0"), "none of 1 training patient with a drawn tumor has an arterial phase"),
        (("d0", "flat"), "no training patient without a drawn tumor has an arterial phase"),
    ],
)
def test_a_split_with_nothing_to_harvest_is_refused(train: tuple[str, ...], words: str) -> None:
    extra = [record("flat", arterial=False), record("flat_drawn", drawn=True, arterial=False)]
    with pytest.raises(InputError, match=words):
        chosen_cast(request([*DRAWN, *BLANK, *extra]), Roles(train=train, validation=("d2",)))
