"""Train the real nnU-Net for a moment; run by an interpreter that has nnunetv2, never by ours.

`PYTHON nnunet_trainer.py RAW NUMBER OUT [--planner NAME] [--features 8 16 32] [--epochs 2] [--iterations 10]
[--fold 0] [--probe FILE.npz]`: checks the raw data set with nnU-Net's own check, plans, preprocesses, takes
our folds, trains and leaves the results folder in OUT/results. Everything else nnU-Net does is its own. With
--probe the trained network's logits of a random patch are kept beside the patch.
"""

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path, help="folder that holds DatasetNNN_Name")
    parser.add_argument("number", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--planner", default="ExperimentPlanner")
    parser.add_argument(
        "--features", type=int, nargs="+", help="narrower and, if fewer, shallower than planned"
    )
    parser.add_argument("--patch", type=int, nargs=3, help="k j i, instead of the planned one")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--fold", default="0")
    parser.add_argument("--probe", type=Path)
    return parser.parse_args()


def prepare(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Check, plan and preprocess; return plans and description of the data set, and its name."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # type: ignore[import-not-found] # noqa: PLC0415 - only there, with its paths
        extract_fingerprints,
        plan_experiments,
        preprocess,
    )

    name = next(given.raw.glob(f"Dataset{given.number:03d}_*")).name
    extract_fingerprints([given.number], num_processes=1, check_dataset_integrity=True)
    identifier = plan_experiments([given.number], given.planner)
    folder = given.out / "preprocessed" / name
    plans = json.loads((folder / f"{identifier}.json").read_text(encoding="utf-8"))
    configuration = plans["configurations"]["3d_fullres"]
    if given.patch:
        configuration["patch_size"] = given.patch
    if given.features:
        narrow(configuration["architecture"]["arch_kwargs"], given.features)
    (folder / f"{identifier}.json").write_text(json.dumps(plans, indent=1), encoding="utf-8")
    preprocess([given.number], identifier, ["3d_fullres"], [1])
    shutil.copy(given.raw / name / "splits_final.json", folder)
    return plans, json.loads((folder / "dataset.json").read_text(encoding="utf-8")), name


def narrow(network: dict[str, Any], features: list[int]) -> None:
    """Give a plan fewer features, and fewer resolutions where fewer are named."""
    depth = len(features)
    network["features_per_stage"], network["n_stages"] = features, depth
    for name in ("kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage"):
        if name in network:
            network[name] = network[name][:depth]
    network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][: depth - 1]


def main() -> None:
    given = parsed()
    os.environ |= {
        "nnUNet_raw": str(given.raw),
        "nnUNet_preprocessed": str(given.out / "preprocessed"),
        "nnUNet_results": str(given.out / "results"),
        "nnUNet_compile": "f",
        "nnUNet_n_proc_DA": "1",
    }
    import numpy as np  # noqa: PLC0415 - paths are settled first
    import torch  # noqa: PLC0415
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # type: ignore[import-not-found] # noqa: PLC0415 - as above

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - nnU-Net's generator
    plans, dataset, _ = prepare(given)
    os.environ |= {"nnUNet_n_proc_DA": "0"}  # no workers beside the training; planning needs one
    fold = given.fold if given.fold == "all" else int(given.fold)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    plans["continue_training"] = False  # nnU-Net 2.8 takes it out of the plans again
    trainer = nnUNetTrainer(plans, "3d_fullres", fold, dataset, device)
    trainer.num_epochs, trainer.num_iterations_per_epoch = given.epochs, given.iterations
    trainer.num_val_iterations_per_epoch = 2
    trainer.run_training()
    if given.probe:
        network = trainer.network.cpu().eval()
        patch = trainer.configuration_manager.patch_size
        image = torch.randn(1, len(dataset["channel_names"]), *patch)
        with torch.inference_mode():
            logits = network(image)
        finest = logits[0] if isinstance(logits, list | tuple) else logits
        np.savez(given.probe, image=image.numpy(), logits=finest.numpy())


if __name__ == "__main__":
    main()
