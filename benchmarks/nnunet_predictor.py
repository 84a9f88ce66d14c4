"""The peer of `nnunet_inference.py` that needs an environment of its own: runs nnU-Net, prints one JSON line.

`PYTHON_WITH_NNUNET benchmarks/nnunet_predictor.py FOLDER DEVICE`: FOLDER holds image.npy (c, k, j, i),
weights.npz by nnU-Net's names and plan.json (classes, features, strides and patch_size along k, j, i); the
label map is written there as theirs.npy.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.inference.predict_from_raw_data import (  # type: ignore[import-not-found] # only in that environment
    nnUNetPredictor,
)
from nnunetv2.utilities.plans_handling.plans_handler import (  # type: ignore[import-not-found] # likewise
    PlansManager,
)

from side_by_side import memory, reset_peak  # type: ignore[import-not-found] # run as a file


def network_of(plan: dict[str, Any], weights: dict[str, np.ndarray]) -> torch.nn.Module:
    """Build nnU-Net's network with weights that list each convolution once."""
    stages = len(plan["features"])
    network: torch.nn.Module = PlainConvUNet(
        input_channels=plan["channels"],
        n_stages=stages,
        features_per_stage=plan["features"],
        conv_op=torch.nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * stages,
        strides=plan["strides"],
        n_conv_per_stage=[plan["convolutions"]] * stages,
        num_classes=plan["classes"],
        n_conv_per_stage_decoder=[plan["convolutions"]] * (stages - 1),
        conv_bias=True,
        norm_op=torch.nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=torch.nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=False,
    )
    given = {name: torch.from_numpy(values) for name, values in weights.items()}
    found = network.load_state_dict(given, strict=False)
    # The same tensors under second names.
    missing = [
        n for n in found.missing_keys if ".all_modules." not in n and not n.startswith("decoder.encoder.")
    ]
    if missing or found.unexpected_keys:
        sys.exit(f"the weights do not fit: {missing} are missing, {found.unexpected_keys} are unknown")
    network.eval()
    return network


def predictor_of(plan: dict[str, Any], network: torch.nn.Module, device: torch.device) -> Any:  # noqa: ANN401 - a class of that environment
    """Hand the network to nnU-Net as its own training does."""
    plans = PlansManager(
        {
            "plans_name": "plans",
            "dataset_name": "Dataset001_benchmark",
            "image_reader_writer": "SimpleITKIO",
            "configurations": {"3d_fullres": {"patch_size": plan["patch_size"], "architecture": {}}},
        }
    )
    labels = {"background": 0, **{f"class {n}": n for n in range(1, plan["classes"])}}
    names = {str(n): "CT" for n in range(plan["channels"])}
    facts = {"labels": labels, "channel_names": names, "file_ending": ".nii.gz"}
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=False, device=device,
        perform_everything_on_device=device.type != "cpu", allow_tqdm=False,
    )  # fmt: skip
    configuration = plans.get_configuration("3d_fullres")
    parameters = [network.state_dict()]
    predictor.manual_initialization(network, plans, configuration, parameters, facts, "nnUNetTrainer", None)
    return predictor


def main() -> None:
    folder, device = Path(sys.argv[1]), torch.device(sys.argv[2])
    torch.set_num_threads(1)
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    network = network_of(plan, dict(np.load(folder / "weights.npz")))
    predictor = predictor_of(plan, network, device)
    image = torch.from_numpy(np.load(folder / "image.npy"))
    reset_peak()
    before = memory("VmRSS")
    starts = (time.process_time(), time.perf_counter())
    logits = predictor.predict_logits_from_preprocessed_data(image)
    labels = predictor.label_manager.convert_logits_to_segmentation(logits)
    cpu, wall = time.process_time() - starts[0], time.perf_counter() - starts[1]
    peak = memory("VmHWM")
    np.save(folder / "theirs.npy", labels.numpy().astype(np.uint8))
    extra = None if before is None or peak is None else peak - before
    sys.stdout.write(json.dumps({"cpu": cpu, "wall": wall, "extra_mib": extra}) + "\n")


if __name__ == "__main__":
    main()
