"""What stands below the options in each command's help: an example or two, and the global options."""

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Final, get_args, get_origin

import typer
from typer.models import OptionInfo

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "demo": ("lymphct demo --out lymphct-demo",),
    "predict": (
        "lymphct predict --venous venous.nii.gz --arterial arterial.nii.gz --out results/case7",
        "lymphct predict cohort.csv --bundle runs/first/bundle --out results --jobs 4",
        "lymphct predict --venous export/venous --arterial export/arterial --dicom --out results/case8",
    ),
    "dicom": ("lymphct dicom results/case8 --venous export/venous",),
    "annotate": ("lymphct annotate cohort.csv --results results --out readers --top 20",),
    "train": (
        "lymphct train all --cohort cohort.csv --out runs/first --imagenet resnet18.safetensors --dry-run",
        "lymphct train all --cohort cohort.csv --out runs/first --imagenet resnet18.safetensors --resume",
        "lymphct train structures --cohort cohort.csv --out runs/first --teacher masks --rounds 2",
        "lymphct train tumor --cohort cohort.csv --out runs/first --few",
    ),
    "crossval": (
        "lymphct crossval cohort.csv --out study --external other.csv --given structures,tumor --jobs 4",
        "lymphct crossval study --next",
        "lymphct crossval study --plan sbatch",
        "lymphct crossval study --cluster slurm:partition=gpu,gpus=1,hours=24",
    ),
    "study show": (
        "lymphct study show study",
        "lymphct study show study --json",
        "lymphct study show runs/first",
    ),
    "prepare": ("lymphct prepare cohort.csv --out runs/prepared --config phantom_tiny",),
    "import folder": (
        "lymphct import export --out cohorts/hospital --jobs 4",
        "lymphct import export --out cohorts/hospital --accept --choices choices.csv --jobs 4",
        "lymphct import Task07_Pancreas --dataset msd-pancreas --out cohorts/msd --jobs 4",
        "lymphct import files --layout hospital.yaml --out cohorts/hospital",
    ),
    "serve": (
        "lymphct serve --watch inbox --out outbox --dicom",
        "lymphct serve --watch inbox --out outbox --once --settle 5",
        "lymphct serve --watch inbox --out outbox --listen 11112 --title LYMPHCT",
    ),
    "evaluate segmentation": (
        "lymphct evaluate segmentation --prediction masks --truth drawn --out scores/structures",
        "lymphct evaluate segmentation --preset table3 --truth cohort.csv --method A=res/a --out table3",
    ),
    "evaluate instances": (
        "lymphct evaluate instances --prediction found.nii.gz --truth nodes.nii.gz --out scores/nodes",
    ),
    "evaluate status": ("lymphct evaluate status scores.csv --out scores/status",),
    "evaluate cohort": ("lymphct evaluate cohort --results results --cohort cohort.csv --out scores/cohort",),
    "compare": ("lymphct compare combined.csv radiomics.csv --out comparison.json",),
    "consistency": ("lymphct consistency", "lymphct consistency table.csv --strict --json"),
    "attention": ("lymphct attention --structures total.nii.gz --labels totalsegmentator --out att.nii.gz",),
    "trace": ("lymphct trace --venous v.nii.gz --arterial a.nii.gz --structures total.nii.gz --out traced",),
    "structures": ("lymphct structures --list", "lymphct structures --list --json"),
    "register": ("lymphct register --fixed venous.nii.gz --moving arterial.nii.gz --out registered",),
    "export nnunet": (
        "lymphct export nnunet cohort.csv --out nnUNet_raw --number 501 --name Structures --channels A,V",
    ),
    "import nnunet": (
        "lymphct import nnunet nnUNetTrainer__nnUNetPlans__3d_fullres --out bundles/organs --as structures",
    ),
    "phantom": ("lymphct phantom phantoms --patients 20 --size tiny --seed 7",),
    "check": (
        "lymphct check cohort.csv",
        "lymphct check cohort.csv --for train --config phantom_tiny --json",
    ),
    "doctor": ("lymphct doctor --device cuda",),
    "models verify": (
        "lymphct models verify runs/first/bundle",
        "lymphct models verify runs/first/bundle --public-key public.pem",
    ),
    "models sign": ("lymphct models sign runs/first/bundle --key key.pem",),
    "models convert": ("lymphct models convert resnet18-f37072fd.pth --out resnet18.safetensors",),
    "models trained-on": ("lymphct models trained-on runs/first/bundle cohort.csv",),
    "config show": ("lymphct config show --config phantom_tiny --set nodes.threshold=0.4",),
}
"""Lines that can be typed as they are, by the words of the command."""

_WIDTH: Final = 21
_VALUES: Final = {bool: "", int: " N", int | None: " N", str: " TEXT", str | None: " TEXT"}
_AS_WRITTEN: Final = "\b"
"""A paragraph that begins with it is not wrapped anew."""


def add_epilogs(app: typer.Typer, global_options: Callable[..., None], words: tuple[str, ...] = ()) -> None:
    """Give every command of a program its examples and the list of global options.

    Args:
        app: the program or a group of it.
        global_options: the callback that declares them.
        words: that call the group.

    """
    below = "\n".join(
        [_AS_WRITTEN, "Global options, before or after the command:", *_options(global_options)]
    )
    for command in app.registered_commands:
        shown = EXAMPLES.get(" ".join((*words, str(command.name))), ())
        examples = "\n".join([_AS_WRITTEN, "Examples:", *(f"  {line}" for line in shown), "", ""])
        command.epilog = f"{examples if shown else ''}{below}"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_epilogs(group.typer_instance, global_options, (*words, str(group.name)))


def _options(declaring: Callable[..., None]) -> Iterator[str]:
    """Yield a line per option that a function declares: its names and what it does."""
    for name, parameter in inspect.signature(declaring).parameters.items():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        kind, *notes = get_args(parameter.annotation)
        option = next(note for note in notes if isinstance(note, OptionInfo))
        # The first name that is declared stands where a default value would.
        declared = [word for word in (option.default, *(option.param_decls or ())) if isinstance(word, str)]
        names = ", ".join(declared or (f"--{name}",))
        yield f"  {names + _VALUES.get(kind, ' KEY=VALUE'):{_WIDTH}}{option.help}"
