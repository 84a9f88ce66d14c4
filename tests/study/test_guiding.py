"""Structures and tumor first, then their masks for everybody: 14 patients of whom 4 have structures."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.config import Config
from lymphct.core.errors import DAMAGED, InputError, UsageError
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.core.unjudged import BITS
from lymphct.io.manifest import Manifest, PatientRecord, read_manifest
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.volumes import load_volumes
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.prepared.dataset import prepared_cohort
from lymphct.patients.prepared.guided import GuidedCohort, GuidedPatient
from lymphct.patients.prepared.preparation import Preparation
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.guiding import guided_patients, tell_tumors
from lymphct.study.outlook import foresee_training
from lymphct.study.plan import PatientPlan, Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single.laying import drawn_everywhere
from lymphct.study.single_split import train_all, train_one
from lymphct.study.sources import MaskSources

PATIENTS, DRAWN = 14, 4


def without(record: PatientRecord, *columns: str) -> PatientRecord:
    cells = {name: cell for name, cell in record.cells.items() if name not in columns}
    return replace(record, cells=cells, **dict.fromkeys(columns))  # type: ignore[arg-type] # paths become None


@pytest.fixture(scope="module")
def few(cohort: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The cohort and two more nano patients; the last four have structures, all but one a tumor mask."""
    there = len(cohort.patients)
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    new = PhantomCohort(
        folder=tmp_path_factory.mktemp("few"),
        settings=settings,
        seed=9,
        patients=PATIENTS - there,
        first=there,
    )
    whole = (*cohort.patients, *read_manifest(write_phantoms(new)).patients)
    first, *others = (without(record, "structures") for record in whole[:-DRAWN])
    return replace(cohort, patients=(without(first, "tumor"), *others, *whole[-DRAWN:]))


@pytest.fixture(scope="module")
def request_of_few(
    few: Manifest, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> TrainingRequest:
    folder = tmp_path_factory.mktemp("guided")
    return TrainingRequest(
        folder=folder / "run",
        name="few",
        records=few.patients,
        config=config,
        seed=1,
        device="cpu",
        work=folder / "store",
    )


@pytest.fixture(scope="module")
def guided_bundle(request_of_few: TrainingRequest) -> Path:
    return train_all(request_of_few)


@pytest.fixture
def run(guided_bundle: Path, request_of_few: TrainingRequest) -> Run:
    return Run.open(guided_bundle.parent, request_of_few.work)


def taught(bundle: Path, stage: StageName, names: Iterable[str]) -> dict[str, set[str]]:
    info = read_bundle(bundle).info
    return {
        role: {n for n in names if n in FittedOn(hashes=frozenset(hashes), salt=info.salt)}
        for role, hashes in info.parts[stage].patients.items()
    }


def test_stage_1_learns_from_everybody_in_the_cascade_though_four_have_structures(
    guided_bundle: Path, run: Run, few: Manifest
) -> None:
    names = [record.patient_id for record in few.patients]
    learners = taught(guided_bundle, StageName.NODES, names)
    assert learners["train"] == set(run.plan.ids("train"))
    assert learners["validation"] == set(run.plan.ids("validation"))
    drawn = {record.patient_id for record in few.patients if record.structures is not None}
    assert len(drawn) == DRAWN
    assert len(learners["train"] | learners["validation"]) == 8
    # Rare annotations are where somebody learns from them, none is in the parts of the status network.
    of_structures = taught(guided_bundle, StageName.STRUCTURES, names)
    assert of_structures["train"] | of_structures["validation"] == drawn
    assert all(of_structures.values())


def test_with_roles_for_all_of_them_stage_1_sees_all_fourteen(run: Run) -> None:
    everybody = {
        name: PatientPlan(
            part="validation" if place.part == "validation" else "train", n_status=place.n_status
        )
        for name, place in run.plan.patients.items()
    }
    whole = Run(run.folder, run.plan.model_copy(update={"patients": everybody}), run.work)
    guided = guided_patients(whole, device="cpu")
    assert len(guided.roles.everybody) == PATIENTS
    assert guided.counts["structures"] == {"network": PATIENTS}
    attention = [
        guided.patients[n].attention(run.plan.learned.bands, run.plan.config.attention) for n in everybody
    ]
    assert all(a is not None and a.array.shape for a in attention)


def test_the_bundle_says_whose_masks_guided_and_who_taught_what(guided_bundle: Path, run: Run) -> None:
    info = read_bundle(guided_bundle).info
    assert (info.structures_source, info.tumor_source) == ("network", "network")
    assert run.plan.sources == MaskSources(structures="network", tumor="network")
    for part in info.parts.values():
        assert part.extra["patients"] == {role: len(hashes) for role, hashes in part.patients.items()}
    nodes = info.parts[StageName.NODES].extra
    assert nodes["guided_by_structures"] == {"network": 8}
    card = (guided_bundle / "MODEL_CARD.md").read_text()
    assert (
        "guided the search for lymph nodes in training — structures: the networks', in patients who" in card
    )


def test_in_whom_a_mask_was_drawn_the_network_still_draws(run: Run, few: Manifest) -> None:
    guided = guided_patients(run, device="cpu")
    drawn = [r.patient_id for r in few.patients if r.structures is not None]
    seen = guided.patients[drawn[0]]
    assert isinstance(seen, GuidedPatient)
    assert seen.structures is not None
    assert seen.stored.structures is not None
    assert not np.array_equal(seen.structures.array, seen.stored.structures.array)
    assert_array_equal(seen.ct.venous.array, seen.stored.ct.venous.array)


def test_the_masks_are_drawn_once_whatever_parts_the_bundle_is_given_later(run: Run) -> None:
    places = sorted(run.work.glob("*/masks-*"))
    assert len(places) >= 8
    before = [place.stat().st_mtime_ns for place in places]
    guided_patients(run, device="cpu")
    assert [place.stat().st_mtime_ns for place in sorted(run.work.glob("*/masks-*"))] == before


def test_nobody_of_the_status_networks_patients_is_drawn_for_stage_1(
    request_of_few: TrainingRequest, run: Run
) -> None:
    cascade = set(run.plan.roles(StageName.NODES).everybody)
    guided = guided_patients(run, device="cpu")
    assert set(guided.roles.everybody) <= cascade
    assert cascade.isdisjoint(run.plan.roles(StageName.METASTASIS).everybody)
    assert request_of_few.teachers


def test_where_the_network_finds_no_tumor_the_drawn_one_is_taken(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def finds_none(image: object, structures: object, given: object, models: object) -> object:
        del image, given, models
        return structures.with_array(np.zeros_like(structures.array))  # type: ignore[attr-defined] # a volume

    monkeypatch.setattr("lymphct.patients.prepared.guided.find_tumor", finds_none)
    monkeypatch.setattr("lymphct.patients.prepared.guided.MASKS", "other")
    guided = guided_patients(run, device="cpu")
    nodes = run.plan.roles(StageName.NODES).everybody
    has = [n for n in nodes if run.patients[n].tumor is not None]
    expected = {"drawn": len(has)} | ({"none": len(nodes) - len(has)} if len(nodes) > len(has) else {})
    assert guided.counts["tumor"] == expected
    assert guided.record["guided_by_tumor"] == expected
    tumor = guided.patients[has[0]].tumor
    drawn = run.patients[has[0]].tumor
    assert tumor is not None
    assert drawn is not None
    assert_array_equal(tumor.array, drawn.array)
    assert tmp_path


def test_a_tumor_network_that_finds_nothing_is_told_when_it_is_trained(
    request_of_few: TrainingRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = request_of_few.config
    blind = config.model_copy(update={"tumor": config.tumor.model_copy(update={"threshold": 1.0})})
    request = replace(request_of_few, folder=tmp_path / "run", config=blind)
    with caplog.at_level("WARNING", logger="lymphct"):
        train_one(request, StageName.TUMOR)
    (told,) = [line for line in caplog.messages if line.startswith("tumor: the network finds")]
    assert "finds a tumor in 0 of " in told
    assert "tumor.threshold" in told


def test_a_tumor_network_that_finds_tumors_is_not_told_of(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="lymphct"):
        tell_tumors(run, device="cpu")
    assert caplog.messages == []


def test_stage_1_alone_asks_for_the_networks_whose_masks_guide_it(
    request_of_few: TrainingRequest, few: Manifest, tmp_path: Path
) -> None:
    alone = replace(request_of_few, folder=tmp_path / "run")
    with pytest.raises(UsageError, match="stage nodes needs structures, tumor in the bundle first") as caught:
        train_one(alone, StageName.NODES)
    assert "lymphct train structures with the same --out" in str(caught.value.cure)
    assert "--set cascade.structures_source=given" in str(caught.value.cure)
    problems = foresee_training(few, replace(alone, folder=tmp_path / "new"), StageName.NODES).problems
    assert [problem.code for problem in problems] == ["E_STAGE"]


def test_drawn_masks_alone_leave_out_who_has_none_as_before(
    request_of_few: TrainingRequest, few: Manifest, tmp_path: Path
) -> None:
    settings = request_of_few.config.cascade.model_copy(
        update={"structures_source": "given", "tumor_source": "given"}
    )
    config = request_of_few.config.model_copy(update={"cascade": settings})
    request = replace(request_of_few, folder=tmp_path / "run", config=config)
    bundle = train_one(request, StageName.NODES)
    learners = taught(bundle, StageName.NODES, [record.patient_id for record in few.patients])
    drawn = {record.patient_id for record in few.patients if record.structures is not None}
    assert learners["train"] | learners["validation"] == drawn
    assert read_bundle(bundle).info.structures_source == "given"


def test_the_outlook_says_before_the_work_who_learns_from_what(
    request_of_few: TrainingRequest, few: Manifest, tmp_path: Path
) -> None:
    outlook = foresee_training(few, replace(request_of_few, folder=tmp_path / "run"))
    lessons = {lesson.stage: lesson for lesson in outlook.lessons}
    assert lessons[StageName.STRUCTURES].train + lessons[StageName.STRUCTURES].validation == DRAWN
    assert lessons[StageName.NODES].train + lessons[StageName.NODES].validation == 8
    assert lessons[StageName.NODES].guided_by == "structures: the network's, tumor: the network's"
    assert outlook.stopping == ()


@pytest.mark.slow
def test_masks_of_a_store_prepared_with_the_same_bundle_are_not_drawn_again(
    guided_bundle: Path, run: Run, request_of_few: TrainingRequest, few: Manifest, tmp_path: Path
) -> None:
    from lymphct.patients.prepared.cohort_preparation import PreparationRequest, prepare_cohort  # noqa: PLC0415

    nobodys = [without(record, "structures", "tumor") for record in few.patients]
    unseen = replace(few, patients=tuple(renamed(record) for record in nobodys))
    store = tmp_path / "store"
    asked = PreparationRequest(out=store, config=request_of_few.config, bundle=guided_bundle, device="cpu")
    assert not prepare_cohort(unseen, asked).failures
    request = replace(
        request_of_few, folder=tmp_path / "run", records=unseen.patients, init=guided_bundle, work=store
    )
    bundle = train_one(request, StageName.NODES)
    assert read_bundle(bundle).info.structures_source == "network"
    cohort = prepared_cohort(
        Preparation(
            folder=store,
            spacing=run.plan.config.imaging.spacing,
            registration=run.plan.config.registration,
        ),
        unseen.patients,
    )
    made = {path.parent.name for path in store.glob("*/masks-*")}
    assert made == set(Run.open(request.folder, store).plan.roles(StageName.NODES).everybody)
    for name in made:
        (masks,) = (store / name).glob("masks-*")
        # One folder of attention beside: that of `prepare`, whose masks were taken; and that of stage 1.
        found = [load_volumes(place) for place in (store / name).glob("attention-*")]
        arrays = [volumes["structures"].array for volumes in found if "structures" in volumes]
        taken = load_volumes(masks)["structures"].array
        assert any(np.array_equal(taken, array) for array in arrays)
        assert cohort[name].structures is None


def renamed(record: PatientRecord) -> PatientRecord:
    name = f"new-{record.patient_id}"
    return replace(record, patient_id=name, cells={**record.cells, "patient_id": name})


def test_masks_of_the_networks_that_are_damaged_are_drawn_again(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    name = run.plan.ids("train")[0]
    cohort = guided_patients(run).patients
    patient = cohort[name]
    assert isinstance(patient, GuidedPatient)
    file = next(patient.images.glob("structures.*"))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    guided_patients(run)
    assert f"{patient.images.name} of {name} is damaged and is made again" in caplog.text
    assert file.read_bytes() == content


def test_a_damaged_patient_ends_the_run_instead_of_being_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_cohort: GuidedCohort, patient_id: str) -> dict[str, str]:
        msg = "is no longer as it was written"
        raise InputError(msg, code=DAMAGED).at(patient=patient_id)

    monkeypatch.setattr(GuidedCohort, "sources", damaged)
    with pytest.raises(InputError, match="no longer as it was written"):
        guided_patients(run)


def test_structures_nobody_looked_at_everywhere_are_of_another_kind(run: Run) -> None:
    patient = run.patients[run.plan.ids("train")[0]]
    venous = patient.ct.venous
    for bits, drawn in ((BITS[StageName.STRUCTURES], ()), (BITS[StageName.NODES], patient.labelled)):
        unjudged = venous.with_array(np.full(venous.geometry.shape, bits, np.uint8))
        assert drawn_everywhere(unjudged, patient.labelled) == drawn
