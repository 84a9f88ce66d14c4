"""A bundle's networks are built once in a process, and anew as soon as the bundle is another."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lymphct.cascade.description import BundleInfo, PartInfo
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import ModelError
from lymphct.core.terms import StageName
from lymphct.io.models import loading
from lymphct.io.models.bundles import (
    Bundle,
    read_bundle,
    shipped_bundle_path,
    update_bundle_part,
    write_bundle,
    write_model_card,
)
from lymphct.io.models.loading import load_models, models_in, read_pretrained, tensor_names
from lymphct.io.models.weights import pack_tensors
from lymphct.io.processes import map_patients

CPU = torch.device("cpu")
TINY = {
    "unet": {"features": [4, 8], "strides": [[1, 1, 1], [2, 2, 2]], "convolutions_per_stage": 1},
    "sampling": {"patch_size": [16, 16, 8]},
}
CONFIG = Config.model_validate({"tumor": TINY, "nodes": TINY})


def part(stage: StageName, seed: int = 1) -> tuple[PartInfo, dict[str, torch.Tensor]]:
    settings = STAGES[stage].settings_in(CONFIG)
    described = PartInfo(architecture=settings.model_dump(mode="json"), patients={})
    return described, STAGES[stage].build(settings, seed=seed).state_dict()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a tumor network alone."""
    described, weights = part(StageName.TUMOR)
    info = BundleInfo(
        name="test",
        salt="key of a test",
        spacing=(0.68, 0.68, 0.8),
        is_phantom=True,
        code_version="1",
        parts={StageName.TUMOR: described},
    )
    write_bundle(tmp_path / "bundle", info, {"tumor": weights}, "# test\n")
    return tmp_path / "bundle"


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "bundle.json"
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value))


def test_the_same_bundle_is_built_once(bundle: Path) -> None:
    models = models_in(bundle, "cpu")
    assert models_in(bundle, "cpu") is models
    write_model_card(bundle, "# another card\n")
    assert models_in(bundle, "cpu") is models
    assert models.digest == read_bundle(bundle).digest


def test_a_bundle_that_gained_a_part_is_built_anew(bundle: Path) -> None:
    before = models_in(bundle, "cpu")
    assert before.nodes is None
    update_bundle_part(bundle, StageName.NODES, *part(StageName.NODES))
    after = models_in(bundle, "cpu")
    assert after is not before
    assert after.nodes is not None
    assert after.tumor is not None
    assert models_in(bundle, "cpu") is after


def test_a_bundle_whose_part_was_trained_anew_is_built_anew(bundle: Path) -> None:
    before = models_in(bundle, "cpu").tumor
    update_bundle_part(bundle, StageName.TUMOR, *part(StageName.TUMOR, seed=2))
    after = models_in(bundle, "cpu").tumor
    assert before is not None
    assert after is not None
    one, other = before.network.state_dict(), after.network.state_dict()
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_another_bundle_in_its_place_is_built_anew(bundle: Path) -> None:
    before = models_in(bundle, "cpu")
    update_bundle_part(bundle, *_same(bundle), {"thresholds": {"patient": 0.125}})
    after = models_in(bundle, "cpu")
    assert before.info.thresholds == {}
    assert after.info.thresholds == {"patient": 0.125}


def _same(bundle: Path) -> tuple[StageName, PartInfo, dict[str, torch.Tensor]]:
    read = read_bundle(bundle)
    return StageName.TUMOR, read.info.parts[StageName.TUMOR], read.weights["tumor"]


def test_networks_are_ready_to_predict_with_the_settings_they_were_trained_with(bundle: Path) -> None:
    models = models_in(bundle, "cpu")
    assert models.tumor is not None
    assert not models.tumor.network.training
    assert models.tumor.settings == CONFIG.tumor
    weights = read_bundle(bundle).weights["tumor"]
    found = models.tumor.network.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)
    assert (models.structures, models.nodes, models.identification, models.metastasis) == (None,) * 4


@pytest.mark.parametrize(
    "change",
    [
        lambda unet: unet.update(features=[4, 12]),
        lambda unet: unet.update(features=[4, 8, 16]),
        lambda unet: unet.update(encoder="dense"),
        lambda unet: unet.update(surprise=1),
    ],
)
def test_a_part_that_does_not_fit_its_description_is_refused(
    change: Callable[[dict[str, Any]], object], bundle: Path
) -> None:
    edit(bundle, lambda value: change(value["parts"]["tumor"]["architecture"]["unet"]))
    with pytest.raises(ModelError, match="the part tumor does not fit its description: ") as caught:
        models_in(bundle, "cpu")
    assert caught.value.cure == "use a bundle made by this version"
    assert "\n" not in str(caught.value)


def test_a_damaged_bundle_is_not_answered_from_memory(bundle: Path) -> None:
    models_in(bundle, "cpu")
    (bundle / "tumor.safetensors").unlink()
    with pytest.raises(ModelError, match=r"the bundle lacks tumor\.safetensors"):
        models_in(bundle, "cpu")


def test_a_bundle_that_changes_while_it_is_read_is_refused(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Bundle] = []

    def read(folder: Path) -> Bundle:
        found = read_bundle(folder)
        seen.append(found)
        return found if len(seen) == 1 else replace(found, digest="f" * 64)

    monkeypatch.setattr(loading, "read_bundle", read)
    with pytest.raises(ModelError, match=r"bundle: the bundle changed while it was read .* run it again"):
        models_in(bundle, "cpu")


def test_the_names_of_the_tensors_follow_from_the_description(bundle: Path) -> None:
    read = read_bundle(bundle)
    assert tensor_names(read) == {"tumor": list(load_models(read, CPU).tumor.network.state_dict())}  # type: ignore[union-attr] # it is there
    assert set(tensor_names(read)["tumor"]) == set(read.weights["tumor"])


def _networks_of_a_worker(_patient: int) -> tuple[int, int, int]:
    models = models_in(shipped_bundle_path(), "cpu").running(Config().inference)
    assert models.nodes is not None
    return os.getpid(), id(models.nodes.network), loading._models_of.cache_info().misses


def test_a_worker_builds_the_networks_once_however_many_patients_it_sees() -> None:
    outcomes = [outcome.result() for outcome in map_patients(_networks_of_a_worker, range(8), jobs=2)]
    for worker in {worker for worker, _, _ in outcomes}:
        networks = {network for other, network, _ in outcomes if other == worker}
        built = {count for other, _, count in outcomes if other == worker}
        assert (len(networks), built) == (1, {1})
    assert os.getpid() not in {worker for worker, _, _ in outcomes}


def test_start_weights_come_with_the_digest_of_their_file(tmp_path: Path) -> None:
    content = pack_tensors({"conv1.weight": torch.ones(2).half(), "bn1.num_batches_tracked": torch.tensor(7)})
    (tmp_path / "resnet18.safetensors").write_bytes(content)
    found = read_pretrained(tmp_path / "resnet18.safetensors")
    assert found.digest == hashlib.sha256(content).hexdigest()
    assert found.tensors["conv1.weight"].dtype == torch.float32
    assert int(found.tensors["bn1.num_batches_tracked"]) == 7
    (tmp_path / "resnet18.pth").write_bytes(b"\x80\x02K\x01.")
    with pytest.raises(ModelError, match=r"resnet18\.pth: a pickle.* - convert the weights to safetensors"):
        read_pretrained(tmp_path / "resnet18.pth")
