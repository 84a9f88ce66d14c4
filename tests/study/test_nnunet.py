import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # what several rooms' tests share lies beside them

from tests.nnunet_results import write_results

from lymphct.config import Config
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.leakage import Roles, hash_patient
from lymphct.core.terms import Phase, StageName
from lymphct.io.manifest import Manifest
from lymphct.io.models.bundles import read_bundle, verify_bundle
from lymphct.io.models.loading import models_in, tensor_names
from lymphct.learning.settings import UNetSettings
from lymphct.nodes.settings import HeadSettings, NodeSegmentationSettings
from lymphct.study.nnunet import NnunetImport, import_nnunet, read_backbone
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_one

ONE = {"background": 0, "lesion": 1}
SPLITS = [{"train": ["a", "b"], "val": ["c"]}]
UNET = UNetSettings(
    features=(4, 6, 8),
    strides=((1, 1, 1), (2, 2, 1), (2, 2, 2)),
    kernel_sizes=((3, 3, 1), (3, 3, 3), (3, 3, 3)),
)


def _request(folder: Path, bundle: Path, **given: Any) -> NnunetImport:
    fields: dict[str, Any] = {
        "folder": folder,
        "bundle": bundle,
        "config": Config(),
        "channels": ("arterial", "venous"),
    }
    return NnunetImport(**(fields | given))


def test_a_network_of_structures_becomes_a_part_with_its_plan_and_statistics(tmp_path: Path) -> None:
    folder, network = write_results(tmp_path)
    place = import_nnunet(_request(folder, tmp_path / "bundle", part="structures"))
    verify_bundle(place, tensor_names(read_bundle(place)))
    info = read_bundle(place).info
    assert info.spacing == (0.9, 0.7, 2.5)
    assert (info.registration, info.phase_dropout, info.is_phantom) == ("deeds", False, False)
    part = info.parts[StageName.STRUCTURES]
    assert part.architecture["sampling"]["patch_size"] == [24, 16, 8]  # type: ignore[index, call-overload] # a table
    source = part.extra["nnunet"]
    assert isinstance(source, dict)
    assert (source["dataset"], source["fold"], source["epochs"]) == ("Dataset007_Test", "0", 2)
    assert part.extra["patients_known"] is False
    card = (place / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "patients that are not known here" in card
    models = models_in(place, "cpu")
    sight = models.intensity(StageName.STRUCTURES)
    assert (sight[Phase.VENOUS].low, sight[Phase.ARTERIAL].sd) == (-100.0, 70.0)
    assert models.structures is not None
    image = torch.randn(1, 2, 8, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine, theirs = models.structures.network(image)[0], network(image)[0]
    # A bundle stores float16.
    torch.testing.assert_close(mine[:, [0, 11, 4]], theirs, rtol=2e-2, atol=5e-2)


def test_parts_of_one_grid_share_a_bundle_and_their_teachers_are_remembered(tmp_path: Path) -> None:
    ours = {"splits": SPLITS, "channels": ["arterial", "venous"], "registration": "none", "is_phantom": True}
    tumor, _ = write_results(tmp_path / "t", labels=ONE, ours={**ours, "target": "tumor"})
    nodes, network = write_results(tmp_path / "n", labels=ONE, ours={**ours, "target": "nodes"})
    place = import_nnunet(_request(tumor, tmp_path / "bundle", channels=None))
    import_nnunet(_request(nodes, place, channels=None))
    info = read_bundle(place).info
    assert set(info.parts) == {StageName.TUMOR, StageName.NODES}
    assert (info.registration, info.is_phantom) == ("none", True)
    assert "meaningless for patients" in info.notice
    seen = {hash_patient(name, info.salt) for name in ("a", "b")}
    assert set(info.parts[StageName.TUMOR].patients["train"]) == seen
    assert set(info.parts_that_saw("a")) == {"tumor", "nodes"}
    assert info.parts_that_saw("c") == ()
    card = (place / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.count("imported from nnU-Net") == 2
    assert "Taught by 2 patients" in card
    models = models_in(place, "cpu")
    assert models.nodes is not None
    assert models.nodes.settings.heads == HeadSettings(use_attention=False, extra_block=False)
    image = torch.randn(1, 2, 8, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        scales = zip(models.nodes.network(image), network(image), strict=True)
        for mine, theirs in scales:  # each head at its own scale
            torch.testing.assert_close(mine, theirs, rtol=2e-2, atol=5e-2)


def test_who_chose_the_epoch_of_the_best_checkpoint_is_remembered(tmp_path: Path) -> None:
    ours = {"splits": SPLITS, "channels": ["arterial", "venous"], "target": "tumor"}
    folder, _ = write_results(tmp_path, labels=ONE, ours=ours)
    fold = folder / "fold_0"
    shutil.copy(fold / "checkpoint_final.pth", fold / "checkpoint_best.pth")
    for name, seen in (("checkpoint_final.pth", ()), ("checkpoint_best.pth", ("tumor",))):
        bundle = tmp_path / name.removesuffix(".pth")
        info = read_bundle(import_nnunet(_request(folder, bundle, channels=None, checkpoint=name))).info
        assert info.parts_that_saw("c") == seen


def test_a_network_of_the_venous_phase_serves_patients_without_an_arterial_one(tmp_path: Path) -> None:
    folder, _ = write_results(tmp_path, channels=1)
    request = _request(folder, tmp_path / "bundle", part="structures", channels=("venous",))
    info = read_bundle(import_nnunet(request)).info
    assert (info.phase_dropout, info.registration) == (True, "none")
    both, _ = write_results(tmp_path / "both", labels=ONE)
    import_nnunet(_request(both, tmp_path / "bundle", part="tumor"))
    assert read_bundle(tmp_path / "bundle").info.phase_dropout is False


def test_what_makes_no_part_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    folder, _ = write_results(tmp_path)
    for given, cause in (
        ({"part": None}, "nothing says what the network finds"),
        ({"part": "tumor"}, r"tells 2 classes apart \(liver, aorta\)"),
        ({"part": "structures", "channels": None}, "does not say which is which phase"),
        ({"part": "structures", "fold": "4"}, "no fold_4"),
    ):
        with pytest.raises(ModelError, match=cause):
            import_nnunet(_request(folder, tmp_path / "bundle", **given))
    assert not (tmp_path / "bundle").exists()
    place = import_nnunet(_request(folder, tmp_path / "bundle", part="structures"))
    plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
    plans["configurations"]["3d_fullres"]["spacing"] = [2.0, 0.7, 0.9]
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    with pytest.raises(ModelError, match=r"works at \(0.9, 0.7, 2.5\) mm, the network at \(0.9, 0.7, 2.0\)"):
        import_nnunet(_request(folder, place, part="structures"))
    plans["configurations"]["3d_fullres"]["spacing"] = [25.0, 0.7, 0.9]
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    with pytest.raises(ModelError, match=r"a grid of 0.9 × 0.7 × 25 mm is none of ours"):
        import_nnunet(_request(folder, tmp_path / "other", part="structures"))


@pytest.mark.parametrize("attention", [False, True])
def test_a_backbone_is_encoder_and_decoder_without_heads(
    tmp_path: Path,
    attention: bool,  # noqa: FBT001 - of pytest
) -> None:
    folder, network = write_results(tmp_path, ours={"splits": SPLITS})
    settings = NodeSegmentationSettings(unet=UNET, heads=HeadSettings(attention_channel=attention))
    found = read_backbone(folder / "fold_0", settings, Roles(train=("a",), validation=("d",)))
    assert not [name for name in found.tensors if "seg_layers" in name]
    assert found.taught_by == {"a", "b"}
    first = found.tensors["encoder.stages.0.0.convs.0.conv.weight"]
    assert first.shape[1] == 2 + attention
    assert torch.equal(first[:, :2], network.state_dict()["encoder.stages.0.0.convs.0.conv.weight"])
    assert not first[:, 2:].any()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"features": (4, 6, 9)}, r"has features \(4, 6, 8\), nodes.unet has \(4, 6, 9\)"),
        ({"kernel_sizes": None}, r"has kernel_sizes .*nodes.unet has None.*kernel_sizes=\[\[3,3,1\]"),
        ({"encoder": "residual"}, "has encoder plain, nodes.unet has residual"),
        ({"convolutions_per_stage": 1}, "has convolutions_per_stage 2"),
    ],
)
def test_a_backbone_of_another_shape_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], cause: str
) -> None:
    folder, _ = write_results(tmp_path)
    settings = NodeSegmentationSettings(unet=UNET.model_copy(update=changes))
    with pytest.raises(ModelError, match=cause) as caught:
        read_backbone(folder, settings, Roles(train=("x",)))
    assert caught.value.code == "E_ARCHITECTURE"
    assert "\n" not in str(caught.value)


def test_nobody_chooses_a_network_that_starts_from_one_he_taught(tmp_path: Path) -> None:
    folder, _ = write_results(tmp_path, ours={"splits": SPLITS})
    with pytest.raises(LeakageError, match=r"a: stage nodes would be chosen on this patient"):
        read_backbone(folder, NodeSegmentationSettings(unet=UNET), Roles(train=("x",), validation=("a",)))


def test_stage_1_starts_from_the_weights_of_an_nnunet_and_the_bundle_says_so(
    tmp_path: Path, cohort: Manifest, config: Config
) -> None:
    folder, network = write_results(tmp_path, ours={"splits": [{"train": ["elsewhere"], "val": []}]})
    nodes = config.nodes
    frozen = nodes.training.model_copy(
        update={"learning_rate": 1e-12, "weight_decay": 0.0, "epochs": 1, "iterations_per_epoch": 1}
    )
    nodes = nodes.model_copy(update={"unet": UNET, "training": frozen})
    request = TrainingRequest(
        folder=tmp_path / "run",
        name="few",
        records=cohort.patients,
        config=config.model_copy(update={"nodes": nodes}),
        seed=3,
        device="cpu",
        nnunet=folder,
    )
    bundle = read_bundle(train_one(request, StageName.NODES))
    part = bundle.info.parts[StageName.NODES]
    source = part.extra["init_nnunet"]
    assert isinstance(source, dict)
    assert (source["dataset"], source["patients_known"]) == ("Dataset007_Test", True)
    assert hash_patient("elsewhere", bundle.info.salt) in part.patients["train"]
    weights, theirs = bundle.weights[StageName.NODES], network.state_dict()
    for name in ("encoder.stages.1.0.convs.1.conv.weight", "decoder.transpconvs.0.weight"):
        torch.testing.assert_close(weights[f"unet.{name}"], theirs[name], rtol=1e-3, atol=1e-3)
    again = replace(request, folder=tmp_path / "random", nnunet=None)
    other = read_bundle(train_one(again, StageName.NODES))
    assert "init_nnunet" not in other.info.parts[StageName.NODES].extra
