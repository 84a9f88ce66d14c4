"""What a cascade keeps of a test patient, and the pictures made of it: nobody else is shown."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.study.nested.test_gallery import materials_of, plan_of

from lymphct.cascade.evidence import EvidenceSettings, evidence_from, look_at
from lymphct.cascade.examination import Findings
from lymphct.config import Config
from lymphct.core.errors import LeakageError
from lymphct.core.patient import IMPLAUSIBLE
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.io.models.loading import models_in
from lymphct.io.results.jsonfile import write_json
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.preparation import prepare_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.evidence import write_evidence
from lymphct.study.nested.examples import example_drawing
from lymphct.study.nested.findings import found_in_tested
from lymphct.study.nested.gallery import NODES, Failure, failures
from lymphct.study.nested.guard import BUNDLE
from lymphct.study.nested.materials import Materials
from lymphct.study.nested.measuring import measured
from lymphct.study.nested.picturing import pictured
from lymphct.study.nested.plan import COHORT, CascadeRole
from lymphct.study.nested.seen import SEEN, keeps_seen, seen_by, write_seen

CASCADE = CascadeRole(fold=1, inner=0)
TASK = f"examine.fold1.{COHORT}"


@dataclass(frozen=True)
class Examined:
    """A fold whose test patients were examined by models that never saw them."""

    materials: Materials
    findings: dict[str, Findings]
    tested: tuple[str, ...]


@pytest.fixture(scope="module")
def examined(
    tmp_path_factory: pytest.TempPathFactory, cohort: Manifest, bundle: Path, config: Config
) -> Examined:
    run = tmp_path_factory.mktemp("run")
    models = models_in(bundle, "cpu")
    taught = tuple(record.patient_id for record in cohort.patients)
    settings = PhantomSettings(size="nano", mode="unbiased", phase_shift=False)
    new = PhantomCohort(folder=run / "phantoms", settings=settings, seed=77, patients=2)
    others = read_manifest(write_phantoms(new)).patients
    tested = tuple(record.patient_id for record in others)
    with_grid = config.model_copy(
        update={"imaging": config.imaging.model_copy(update={"spacing": models.spacing})}
    )
    plan = plan_of(with_grid, (tested,), taught)
    materials = materials_of(run, plan)
    (run / "tasks" / "bundle.fold1").mkdir(parents=True)
    (run / "tasks" / "bundle.fold1" / BUNDLE).symlink_to(bundle)
    findings = {}
    for record in others:
        name = record.patient_id
        patient = StoredPatient(name, prepare_patient(record, materials.preparation))
        how = EvidenceSettings()
        findings[name] = found = look_at(patient, models, how)
        folder = run / "tasks" / TASK / name
        folder.mkdir(parents=True)
        write_evidence(folder, evidence_from(patient, found, models, how))
        write_json(folder / "measured.json", measured(patient, found, models, ()))
        write_seen(folder, found)
    return Examined(materials, findings, tested)


def test_the_first_cascade_of_a_fold_keeps_what_it_found() -> None:
    kept = [keeps_seen(CascadeRole(fold=2, inner=inner, variant="none")) for inner in range(4)]
    assert kept == [True, True, False, False]


def test_what_was_found_comes_back_without_implausible_nodes(examined: Examined) -> None:
    assert examined.tested
    for name in examined.tested:
        found = examined.findings[name]
        seen = seen_by(examined.materials.artefacts, CASCADE, name)
        assert seen is not None
        plausible = [node.label for node in found.nodes.nodes if node.is_plausible]
        assert sorted(node.label for node in seen.nodes.nodes) == sorted(plausible)
        whole = found.nodes.instances.array
        assert_array_equal(seen.nodes.instances.array, np.where(np.isin(whole, plausible), whole, 0))
        assert_array_equal(seen.lit.array, found.attention.array[::2, ::2, ::2] >= 0.5)
        assert 0 < seen.lit.array.mean() < 1
        last = tuple(size - 1 for size in seen.lit.array.shape)
        assert_array_equal(
            seen.lit.geometry.world(last), found.attention.geometry.world([2 * number for number in last])
        )


def test_the_same_findings_give_the_same_bytes_and_an_implausible_node_is_left_out(
    examined: Examined, tmp_path: Path
) -> None:
    found = next(f for f in examined.findings.values() if f.nodes.nodes)
    first = found.nodes.nodes[0]
    flagged = replace(first, flags=(IMPLAUSIBLE,))
    others = replace(found, nodes=replace(found.nodes, nodes=(flagged, *found.nodes.nodes[1:])))
    contents = []
    for place, what in (("a", found), ("b", found), ("c", others)):
        write_seen(tmp_path / place, what)
        files = sorted((tmp_path / place / SEEN).rglob("*.chunks"))
        contents.append([file.read_bytes() for file in files])
    assert contents[0] == contents[1]
    assert (contents[0] != contents[2]) == first.is_plausible


def test_nobody_is_shown_who_is_not_tested_in_the_fold(examined: Examined) -> None:
    other = examined.materials.plan.outer_folds[0].outer.train[0]
    with pytest.raises(LeakageError, match="not tested in fold 1"):
        seen_by(examined.materials.artefacts, CASCADE, other)


def test_who_was_not_examined_or_not_kept_is_not_drawn(examined: Examined, tmp_path: Path) -> None:
    bare = materials_of(tmp_path, examined.materials.plan)
    name = examined.tested[0]
    assert seen_by(bare.artefacts, CASCADE, name) is None
    failure = Failure(kind=NODES[0], patient=name, fold=1, truth="positive", said="not found", score=None)
    assert [item.drawing for item in pictured(bare, "attention", [failure])] == [None]


def test_examples_are_of_tested_patients_and_the_same_each_time(examined: Examined) -> None:
    found = found_in_tested(examined.materials, {TASK: "attention"})
    drawing = example_drawing(examined.materials, found)
    assert drawing is not None
    text = drawing.svg.decode()
    assert "drawn" in text
    assert "with attention" in text
    shown = [name for name in examined.materials.plan.patients if name in text]
    assert shown
    assert set(shown) <= set(examined.tested)
    assert drawing == example_drawing(examined.materials, found)
    assert example_drawing(examined.materials, {}) is None


def test_failures_are_drawn_where_they_are(examined: Examined) -> None:
    wrong: list[Any] = list(failures(examined.materials, "attention", None))
    name = examined.tested[0]
    drawn = examined.materials.patients[name].nodes
    assert drawn is not None
    node = drawn.nodes[0]
    wrong.append(
        Failure(
            kind=NODES[0], patient=name, fold=1, truth="positive", said="not found", score=None,
            node=node.label, is_drawn=True, short_axis=node.short_axis, volume=node.volume,
        )
    )  # fmt: skip
    told = pictured(examined.materials, "attention", wrong)
    assert [item.failure for item in told] == wrong
    drawings = [item.drawing for item in told if item.drawing is not None]
    assert len(drawings) == len(wrong)
    assert len({drawing.name for drawing in drawings}) == len(drawings)  # a file each
    assert drawings[-1].png.startswith(b"\x89PNG")
    assert told == pictured(examined.materials, "attention", wrong)
