"""With the real package, in an environment of its own that LYMPHCT_NNUNET names."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lymphct.core.arrays import FloatArray, LabelArray
from lymphct.io.images.nifti import read_nifti
from lymphct.io.manifest import read_manifest
from lymphct.io.nnunet.conversion import strict_weights
from lymphct.io.nnunet.folders import NnunetFolder
from lymphct.io.nnunet_child import predict_by_nnunet
from lymphct.io.settings import load_config
from lymphct.learning.inference import sliding_window_labels
from lymphct.learning.inference_settings import InferenceSettings
from lymphct.learning.tensors import from_network
from lymphct.learning.unet import SegmentationNetwork
from lymphct.learning.windows import window_grid
from lymphct.patients.nnunet.export import NnunetExport, export_nnunet
from lymphct.patients.phantoms import PhantomCohort, write_phantoms
from lymphct.phantom.settings import PhantomSettings
from lymphct.study.nnunet_folds import nnunet_folds

PYTHON = os.environ.get("LYMPHCT_NNUNET", "")
TRAINER = Path(__file__).parents[3] / "benchmarks" / "nnunet_trainer.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not PYTHON, reason="LYMPHCT_NNUNET names no interpreter with nnunetv2"),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    settings = PhantomSettings(size="nano", phase_shift=False)
    cohort = write_phantoms(PhantomCohort(folder=folder / "ph", settings=settings, seed=5, patients=6))
    manifest = read_manifest(cohort)
    request = NnunetExport(
        out=folder / "raw",
        number=7,
        name="Real",
        folds=nnunet_folds(manifest.patients, "folds", 3, 0),
        config=load_config("phantom_nano", []),
        work=folder / "work",
    )
    return export_nnunet(manifest, request).folder


@pytest.mark.parametrize("planner", ["ExperimentPlanner", "nnUNetPlannerResEncM"])
def test_the_real_package_takes_our_data_set_and_we_its_network(
    exported: Path, tmp_path: Path, planner: str
) -> None:
    probe = tmp_path / "probe.npz"
    command = [PYTHON, str(TRAINER), str(exported.parent), "7", str(tmp_path), "--planner", planner]
    command += ["--features", "4", "8", "16", "--patch", "16", "32", "32", "--epochs", "1"]
    command += ["--iterations", "4", "--probe", str(probe)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "verify_dataset_integrity Done." in done.stdout
    folder = next((tmp_path / "results").glob("Dataset*/*__3d_fullres"))
    splits = json.loads((exported / "splits_final.json").read_text(encoding="utf-8"))
    place = NnunetFolder.at(folder)
    plan, found = place.read()
    roles = place.roles(plan)
    assert roles is not None
    assert list(roles.train) == splits[0]["train"]
    network = SegmentationNetwork(2, 20, plan.unet).eval()
    network.load_state_dict(strict_weights(found.tensors, plan), strict=True)
    kept = np.load(probe)
    with torch.inference_mode():
        logits = network(torch.from_numpy(kept["image"]))[0].numpy()
    np.testing.assert_allclose(logits, kept["logits"], rtol=1e-3, atol=1e-3)
    # Its own prediction of a patient, and that of its network slid by us over the same normalised image.
    name = splits[0]["val"][0]
    images = [exported / "imagesTr" / f"{name}_{n:04d}.nii.gz" for n in range(2)]
    theirs = read_nifti(predict_by_nnunet(folder, images, tmp_path / "theirs.nii.gz")).volume
    channels = []
    for number, image in enumerate(images):
        seen = plan.statistics(number)
        hu = read_nifti(image).volume.array.astype(np.float32)
        channels.append(((np.clip(hu, seen.low, seen.high) - seen.mean) / seen.sd).transpose(2, 1, 0))
    stacked = np.stack(channels)
    slid = _slid_as_nnunet(network, stacked, (16, 32, 32))
    assert np.mean(from_network(slid) == theirs.array) > 0.998  # nnU-Net sums in float16
    # Our Gaussian is centred between the two middle voxels: where a network has learned next to nothing, half
    # a voxel decides some of them.
    ours = sliding_window_labels(network, stacked, None, plan.patch_size, InferenceSettings()).numpy()
    assert np.mean(from_network(ours) == theirs.array) > 0.9


def _slid_as_nnunet(
    network: SegmentationNetwork, image: FloatArray, patch: tuple[int, int, int]
) -> LabelArray:
    """Return the class of each voxel (k, j, i) with the Gaussian of nnU-Net, centred on a voxel."""
    point = np.zeros(patch)
    point[tuple(size // 2 for size in patch)] = 1.0
    weight = gaussian_filter(point, [size / 8 for size in patch], mode="constant").astype(np.float32)
    sums = np.zeros((20, *image.shape[1:]), np.float32)
    for window in window_grid(image.shape[1:], patch, 0.5):
        with torch.inference_mode():
            logits = network(torch.from_numpy(image[(slice(None), *window)])[None])[0][0].numpy()
        sums[(slice(None), *window)] += logits * weight
    labels: LabelArray = sums.argmax(axis=0).astype(np.uint8)
    return labels
