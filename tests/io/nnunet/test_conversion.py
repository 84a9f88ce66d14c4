import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lymphct.core.errors import ModelError
from lymphct.io.nnunet.conversion import (
    channels_in,
    require_one_class,
    strict_weights,
    structure_rows,
    with_classes,
    with_phases,
)
from lymphct.io.nnunet.folders import NnunetFolder
from lymphct.io.nnunet.plans import read_plan
from lymphct.learning.unet import SegmentationNetwork

Made = Callable[..., tuple[Path, nn.Module]]
KINDS = ("PlainConvUNet", "ResidualEncoderUNet")


def _theirs(network: nn.Module, image: Tensor, transpose: tuple[int, int, int]) -> Tensor:
    """Return the logits of a network on an image (b, c, z, y, x) as nnU-Net feeds it, axes put back."""
    with torch.inference_mode():
        logits = network(image.permute(0, 1, *(2 + axis for axis in transpose)))[0]
    back = np.argsort(transpose)
    found: Tensor = logits.permute(0, 1, *(2 + int(axis) for axis in back))
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_the_output_is_that_of_the_package_whatever_the_order_of_the_axes(
    results: Made, kind: str, transpose: tuple[int, int, int]
) -> None:
    folder, network = results(kind=kind, transpose=transpose)
    plan = read_plan(folder)
    ours = SegmentationNetwork(2, 3, plan.unet)
    ours.load_state_dict(strict_weights(network.state_dict(), plan), strict=True)
    image = torch.randn(1, 2, 16, 24, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine = ours.eval()(image)[0]
    torch.testing.assert_close(mine, _theirs(network, image, transpose), rtol=1e-4, atol=1e-4)


def test_a_plan_is_read_along_i_j_k(results: Made) -> None:
    plan = read_plan(results(transpose=(0, 1, 2))[0])
    assert plan.patch_size == (24, 16, 8)
    assert plan.spacing == (0.9, 0.7, 2.5)
    assert plan.unet.strides == ((1, 1, 1), (2, 2, 1), (2, 2, 2))
    assert plan.unet.kernel_sizes == ((3, 3, 1), (3, 3, 3), (3, 3, 3))
    assert plan.statistics(1).model_dump() == {"low": -100.0, "high": 250.0, "mean": 60.0, "sd": 70.0}


def test_a_transposed_plan_is_read_along_i_j_k(results: Made) -> None:
    # The first axis of nnU-Net's arrays is x of the file, then z, then y.
    plan = read_plan(results(transpose=(2, 0, 1))[0])
    assert plan.patch_size == (8, 24, 16)
    assert plan.spacing == (2.5, 0.9, 0.7)
    assert plan.unet.kernel_sizes == ((1, 3, 3), (3, 3, 3), (3, 3, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_the_venous_phase_alone_ignores_the_arterial_one(results: Made, kind: str) -> None:
    folder, network = results(kind=kind, channels=1)
    plan = read_plan(folder)
    weights = with_phases(
        strict_weights(network.state_dict(), plan), plan, ("venous",), ("arterial", "venous")
    )
    ours = SegmentationNetwork(2, 3, plan.unet).eval()
    ours.load_state_dict(weights, strict=True)
    image = torch.randn(1, 2, 8, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine, theirs = ours(image)[0], network(image[:, 1:])[0]
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_channels_in_another_order_are_put_into_ours(results: Made) -> None:
    folder, network = results()
    plan = read_plan(folder)
    weights = with_phases(
        strict_weights(network.state_dict(), plan), plan, ("venous", "arterial"), ("arterial", "venous")
    )
    ours = SegmentationNetwork(2, 3, plan.unet).eval()
    ours.load_state_dict(weights, strict=True)
    image = torch.randn(1, 2, 8, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(ours(image)[0], network(image.flip(1))[0], rtol=1e-4, atol=1e-4)


def test_classes_take_our_numbers_and_what_the_network_does_not_know_never_wins(results: Made) -> None:
    folder, network = results(labels={"background": 0, "Liver": 1, "aorta": 2})
    plan = read_plan(folder)
    rows = structure_rows(plan)
    assert rows == (0, 11, 4)
    ours = SegmentationNetwork(2, 20, plan.unet).eval()
    ours.load_state_dict(with_classes(strict_weights(network.state_dict(), plan), rows, 20), strict=True)
    image = torch.randn(1, 2, 8, 16, 24, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        mine, theirs = ours(image)[0], network(image)[0]
    torch.testing.assert_close(mine[:, list(rows)], theirs, rtol=1e-4, atol=1e-4)
    assert torch.equal(mine.argmax(1), torch.tensor(rows)[theirs.argmax(1)])
    assert mine.softmax(1).sum() == pytest.approx(mine[:, 0].numel())
    unknown = [n for n in range(20) if n not in rows]
    assert float(mine.softmax(1)[:, unknown].max()) == 0.0


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda w: w.pop("encoder.stages.1.0.convs.0.conv.weight"), "second name it is"),
        (lambda w: w.pop("decoder.seg_layers.0.bias"), "decoder.seg_layers.0.bias is missing"),
        (lambda w: w.update({"extra.weight": torch.ones(1)}), "extra.weight has no place"),
        (lambda w: w.update({"decoder.seg_layers.0.bias": torch.ones(7)}), "has shape \\(7,\\)"),
        (
            lambda w: w.update({"decoder.encoder.stages.0.0.convs.0.norm.bias": torch.ones(4)}),
            "differs from encoder.stages.0.0.convs.0.norm.bias",
        ),
    ],
    ids=["kept one missing", "head missing", "unknown", "shape", "twice and different"],
)
def test_every_tensor_is_used_and_none_is_missing(
    results: Made, change: Callable[[dict[str, Tensor]], Any], cause: str
) -> None:
    folder, network = results()
    weights = dict(network.state_dict())
    change(weights)
    with pytest.raises(ModelError, match=cause) as caught:
        strict_weights(weights, read_plan(folder))
    assert caught.value.code == "E_KEYS"


def _edited(folder: Path, file: str, change: Callable[[dict[str, Any]], Any]) -> Path:
    content = json.loads((folder / file).read_text(encoding="utf-8"))
    change(content)
    (folder / file).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _full(plans: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plans["configurations"]["3d_fullres"]
    return found


def _kwargs(plans: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _full(plans)["architecture"]["arch_kwargs"]
    return found


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda p: _full(p)["architecture"].update(network_class_name="a.Swin"), "Swin is neither"),
        (lambda p: _kwargs(p).update(squeeze_excitation=True), "not nnU-Net's own"),
        (lambda p: _kwargs(p).update(conv_op="torch.nn.modules.conv.Conv2d"), "not nnU-Net's own"),
        (lambda p: _kwargs(p).update(n_conv_per_stage=[2, 3, 2]), r"stages have \[2, 3, 2\]"),
        (lambda p: _kwargs(p).update(kernel_sizes=[[2, 3, 3]] * 3), "odd edges"),
        (lambda p: _full(p).update(previous_stage="3d_lowres"), "needs the network 3d_lowres"),
        (lambda p: _full(p).update(patch_size=[64, 64]), "no 3-D configuration"),
        (lambda p: _full(p).update(use_mask_for_norm=[True]), "within a mask"),
        (lambda p: p.update(transpose_forward=[0, 1, 1]), "transpose_forward"),
        (lambda p: p["configurations"].pop("3d_fullres"), "no configuration '3d_fullres', only 2d"),
        (lambda p: p.pop("configurations"), "not the plans of an nnU-Net v2"),
        (lambda p: _kwargs(p).pop("strides"), "not the plans of an nnU-Net v2"),
    ],
)  # fmt: skip
def test_a_plan_that_no_network_of_ours_follows_is_refused(
    results: Made, change: Callable[[dict[str, Any]], Any], cause: str
) -> None:
    folder = _edited(results()[0], "plans.json", change)
    with pytest.raises(ModelError, match=cause):
        read_plan(folder)


def test_a_configuration_inherits_and_plans_of_before_2_4_are_read(results: Made) -> None:
    folder, _ = results()
    plan = read_plan(folder)
    assert read_plan(folder, "3d_wider").unet == plan.unet

    def aged(plans: dict[str, Any]) -> None:
        full, kwargs = _full(plans), _kwargs(plans)
        full |= {
            "UNet_class_name": "PlainConvUNet",
            "UNet_base_num_features": 4,
            "unet_max_num_features": 8,
            "n_conv_per_stage_encoder": [2, 2, 2],
            "n_conv_per_stage_decoder": [2, 2],
            "pool_op_kernel_sizes": kwargs["strides"],
            "conv_kernel_sizes": kwargs["kernel_sizes"],
        }
        del full["architecture"]

    older = read_plan(_edited(folder, "plans.json", aged))
    assert older.unet == plan.unet.model_copy(update={"features": (4, 8, 8)})


def test_intensities_that_are_none_of_a_ct_are_refused(results: Made) -> None:
    folder, _ = results()
    plan = read_plan(
        _edited(
            folder,
            "plans.json",
            lambda p: _full(p).update(normalization_schemes=["ZScoreNormalization", "CTNormalization"]),
        )
    )
    with pytest.raises(ModelError, match="channel 0 is normalised by ZScoreNormalization"):
        plan.statistics(0)
    wrong = _edited(
        folder,
        "plans.json",
        lambda p: p["foreground_intensity_properties_per_channel"]["1"].update(mean=900.0),
    )
    with pytest.raises(ModelError, match="none of a CT"):
        read_plan(wrong).statistics(1)


def test_nobody_guesses_which_channel_is_which_phase(results: Made) -> None:
    plan = read_plan(results()[0])
    with pytest.raises(ModelError, match="does not say which is which phase"):
        channels_in(plan, None)
    with pytest.raises(ModelError, match="has 2 channels, --channels names 1"):
        channels_in(plan, ("venous",))
    with pytest.raises(ModelError, match="attention channel was normalised"):
        channels_in(plan, ("venous", "attention"))
    assert channels_in(plan, ("arterial", "venous")) == ("arterial", "venous")
    with pytest.raises(ModelError, match="looks at the arterial"):
        with_phases({}, plan, ("arterial", "venous"), ("venous",))


def test_other_classes_than_ours_are_refused(results: Made) -> None:
    folder, _ = results()
    for labels, cause in (
        ({"background": 0, "femur": 1}, "'femur' is none of the 19 structures"),
        ({"background": 0, "liver": 1, "Liver": 2}, "or one twice"),
        ({"background": 0, "liver": 2}, "not 1 to 1"),
    ):
        plan = read_plan(_edited(folder, "dataset.json", partial(dict.update, labels=labels)))
        with pytest.raises(ModelError, match=cause):
            structure_rows(plan)
    regions = _edited(folder, "dataset.json", lambda d: d.update(labels={"background": 0, "both": [1, 2]}))
    with pytest.raises(ModelError, match="regions of several numbers"):
        read_plan(regions)


def test_a_part_of_one_class_takes_no_network_of_two(results: Made) -> None:
    plan = read_plan(results()[0])
    with pytest.raises(ModelError, match=r"tells 2 classes apart \(liver, aorta\), a tumor part one"):
        require_one_class(plan, "tumor")


def test_a_folder_means_its_first_fold_and_a_fold_itself(results: Made) -> None:
    folder, _ = results(fold="1")
    assert NnunetFolder.at(folder) == NnunetFolder.at(folder / "fold_1") == NnunetFolder(folder, "1")
    with pytest.raises(ModelError, match=r"no fold_0/checkpoint_final.pth, only folds 1"):
        NnunetFolder.at(folder, "0")
    with pytest.raises(ModelError, match="only folds none"):
        NnunetFolder.at(folder, checkpoint="checkpoint_best.pth")
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"no trained nnU-Net: the folder has no plans.json") as caught:
        NnunetFolder.at(folder)
    assert caught.value.exit_code == 7


def test_who_taught_a_network_of_our_export_is_known(results: Made) -> None:
    splits = [{"train": ["b", "c"], "val": ["a"]}, {"train": ["a", "c"], "val": ["b"]}]
    folder, _ = results(ours={"splits": splits})
    plan = read_plan(folder)
    roles = NnunetFolder(folder, "1").roles(plan)
    assert roles is not None
    assert (roles.train, roles.validation) == (("a", "c"), ("b",))
    everybody = NnunetFolder(folder, "all").roles(plan)
    assert everybody is not None
    assert everybody.train == ("a", "b", "c")
    assert NnunetFolder(folder, "7").roles(plan) is None
