"""A cohort as a raw data set of nnU-Net v2, on the working grid of the store (`lymphct export nnunet`)."""

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal, get_args

from lymphct.attention.bands import bands_of
from lymphct.config import Config
from lymphct.core.errors import InputError, UsageError
from lymphct.core.leakage import Roles
from lymphct.core.volume import Volume
from lymphct.io.images.labels import Scheme
from lymphct.io.images.nifti import write_nifti
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.results.jsonfile import JSON, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.usable import free_space
from lymphct.learning.cases import attention_values
from lymphct.patients.foresight.outlook import Need
from lymphct.patients.foresight.space import require_room, room_to_prepare
from lymphct.patients.nnunet.labels import IMAGE_OF, Classes, Target, classes_of, label_map
from lymphct.patients.prepared.dataset import PreparedCohort, StoredPatient
from lymphct.patients.prepared.memory import venous_grids
from lymphct.patients.prepared.preparation import Preparation
from lymphct.patients.prepared.whole_cohort import whole_cohort

logger = logging.getLogger(__name__)

Channel = Literal["arterial", "venous", "attention"]
"""An input channel; in text A, V and attention."""
LETTERS: Final[Mapping[str, Channel]] = {"a": "arterial", "v": "venous"}
SCHEMES: Final[Mapping[Channel, str]] = {"arterial": "CT", "venous": "CT", "attention": "noNorm"}
"""nnU-Net chooses the normalisation of a channel by its name."""

ENDING: Final = ".nii.gz"
SPLITS_FILE: Final = "splits_final.json"
OURS: Final = "lymphct"
"""Key of `dataset.json` under which stands what nnU-Net does not ask for and an import needs."""
PER_VOXEL: Final = 2.0
"""Bytes a compressed channel takes at most; noisy phases of phantoms take 1.4."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NnunetExport:
    """What to export, and where.

    Attributes:
        out: receives `DatasetNNN_Name`, for instance the folder `nnUNet_raw`.
        number: NNN, 1 to 999.
        name: of the data set.
        channels: input channels in their order.
        target: what the labels show.
        folds: training and held-out patients of each fold.
        is_phantom: whether a patient is synthetic, which a network that comes back says first.
        config: settings of grid, registration and attention.
        labels: numbering of the structures in the cohort's files.
        work: store of the prepared patients; None keeps it in `out`.
        rehash: hash every input, even where its files look untouched.

    """

    out: Path
    number: int
    name: str
    channels: tuple[Channel, ...] = ("arterial", "venous")
    target: Target = "structures"
    folds: tuple[Roles, ...]
    is_phantom: bool = False
    config: Config
    labels: Scheme = "auto"
    work: Path | None = None
    rehash: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.number <= 999 and _NAME.fullmatch(self.name)):
            msg = f"Dataset{self.number:03d}_{self.name[:40]} is no name of a data set of nnU-Net"
            raise UsageError(msg, cure="give a number of 1 to 999 and a name of letters, digits and hyphens")

    @property
    def folder(self) -> Path:
        """The data set."""
        return self.out / f"Dataset{self.number:03d}_{self.name}"

    @property
    def preparation(self) -> Preparation:
        """How the patients are prepared."""
        return Preparation(
            folder=self.work or self.out / "prepared",
            spacing=self.config.imaging.spacing,
            registration=self.config.registration,
            labels=self.labels,
            rehash=self.rehash,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Attributes:
        folder: the data set.
        train: patients with labels.
        test: patients without, or kept for the test.
        left_out: why a patient is in neither, by id.

    """

    folder: Path
    train: tuple[str, ...]
    test: tuple[str, ...]
    left_out: Mapping[str, str]


def channels_of(text: str) -> tuple[Channel, ...]:
    """Return the channels that a text such as `A,V,attention` names.

    Raises:
        UsageError: a name that is none, one given twice, or no phase at all.

    >>> channels_of("A,V"), channels_of("V,attention")
    (('arterial', 'venous'), ('venous', 'attention'))
    """
    known = {channel: channel for channel in get_args(Channel)} | dict(LETTERS)
    words = [word.strip().casefold() for word in text.split(",")]
    odd = [word for word in words if word not in known]
    channels = tuple(known[word] for word in words if word in known)
    if odd or len(set(channels)) < len(channels) or not set(channels) - {"attention"}:
        msg = f"--channels {text[:40]!r} names {odd[0]!r}" if odd else f"--channels {text[:40]!r}"
        raise UsageError(msg, code="E_CHANNELS", cure="give A, V or A,V, with attention behind if wanted")
    return channels


def export_nnunet(
    manifest: Manifest,
    request: NnunetExport,
    *,
    jobs: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Prepare the cohort and write the data set, whole or not at all.

    Patients are prepared first and kept, so that an interrupted export goes on where it was; one that is
    there from the same patients and settings is kept as it is.

    Raises:
        InputError: patients cannot be read, nobody has the labels, or a fold has nobody on one side.
        EnvironmentProblemError: no space, no memory.
        OutputInUseError: the folder holds something else.

    """
    records = [record for record in manifest.patients if not record.is_excluded]
    require_room(_room(records, request), request.out)
    cohort = whole_cohort(records, request.preparation, jobs=jobs, done=progress)
    left_out = {name: reason for name in cohort if (reason := _lacks_channel(cohort[name], request))}
    for name, reason in left_out.items():
        logger.warning("%s: left out, %s", name, reason)
    asked = {record.patient_id for record in records if record.may_teach} & set().union(
        *(fold.everybody for fold in request.folds)
    )
    there = [name for name in cohort if name not in left_out]
    train = [n for n in there if n in asked and cohort[n].view(IMAGE_OF[request.target]) is not None]
    if not train:
        msg = f"no training patient has a {IMAGE_OF[request.target]} mask and all channels"
        raise InputError(msg, code="E_NO_LABELS", cure="fill the columns of the manifest")
    splits = _splits(request.folds, train)
    classes = classes_of(request.target, [cohort[name] for name in train])
    test = [name for name in there if name not in train]
    recipe = Recipe(
        inputs={name: cohort[name].digest for name in there},
        settings=_settings(request, classes, splits, test),
        code=("patients.nnunet.export",),
    )
    write = partial(_write, cohort=cohort, request=request, classes=classes, splits=splits, test=test)
    made(request.folder, recipe, write)
    return Exported(folder=request.folder, train=tuple(train), test=tuple(test), left_out=left_out)


def _room(records: Sequence[PatientRecord], request: NnunetExport) -> Need:
    need = room_to_prepare(records, request.preparation, request.out)
    grids = venous_grids(records)
    spacing = request.config.imaging.spacing
    voxels = sum(
        math.prod(grid.shape) * math.prod(grid.spacing) / math.prod(spacing) for grid in grids.values()
    )
    written = math.ceil(voxels * PER_VOXEL * (len(request.channels) + 0.1))
    return Need(needed=need.needed + written, free=free_space(request.out))


def _lacks_channel(patient: StoredPatient, request: NnunetExport) -> str:
    for channel in request.channels:
        name = "structures" if channel == "attention" else channel
        if patient.view(name) is None:
            return "no structures, so no attention" if channel == "attention" else f"no {channel} phase"
    return ""


def _splits(folds: Sequence[Roles], train: Sequence[str]) -> list[dict[str, list[str]]]:
    """Return `splits_final.json`: our folds without those who have no labels."""
    there = set(train)
    splits = []
    for number, fold in enumerate(folds):
        sides = {
            "train": sorted(there & set(fold.train)),
            "val": sorted(there & set(fold.validation)),
        }
        for side, names in sides.items():
            if not names:
                msg = f"fold {number} has no patient with labels in {side!r} ({len(there)} have labels)"
                raise InputError(msg, code="E_COHORT_SIZE", cure="give fewer --folds or more patients")
        splits.append(sides)
    return splits


def _settings(
    request: NnunetExport,
    classes: Classes,
    splits: Sequence[Mapping[str, Sequence[str]]],
    test: Sequence[str],
) -> dict[str, JSON]:
    config = request.config
    return {
        "channels": list(request.channels),
        "target": request.target,
        "classes": list(classes.names),
        "is_phantom": request.is_phantom,
        "attention": config.attention.model_dump(mode="json"),
        "spacing": list(config.imaging.spacing),
        "registration": config.registration.method,
        "splits": [{side: list(names) for side, names in split.items()} for split in splits],
        "test": list(test),
    }


def _write(  # noqa: PLR0913 - what a data set is made of, by keyword
    folder: Path,
    *,
    cohort: PreparedCohort,
    request: NnunetExport,
    classes: Classes,
    splits: Sequence[Mapping[str, Sequence[str]]],
    test: Sequence[str],
) -> None:
    train = sorted({name for split in splits for names in split.values() for name in names})
    ignores = False
    for place in ("imagesTr", "labelsTr", "imagesTs"):
        (folder / place).mkdir()
    for name in train:
        _write_images(folder / "imagesTr", cohort[name], request)
        labels = label_map(cohort[name], classes)
        ignores |= bool((labels.array == classes.ignored).any())
        write_nifti(folder / "labelsTr" / f"{name}{ENDING}", labels)
    for name in test:
        _write_images(folder / "imagesTs", cohort[name], request)
    write_json(folder / SPLITS_FILE, [{side: list(ids) for side, ids in split.items()} for split in splits])
    # nnU-Net takes labels in the order of the file, which `write_json` sorts by name: their numbers decide.
    write_json(
        folder / "dataset.json",
        {
            "channel_names": {str(n): SCHEMES[channel] for n, channel in enumerate(request.channels)},
            "labels": dict(classes.labels(with_ignore=ignores)),
            "numTraining": len(train),
            "file_ending": ENDING,
            "overwrite_image_reader_writer": "SimpleITKIO",
            OURS: _settings(request, classes, splits, test),
        },
    )
    logger.info("%s: %d training and %d other patients", request.folder.name, len(train), len(test))


def _write_images(folder: Path, patient: StoredPatient, request: NnunetExport) -> None:
    for number, channel in enumerate(request.channels):
        path = folder / f"{patient.patient_id}_{number:04d}{ENDING}"
        write_nifti(path, _channel(patient, channel, request.config))


def _channel(patient: StoredPatient, channel: Channel, config: Config) -> Volume:
    if channel == "attention":
        view = patient.attention_view(bands_of(config.attention), config.attention)
        volume = None if view is None else view.whole()
        found = None if volume is None else volume.with_array(attention_values(volume.array))
    else:
        view = patient.view(channel)
        found = None if view is None else view.whole()
    if found is None:
        msg = f"no {channel}"
        raise InputError(msg, code="E_DAMAGED", cure="run it again").at(patient=patient.patient_id)
    return found
