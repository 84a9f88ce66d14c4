from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models, build_models, inference_notices, new_description
from lymphct.cascade.settings import Config
from lymphct.core.errors import InputError, ModelError
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.learning.inference_settings import InferenceChoice, InferenceSettings


@pytest.fixture(scope="module")
def models(bundle: Path) -> Models:
    return load_models(read_bundle(bundle), torch.device("cpu"))


def _inference(models: Models) -> list[InferenceSettings]:
    return [
        part.settings.inference
        for part in (models.structures, models.tumor, models.nodes)
        if part is not None
    ]


def test_a_choice_reaches_all_networks_that_slide_and_leaves_the_rest(models: Models) -> None:
    chosen = models.running(InferenceChoice(precision="bfloat16", mirroring=True))
    before = _inference(models)
    assert len(before) == 3
    assert _inference(chosen) == [
        settings.model_copy(update={"precision": "bfloat16", "mirroring": True, "backend": "auto"})
        for settings in before
    ]
    assert chosen.nodes is not None
    assert models.nodes is not None
    assert chosen.nodes.network is models.nodes.network
    assert chosen.identification is models.identification


def test_a_patch_no_body_fits_into_is_named(bundle: Path) -> None:
    read = read_bundle(bundle)
    part = read.info.parts[StageName.NODES]
    sampling: Any = part.architecture["sampling"]
    huge = {**part.architecture, "sampling": {**sampling, "patch_size": [32, 100000, 24]}}
    parts = {**read.info.parts, StageName.NODES: part.model_copy(update={"architecture": huge})}
    info = read.info.model_copy(update={"parts": parts})
    with pytest.raises(
        ModelError, match=r"the part nodes .*sampling\.patch_size\.1: .* less than or equal to 1024"
    ):
        build_models(info, {StageName.NODES: read.weights["nodes"]}, torch.device("cpu"))


def test_intensities_that_no_image_has_make_no_bundle() -> None:
    flat = IntensityStatistics(low=40.0, high=41.0, mean=40.01, sd=0.01)
    learned = Learned(intensity={Phase.VENOUS: flat}, bands=PAPER_BANDS)
    with pytest.raises(
        InputError, match=r"what was learned makes no bundle: sd: .* greater than or equal to 0\.1"
    ):
        new_description("mine", learned, Config(), salt="a key of a test", is_phantom=False)


def test_a_part_that_was_not_trained_stays_away(models: Models) -> None:
    assert replace(models, tumor=None).running(InferenceChoice(mode="box")).tumor is None


def test_what_departs_from_torch_in_float32_over_the_whole_image_is_said(models: Models) -> None:
    assert inference_notices(models) == []
    assert inference_notices(replace(models, structures=None, tumor=None, nodes=None)) == []
    other = InferenceChoice(mode="box", precision="bfloat16", backend="openvino")
    found = {notice.code: notice for notice in inference_notices(models.running(other))}
    assert {code: notice.value for code, notice in found.items()} == {
        "inference_box": "box",
        "inference_precision": "bfloat16",
        "inference_backend": "openvino",
    }
    assert "box of the attention only" in found["inference_box"].text
    few = inference_notices(models.running(InferenceChoice(windows="few", backend=None)))
    assert [(notice.code, notice.value) for notice in few] == [("inference_windows", "few")]


def test_auto_is_said_as_what_it_means_here(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = models.running(InferenceChoice(precision="auto", backend="torch"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert [notice.value for notice in inference_notices(automatic)] == ["bfloat16"]
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert inference_notices(automatic) == []
