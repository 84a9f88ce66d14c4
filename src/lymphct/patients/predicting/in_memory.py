"""The method from Python: a bundle, two images, a prediction, and the folder it is written to."""

from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from lymphct.cascade.models import Models
from lymphct.cascade.patient import predict_patient
from lymphct.config import Config
from lymphct.core.errors import InputError
from lymphct.core.patient import PatientInput, Prediction
from lymphct.core.terms import RegistrationMethod, Structure
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import Source
from lymphct.io.images.in_memory import digest_volume
from lymphct.io.images.labels import label_scheme
from lymphct.io.manifest_check import ID_CURE, is_allowed_id
from lymphct.io.models.bundles import shipped_bundle_path
from lymphct.io.models.loading import models_in
from lymphct.io.results.fingerprints import code_version, fingerprint
from lymphct.io.results.store import committed_folder
from lymphct.patients.predicting.files import write_prediction
from lymphct.patients.reading import read_patient

if TYPE_CHECKING:
    from lymphct.io.results.jsonfile import JSON

Image = str | PathLike[str] | Volume
"""A NIfTI file, a DICOM folder, or an image in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The images of one patient, as `patients.reading.Sources`."""

    patient_id: str
    venous: Source
    arterial: Source | None
    structures: Source | None
    tumor: Source | None
    nodes: Source | None
    labelled: tuple[Structure, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """How a patient was predicted, besides the models."""

    config: Config
    fill_structures: bool
    registration: RegistrationMethod | None


def load_bundle(path: str | PathLike[str] | None = None, device: str = "auto") -> Models:
    """Return the networks of a bundle, ready to predict.

    Args:
        path: folder of the bundle; None for the one that comes with the package, trained on phantoms.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: the bundle is refused.

    """
    folder = shipped_bundle_path() if path is None else Path(path)
    return models_in(folder.resolve(), device)


def predict(  # noqa: PLR0913 - the options of `lymphct predict`
    venous: Image,
    arterial: Image | None = None,
    *,
    structures: Image | None = None,
    tumor: Image | None = None,
    nodes: Image | None = None,
    bundle: Models | str | PathLike[str] | None = None,
    config: Config | None = None,
    labels: str = "auto",
    registration: RegistrationMethod | None = None,
    fill_structures: bool = False,
    patient_id: str = "patient",
) -> Prediction:
    """Find and call the lymph nodes of one patient and predict the LN-metastasis status (Fig. 2).

    Images in memory meet the checks that files meet.

    Args:
        venous: the reference phase, HU.
        arterial: the other phase, on its own grid; None when it was not acquired.
        structures: label map of organs and vessels on the venous grid; None lets the network find them.
        tumor: 0/1 mask on the venous grid; None likewise.
        nodes: drawn nodes, 1 positive and 2 negative, on the venous grid; None likewise. A file may be an
            instance map with a JSON file beside it.
        bundle: models, or their folder; None for the shipped ones. Load them once for many patients.
        config: settings of attention, registration and notices; None for the defaults.
        labels: numbering of `structures`: `auto` (the names in the file, else ours), `lymphct`,
            `totalsegmentator` or the path of a YAML file.
        registration: method; None = as the bundle was trained.
        fill_structures: let the network add structures the label map lacks.
        patient_id: pseudonym in results; never taken from files.

    Returns:
        Everything on the venous grid; `save(folder)` writes what `lymphct predict` writes. It keeps the
        images and the models until then.

    Raises:
        InputError: an image is refused, or two of them do not belong together.
        ModelError: the bundle is refused, or lacks a network that is needed.

    """
    if not is_allowed_id(patient_id):
        # Not quoted: scripts pass what they find, and it may be a patient's name.
        msg = "the patient_id is not allowed"
        raise InputError(msg, code="E_PATIENT_ID", cure=ID_CURE)
    models = bundle if isinstance(bundle, Models) else load_bundle(bundle)
    config = config or Config()
    given = _Given(
        patient_id=patient_id,
        venous=_source(venous),
        arterial=_optional(arterial),
        structures=_optional(structures),
        tumor=_optional(tumor),
        nodes=_optional(nodes),
    )
    patient = read_patient(given, labels=label_scheme(labels))
    prediction = predict_patient(
        patient,
        models,
        config,
        fill_structures=fill_structures,
        registration=registration,
    )
    chosen = _Chosen(config=config, fill_structures=fill_structures, registration=registration)
    return replace(prediction, writer=partial(_save, patient=patient, models=models, chosen=chosen))


def _source(image: Image) -> Source:
    return image if isinstance(image, Volume) else Path(image)


def _optional(image: Image | None) -> Source | None:
    return None if image is None else _source(image)


def _save(
    prediction: Prediction,
    folder: str,
    *,
    patient: PatientInput,
    models: Models,
    chosen: _Chosen,
) -> None:
    """Write a predicted patient whole or not at all; what was there before of ours is replaced."""
    images = {
        "venous": patient.venous,
        "arterial": patient.arterial,
        "structures": patient.structures,
        "tumor": patient.tumor,
        "nodes": None if patient.nodes is None else patient.nodes.instances,
    }
    digests = {role: digest_volume(image) for role, image in images.items() if image is not None}
    settings: dict[str, JSON] = {
        "patient_id": patient.patient_id,
        "config": chosen.config.model_dump(mode="json"),
        "fill_structures": chosen.fill_structures,
        "registration": chosen.registration,
    }
    origin = fingerprint(digests, settings, code_version("patients.predicting.in_memory"), models.digest)
    with committed_folder(Path(folder), origin) as staging:
        write_prediction(staging, prediction, patient, models, viewer=chosen.config.report.viewer)
