"""Everything that forbids a study is said at once, before any work."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.study.nested.cohorts import write_cohort

from lymphct.attention.bands import PAPER_BANDS
from lymphct.baselines.table import METHODS
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import new_description
from lymphct.config import Config
from lymphct.core.leakage import FittedOn
from lymphct.core.terms import StageName
from lymphct.imaging.settings import ImagingSettings
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import PartInfo, write_bundle
from lymphct.metastasis.pretrained import Pretrained
from lymphct.study.nested.outlook import foresee_study
from lymphct.study.nested.plan import COHORT
from lymphct.study.nested.request import CrossvalRequest


def request_of(folder: Path, *manifests: Manifest, **changes: Any) -> CrossvalRequest:
    names = [COHORT, *(f"external{n}" for n in range(1, len(manifests)))]
    cohorts = dict(zip(names, manifests, strict=True))
    config = Config.model_validate({"metastasis": {"network": {"initialization": "random"}}})
    request = CrossvalRequest(folder=folder / "run", name="s", manifests=cohorts, config=config, inner=2)
    return replace(request, **changes)


def problems_of(request: CrossvalRequest) -> list[str]:
    return [str(problem) for problem in foresee_study(request).problems]


def test_a_cohort_with_everything_has_no_problem(tmp_path: Path) -> None:
    request = request_of(
        tmp_path, write_cohort(tmp_path / "c"), write_cohort(tmp_path / "e", 4, prefix="ext")
    )
    outlook = foresee_study(request)
    assert [str(problem) for problem in outlook.problems] == []
    assert outlook.methods["combined"] == "attention"
    assert outlook.methods["ct_reported"] == "nothing"
    assert outlook.methods["nodes_without_attention"] == "none"
    assert "crop" in outlook.extras(request)["attention"]
    assert list(outlook.methods) == [name for name in METHODS if name in outlook.methods]
    assert len(outlook.folds) == 5


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    def wrong(number: int) -> Mapping[str, object]:
        return {"ct_reported_n": None, "n_status": 2 if number == 3 else number % 2}

    cohort = write_cohort(tmp_path / "c", 12, change=wrong)
    first, second = (tmp_path / "c" / f"case00{n}_venous.nii.gz" for n in (0, 1))
    second.write_bytes(first.read_bytes())  # one CT under two ids
    told = "\n".join(problems_of(request_of(tmp_path, cohort, methods=("combind", "ct_reported", "nodes"))))
    for words in (
        "n_status is '2'",
        "has the same content as that of the patient in line 2",
        "there is no method 'combind' [E_METHOD] - did you mean combined?",
        "the method ct_reported needs the column ct_reported_n, which no patient has filled",
        "12 patients are too few for 5 folds",
    ):
        assert words in told


def test_a_patient_in_two_centers_is_refused(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c")
    same_id = write_cohort(tmp_path / "e", 3)
    assert any(
        "case000 stands in line 2 already" in told
        for told in problems_of(request_of(tmp_path, cohort, same_id))
    )
    same_image = write_cohort(tmp_path / "f", 3, prefix="ext")
    (tmp_path / "f" / "ext001_venous.nii.gz").write_bytes(
        (tmp_path / "c" / "case005_venous.nii.gz").read_bytes()
    )
    told = problems_of(request_of(tmp_path, cohort, same_image))
    assert any("has the same content as that of the patient" in line for line in told)


def test_folds_that_lack_a_class_or_masks_are_refused(tmp_path: Path) -> None:
    def rare(number: int) -> Mapping[str, object]:
        return {"n_status": int(number < 3), **({"nodes": None} if number > 2 else {})}

    told = problems_of(request_of(tmp_path, write_cohort(tmp_path / "c", change=rare)))
    assert any("lack an N+ patient; the cohort has 3" in line for line in told)
    assert any(
        "lack a patient with drawn lymph nodes and structures; the cohort has 3" in line for line in told
    )


def test_masks_that_are_said_to_be_given_must_be_there(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", masks=("structures", "nodes"))
    told = problems_of(request_of(tmp_path, cohort, given=(StageName.STRUCTURES, StageName.TUMOR)))
    assert any("40 patients have no tumor mask, such as case000" in line for line in told)
    assert not any("structures" in line for line in told)


def test_methods_without_their_column_are_left_out_unless_they_were_asked_for(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", change=lambda _: {"ct_reported_n": None})
    outlook = foresee_study(request_of(tmp_path, cohort))
    assert outlook.left_out["ct_reported"] == "no patient has ct_reported_n"
    assert "ct_reported" not in outlook.methods
    assert outlook.problems == ()


@pytest.mark.parametrize("folds", ["strict", "paper"])
def test_in_sample_features_take_no_inner_folds(tmp_path: Path, folds: str) -> None:
    cohort = write_cohort(tmp_path / "c")
    outlook = foresee_study(request_of(tmp_path, cohort, folds=folds, features="paper"))
    assert [len(fold.inner) for fold in outlook.folds] == [0] * 5


def test_start_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c")
    foreign = Pretrained({"layer.weight": torch.zeros(3, 3)}, "0" * 64)
    told = problems_of(request_of(tmp_path, cohort, kinetics=(tmp_path / "k.safetensors", foreign)))
    assert len(told) == 1
    assert "E_" in told[0]


def lay_tumor_bundle(folder: Path, *taught: str, spacing: float = 0.8) -> Path:
    """Write a bundle with a tumor network of one weight that learned from these patients."""
    config = Config(imaging=ImagingSettings(spacing=(0.68, 0.68, spacing)))
    info = new_description("b", Learned(bands=PAPER_BANDS), config, salt="a key of hashes", is_phantom=True)
    groups = {"train": FittedOn.of(taught).hashed(info.salt), "validation": ()}
    part = PartInfo(architecture={}, patients=groups)
    info = info.model_copy(update={"parts": {StageName.TUMOR: part}})
    write_bundle(folder, info, {"tumor": {"weight": torch.zeros(2)}}, "")
    return folder


def test_a_tumor_network_of_other_patients_is_taken_over(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c", masks=("structures", "nodes"))
    init = lay_tumor_bundle(tmp_path / "b", "somebody else")
    outlook = foresee_study(request_of(tmp_path, cohort, init=init, given=(StageName.STRUCTURES,)))
    assert outlook.taken == (StageName.TUMOR,)
    assert [str(problem) for problem in outlook.problems] == []  # nobody needs a drawn tumor
    assert outlook.sources.tumor == "network"


def test_a_bundle_that_knows_a_patient_or_sees_otherwise_is_refused(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "c")
    known = lay_tumor_bundle(tmp_path / "known", "x", "case007")
    told = problems_of(request_of(tmp_path, cohort, init=known))
    assert [line.split(" [")[0] for line in told] == [
        "case007: the tumor network given with --init learned from this patient"
    ]
    coarse = lay_tumor_bundle(tmp_path / "coarse", spacing=2.0)
    assert (
        "the bundle works at (0.68, 0.68, 2.0) mm"
        in problems_of(request_of(tmp_path, cohort, init=coarse))[0]
    )
    given = (StageName.STRUCTURES, StageName.TUMOR)
    told = problems_of(request_of(tmp_path, cohort, init=known, given=given))
    assert "no structures or tumor network that is wanted here" in told[0]
