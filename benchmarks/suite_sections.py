"""The sections of the page: what each is called, which script measures it and what the script is told."""

import importlib.util
from collections.abc import Mapping
from typing import Final

from benchmarks.suite_page import Heading

SIDE_BY_SIDE: Final = (
    "attention",
    "components",
    "metrics",
    "matching",
    "resampling",
    "inference",
    "scaling",
    "nnunet_inference",
)
"""Sections whose scripts know --shape and --runs."""
FULL: Final = ("--shape", "512", "512", "300")
PHANTOMS: Final = 5
NEEDS_CT: Final = (
    "It needs a script that deforms a CT, and a CT: set `LYMPHCT_PAIR_SCRIPT`, `LYMPHCT_CT` and, for Dice, "
    "`LYMPHCT_CT_LABELS` (numbers of TotalSegmentator), then `make bench ONLY=registration`. "
    "`benchmarks/registration.py` says what the script is called with. The rows on phantoms stand alone."
)

HEADINGS: Final = {
    "attention": Heading(
        title="Attention map",
        text="Ten structures and their bands; equal to scipy in double precision before anything is timed. "
        "SimpleITK's distances are one voxel shallower inside, hence its error.",
    ),
    "registration": Heading(
        title="Registration of a CT whose deformation is known",
        text="A CT deformed smoothly, with contrast and noise changed, and its true field.",
    ),
    "phantoms": Heading(
        title="Registration of phantoms",
        text="Synthetic patients of size `tiny` who breathed between the phases; mean error in the body. "
        "More patients in [quality of registration](registration-quality.md).",
    ),
    "components": Heading(
        title="Components", text="Painted components with the size, the center and the box of each."
    ),
    "metrics": Heading(
        title="Metrics of segmentation",
        text="The same scores from each library; ours gives recall, precision, both directions, ASSD, HD95 "
        "and NSD in the same time.",
    ),
    "matching": Heading(title="Matching of lymph nodes", text="By IoU; all find the same pairs."),
    "resampling": Heading(title="Resampling", text="From the grid of a scanner to the working grid."),
    "inference": Heading(
        title="Networks on a processor",
        text="Windows skipped where there is no attention change no bit; windows over the attention's box "
        "alone are a mode of their own. One thread.",
    ),
    "nnunet_inference": Heading(
        title="Networks beside nnU-Net's predictor",
        text="The same weights, the same image, one thread; error: 1 less the smallest Dice of a class with "
        "the label map of nnU-Net, for nnU-Net itself with the truth.",
    ),
    "augmentation": Heading(
        title="Augmentation of training patches",
        text="Two phases of a patch of 160×192×80 voxels with attention and labels, from memory; "
        "batchgeneratorsv2 with nnU-Net's list of changes.",
    ),
    "prepared_store": Heading(
        title="Prepared patients on the disk",
        text="A phantom of size `paper`, and the same at 512×512×300; bytes per voxel of the working grid, "
        "CPU time of a patch of 160×192×80. More in [decision 0032](decisions/0032-compressed-store.md).",
    ),
    "training_pipeline": Heading(
        title="A training that waits for its data",
        text="The network is a wait, as a GPU is for the processor; patients of 512×512×300 voxels, two "
        "patches of 160×192×80 an iteration.",
    ),
    "training_scale": Heading(
        title="What a training takes beside its network",
        text="From few patients and from many of 512×512×300 voxels, each row a process of its own; the "
        "network is small, patches and batches are the paper's.",
    ),
    "threads": Heading(
        title="Threads beside other work",
        text="Iterations of a small network, alone and beside one busy process per processor.",
    ),
    "partial_labels": Heading(
        title="Partial label maps",
        text="Dice over `nano` phantoms that teach nobody; three trainings of equal length "
        "([decision 0038](decisions/0038-partial-labels.md)).",
    ),
    "regions": Heading(
        title="Windows over body and pancreas alone", text="Stage by stage, with the shipped networks."
    ),
    "profile": Heading(title="One patient", text="Where the time goes."),
    "scaling": Heading(
        title="Growth",
        text="CPU seconds with the number of voxels, registration an eighth of it; exponent 1 is linear.",
    ),
    "paper_plan": Heading(
        title="Plan of a real study",
        text="749 patients of 512×512×300 voxels; arithmetic from the settings of preset `paper`, from given "
        "seconds and from what was measured. How to read it: [what a real study costs](costs.md).",
    ),
}
"""Title and text by the name of the section, in the order of the page."""

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "attention": (*FULL, "--whole"),
    "components": FULL,
    "matching": FULL,
    "inference": FULL,
    "nnunet_inference": FULL,
    "training_scale": ("--whole",),
    "paper_plan": ("--seconds", "0.2", "--registration", "30", "--processors", "2"),
}
FILES: Final = {"attention": "attention_map.py", "profile": "patient_profile.py"}
"""Scripts that are not called like their section."""
NEEDS_CHANGES: Final = (
    "It needs batchgeneratorsv2, which `make setup` installs; then `make bench ONLY=augmentation`."
)


def lacking(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the sections that cannot run here, with what they need."""
    found = {}
    if not (environment.get("LYMPHCT_PAIR_SCRIPT") and environment.get("LYMPHCT_CT")):
        found["registration"] = NEEDS_CT
    if importlib.util.find_spec("batchgeneratorsv2") is None:
        found["augmentation"] = NEEDS_CHANGES
    return found
