"""A run is a folder with its plan: who has which role, with which settings; an old one can be opened."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.settings import Config
from lymphct.cascade.sizes import scaled
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.imaging.settings import ImagingSettings
from lymphct.io.manifest import PatientRecord
from lymphct.patients.prepared.preparation import Store, variant
from lymphct.registration.settings import RegistrationSettings
from lymphct.study.plan import PLAN_FILE, PatientPlan, Plan, Run, SightPlan, kept_plan
from lymphct.study.single.split import split_cohort
from lymphct.study.sources import MaskSources

PARTS = {
    "e": "train", "d": "train", "c": "validation", "b": "fusion_train", "a": "fusion_validation",
}  # fmt: skip


SIGHTS = {
    "tumor": {"phases": {"venous": (-30.0, 180.0, 70.0, 40.0)}, "foreground": "tumor", "patients": ["d"]}
}


def plan_of(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "name": "test",
        "seed": 3,
        "is_phantom": True,
        "phase_dropout": False,
        "config": Config(registration=RegistrationSettings(method="none")),
        "intensity": {"venous": (-10.0, 90.0, 25.0, 20.0)},
        "bands": {structure.label: tuple(band) for structure, band in PAPER_BANDS.items()},
        "patients": {name: PatientPlan(part=part, n_status=None) for name, part in PARTS.items()},
    }
    return Plan.model_validate(values | changes)


def written(folder: Path, plan: Plan, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a plan as an earlier version did."""
    values = plan.model_dump(mode="json")
    change(values)
    folder.mkdir(exist_ok=True)
    (folder / PLAN_FILE).write_text(json.dumps(values))
    return folder


def test_the_status_network_learns_from_patients_no_other_stage_saw() -> None:
    plan = plan_of()
    for stage in StageName:
        roles = plan.roles(stage)
        fusion = stage is StageName.METASTASIS
        assert roles.train == (("b",) if fusion else ("d", "e"))
        assert roles.validation == (("a",) if fusion else ("c",))
    assert plan.ids("validation", "fusion_train") == ("b", "c")


def test_a_plan_gives_back_what_was_learned_and_on_whom() -> None:
    learned = plan_of().learned
    assert learned.intensity == {Phase.VENOUS: IntensityStatistics(-10.0, 90.0, 25.0, 20.0)}
    assert learned.bands == PAPER_BANDS
    assert learned.fitted_on == {"intensity": FittedOn.of(["d", "e"])}
    assert plan_of(learned_from={"bands": ["e"]}).learned.fitted_on == {"bands": FittedOn.of(["e"])}


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    plan = plan_of(labels="totalsegmentator")
    assert kept_plan(tmp_path / "run", plan) == plan
    assert Run.open(tmp_path / "run").plan == plan
    assert kept_plan(tmp_path / "run", plan) == plan


def test_a_plan_older_than_numberings_and_registration_opens(tmp_path: Path) -> None:
    def older(values: dict[str, Any]) -> None:
        del values["labels"], values["sights"]
        del values["config"]["imaging"]["sizes_at"]
        del values["config"]["metastasis"]["network"]["initialization"]
        del values["config"]["registration"]
        for stage in ("structures", "tumor", "nodes"):
            del values["config"][stage]["validate_on"]

    plan = Run.open(written(tmp_path, plan_of(), older)).plan
    assert plan.labels == "auto"  # read by names, as today where nothing is said
    # Not today's default: its phases were never registered.
    assert plan.config.registration.method == "none"
    assert Config().registration.method != "none"
    assert plan.config.imaging.sizes_at == "grid"  # its sizes were never scaled
    # Its epochs were chosen by whole patients: there was no other way.
    windows = {
        stage: getattr(plan_of().config, stage).model_copy(update={"validate_on": "windows"})
        for stage in ("structures", "tumor", "nodes")
    }
    assert {name: getattr(plan.config, name) for name in windows} == windows
    # So the run goes on where it was begun, with the statistics it has.
    asked = scaled(plan_of().config.model_copy(update=windows))
    new = plan_of(config=asked, sights=SIGHTS, intensity={}, learned_from={})
    assert kept_plan(tmp_path, new) == plan
    other = new.config.model_copy(update={"imaging": ImagingSettings(spacing=(1, 1, 1), sizes_at="grid")})
    with pytest.raises(UsageError, match="holds a run with other patients"):
        kept_plan(tmp_path, new.model_copy(update={"config": other}))


def test_a_plan_names_the_settings_that_are_others() -> None:
    plan = plan_of(sights=SIGHTS)
    assert plan.other_settings(plan.config) == ()
    training = plan.config.nodes.training.model_copy(update={"epochs": 7})
    nodes = plan.config.nodes.model_copy(update={"training": training})
    imaging = plan.config.imaging.model_copy(update={"spacing": (1.0, 1.0, 1.0)})
    other = plan.config.model_copy(update={"nodes": nodes, "imaging": imaging})
    assert plan.other_settings(other) == ("imaging.spacing", "nodes.training.epochs")


def test_what_changes_nothing_keeps_no_run_from_going_on() -> None:
    plan = plan_of(sights=SIGHTS)
    training = plan.config.nodes.training.model_copy(update={"prefetch": 0})
    nodes = plan.config.nodes.model_copy(update={"training": training})
    inference = plan.config.inference.model_copy(update={"backend": "torch"})
    config = plan.config.model_copy(update={"nodes": nodes, "inference": inference})
    assert config != plan.config
    assert plan.other_settings(config) == ()


def test_a_plan_gives_each_network_its_own_way_to_see() -> None:
    learned = plan_of(intensity={}, sights=SIGHTS, learned_from={}).learned
    tumor = learned.sight(StageName.TUMOR)
    assert tumor.phases == {Phase.VENOUS: IntensityStatistics(-30.0, 180.0, 70.0, 40.0)}
    assert (tumor.foreground, tumor.fitted_on) == ("tumor", FittedOn.of(["d"]))
    assert learned.sight(StageName.METASTASIS) == tumor
    assert SightPlan.of(tumor) == SightPlan.model_validate(SIGHTS["tumor"])


def test_a_run_begun_before_there_was_a_choice_goes_on_with_drawn_masks(tmp_path: Path) -> None:
    def older(values: dict[str, Any]) -> None:
        for name in ("structures_source", "tumor_source"):
            del values[name]
            del values["config"]["cascade"][name]

    plan = Run.open(written(tmp_path, plan_of(), older)).plan
    assert plan.sources == MaskSources(structures="given", tumor="given")
    assert kept_plan(tmp_path, plan_of()) == plan
    with pytest.raises(UsageError, match="other patients, settings or seed"):
        kept_plan(tmp_path, plan_of(structures_source="network"))


def test_a_plan_that_names_a_registration_keeps_it(tmp_path: Path) -> None:
    config = Config(registration=RegistrationSettings(method="deeds"))
    folder = written(tmp_path, plan_of(config=config), lambda _: None)
    assert Run.open(folder).plan.config.registration.method == "deeds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values.update(surprise=1), "Extra inputs are not permitted"),
        (lambda values: values.pop("patients"), "Field required"),
        (lambda values: values["patients"]["a"].update(part="test"), "Input should be"),
    ],
)
def test_a_file_that_is_no_plan_is_refused(
    change: Callable[[dict[str, Any]], object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=rf"plan\.json: not a plan of ours: {words}") as caught:
        Run.open(written(tmp_path, plan_of(), change))
    assert (caught.value.code, caught.value.cure) == ("E_PLAN", "begin a new run")
    (tmp_path / PLAN_FILE).write_text("[]")
    with pytest.raises(InputError, match="not a plan of ours"):
        Run.open(tmp_path)


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.json: no such file"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"seed": 4}, {"patients": {}}, {"labels": "totalsegmentator"}, {"config": Config()}, {"bands": {}}],
)
def test_a_folder_holds_one_run_only(changes: dict[str, Any], tmp_path: Path) -> None:
    kept_plan(tmp_path / "run", plan_of())
    before = (tmp_path / "run" / PLAN_FILE).read_bytes()
    with pytest.raises(UsageError, match="the folder run holds a run with other patients") as caught:
        kept_plan(tmp_path / "run", plan_of(**changes))
    assert (caught.value.code, caught.value.cure) == ("E_OTHER_RUN", "choose another --out")
    assert (tmp_path / "run" / PLAN_FILE).read_bytes() == before


def test_a_run_knows_where_its_things_lie(tmp_path: Path) -> None:
    kept_plan(tmp_path / "run", plan_of())
    run = Run.open(tmp_path / "run", tmp_path / "work")
    assert run.bundle == tmp_path / "run" / "bundle"
    assert run.evidence == tmp_path / "run" / "evidence"
    assert run.stage(StageName.NODES) == tmp_path / "run" / "stages" / "nodes"
    assert run.patients.store.folder == tmp_path / "work"
    assert Run.open(tmp_path / "run").patients.store.folder == tmp_path / "run" / "prepared"


def test_the_patients_of_a_run_are_those_prepared_as_its_plan_says(tmp_path: Path) -> None:
    plan = plan_of(
        labels="totalsegmentator",
        patients={"a": {"part": "train", "n_status": 1}, "b": {"part": "train", "n_status": None}},
    )
    patients = Run(tmp_path, plan, tmp_path / "work").patients
    config = plan.config
    expected = variant(config.imaging.spacing, config.registration, "totalsegmentator")
    assert patients.store == Store(tmp_path / "work", expected)
    assert {name: clinical.n_status for name, clinical in patients.clinical.items()} == {"a": 1, "b": None}


def records(count: int) -> list[PatientRecord]:
    return [
        PatientRecord(
            patient_id=f"p{n:02}", venous=Path("v"), n_status=n % 2, cells={"tumor_location": "head"}
        )
        for n in range(count)
    ]


def test_six_of_ten_teach_the_cascade_and_a_fifth_of_each_group_chooses() -> None:
    split = split_cohort(records(100), seed=1)
    counts = {part: sum(entry.part == part for entry in split.values()) for part in set(PARTS.values())}
    assert counts["train"] + counts["validation"] == pytest.approx(60, abs=2)
    assert counts["validation"] == pytest.approx(12, abs=2)
    assert counts["fusion_validation"] == pytest.approx(8, abs=2)
    assert {name: entry.n_status for name, entry in split.items()} == {
        record.patient_id: record.n_status for record in records(100)
    }
    assert split_cohort(records(100), seed=1) == split
    assert split_cohort(records(100), seed=2) != split


def test_test_patients_and_excluded_ones_take_no_part() -> None:
    cohort = records(12)
    left_out = [
        PatientRecord(patient_id="t", venous=Path("v"), cells={"split": "test"}),
        PatientRecord(patient_id="x", venous=Path("v"), cells={"exclude_reason": "no consent"}),
    ]
    assert split_cohort([*left_out, *cohort], seed=1) == split_cohort(cohort, seed=1)


def test_three_patients_are_too_few() -> None:
    with pytest.raises(InputError, match="at least 4 patients"):
        split_cohort(records(3), seed=1)
