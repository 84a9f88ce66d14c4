from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lymphct.cascade.models import Models, inference_notices
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.learning.settings import InferenceChoice, InferenceSettings


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
        settings.model_copy(update={"precision": "bfloat16", "mirroring": True}) for settings in before
    ]
    assert chosen.nodes is not None
    assert models.nodes is not None
    assert chosen.nodes.network is models.nodes.network
    assert chosen.identification is models.identification


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


def test_auto_is_said_as_what_it_means_here(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = models.running(InferenceChoice(precision="auto"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    assert [notice.value for notice in inference_notices(automatic)] == ["bfloat16"]
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert inference_notices(automatic) == []
