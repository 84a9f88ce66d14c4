"""Results folders as nnU-Net writes them, around networks of its own library with random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet
from torch import nn

FEATURES = (4, 6, 8)
STRIDES = ((1, 1, 1), (1, 2, 2), (2, 2, 2))
"""Along nnU-Net's axes, as are the kernels: flat where the slices are thick."""
KERNELS = ((1, 3, 3), (3, 3, 3), (3, 3, 3))
INTENSITY = {"percentile_00_5": -100.0, "percentile_99_5": 250.0, "mean": 60.0, "std": 70.0, "median": 61.0}


def network_of(kind: str, channels: int, classes: int) -> nn.Module:
    common = {
        "input_channels": channels,
        "n_stages": 3,
        "features_per_stage": FEATURES,
        "conv_op": nn.Conv3d,
        "kernel_sizes": KERNELS,
        "strides": STRIDES,
        "num_classes": classes,
        "conv_bias": True,
        "norm_op": nn.InstanceNorm3d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }
    torch.manual_seed(0)
    if kind == "PlainConvUNet":
        network: nn.Module = PlainConvUNet(**common, n_conv_per_stage=2, n_conv_per_stage_decoder=2)
    else:
        network = ResidualEncoderUNet(**common, n_blocks_per_stage=(1, 2, 2), n_conv_per_stage_decoder=1)
    for weight in network.parameters():
        nn.init.normal_(weight, mean=0.1, std=0.3)
    return network.eval()


def plans_of(kind: str, channels: int, transpose: tuple[int, int, int]) -> dict[str, Any]:
    blocks = {"n_conv_per_stage": [2, 2, 2], "n_conv_per_stage_decoder": [2, 2]}
    if kind == "ResidualEncoderUNet":
        blocks = {"n_blocks_per_stage": [1, 2, 2], "n_conv_per_stage_decoder": [1, 1]}
    return {
        "dataset_name": "Dataset007_Test",
        "plans_name": "nnUNetPlans",
        "transpose_forward": list(transpose),
        "transpose_backward": np.argsort(transpose).tolist(),
        "foreground_intensity_properties_per_channel": {str(n): INTENSITY for n in range(channels)},
        "configurations": {
            "2d": {"patch_size": [64, 64]},
            "3d_fullres": {
                "batch_size": 2,
                "patch_size": [8, 16, 24],
                "spacing": [2.5, 0.7, 0.9],
                "normalization_schemes": ["CTNormalization"] * channels,
                "use_mask_for_norm": [False] * channels,
                "architecture": {
                    "network_class_name": f"dynamic_network_architectures.architectures.unet.{kind}",
                    "arch_kwargs": {
                        "n_stages": 3,
                        "features_per_stage": list(FEATURES),
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [list(kernel) for kernel in KERNELS],
                        "strides": [list(stride) for stride in STRIDES],
                        "conv_bias": True,
                        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                        **blocks,
                    },
                },
            },
            "3d_wider": {"inherits_from": "3d_fullres", "batch_size": 4},
        },
    }


def write_results(
    root: Path,
    *,
    kind: str = "PlainConvUNet",
    channels: int = 2,
    labels: dict[str, Any] | None = None,
    transpose: tuple[int, int, int] = (0, 1, 2),
    ours: dict[str, Any] | None = None,
    fold: str = "0",
) -> tuple[Path, nn.Module]:
    """Write `plans.json`, `dataset.json` and a checkpoint with everything nnU-Net keeps in one."""
    folder = root / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (folder / f"fold_{fold}").mkdir(parents=True)
    labels = labels or {"background": 0, "liver": 1, "aorta": 2, "ignore": 3}
    classes = len([name for name in labels if name != "ignore"])
    network = network_of(kind, channels, classes)
    plans = plans_of(kind, channels, transpose)
    dataset = {
        "channel_names": {str(n): "CT" for n in range(channels)},
        "labels": labels,
        "numTraining": 3,
        "file_ending": ".nii.gz",
        **({} if ours is None else {"lymphct": ours}),
    }
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    checkpoint = {
        "network_weights": network.state_dict(),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5)], "dice_per_class_or_region": [[np.float32(0.5)]]},
        "_best_ema": np.float64(0.4),
        "current_epoch": 2,
        "init_args": {
            "plans": plans,
            "configuration": "3d_fullres",
            "fold": 0,
            "dataset_json": dataset,
            "device": torch.device("cpu"),
        },
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")  # noqa: TID251 - as nnU-Net does
    return folder, network
