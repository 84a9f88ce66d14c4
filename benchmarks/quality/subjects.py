"""Unseen synthetic patients, the networks that meet them, and records that survive an interruption.

Records lie in a folder named after everything they depend on: a measurement goes on where it stopped, and a
changed bundle or generator is measured anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from torch import nn

from lymphct.cascade.alignment import align
from lymphct.cascade.description import RegistrationName
from lymphct.cascade.examination import Given
from lymphct.cascade.models import Models, Trained, load_models
from lymphct.cascade.patient import given_on_grid
from lymphct.core.arrays import Vector3
from lymphct.core.patient import Multiphase, NodeMap
from lymphct.core.terms import NodeClass
from lymphct.io.models.bundles import read_bundle
from lymphct.io.results.fingerprints import (
    PACKAGE_FOLDER,
    code_version,
    digest_file,
    fingerprint,
    fingerprint_key,
)
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.learning.devices import chosen_device
from lymphct.learning.inference_settings import Precision
from lymphct.learning.segmentation import SegmentationTrainingSettings
from lymphct.nodes.features import node_features
from lymphct.patients.reading import PatientInput
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.registration.registering import RegistrationSettings

Record = Mapping[str, Any]
"""What was measured on one patient, as read back from JSON."""

ROOMS: Final = (
    "core",
    "imaging",
    "phantom",
    "attention",
    "learning",
    "evaluation",
    "anatomy",
    "nodes",
    "metastasis",
)
MODULES: Final = ("alignment.py", "cascade.py", "fusion.py", "models.py", "patient.py")
"""Code whose change makes records worthless: rooms, and modules of `workflow`."""

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S", bound=SegmentationTrainingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Synthetic patients, told apart by their index, their phases brought together by `registration`."""

    phantoms: PhantomSettings
    seed: int
    registration: RegistrationName = "none"

    def subject(self, index: int, spacing: Vector3) -> "Subject":
        """Make a patient and bring phases and truth onto the working grid, as `lymphct predict` would."""
        phantom = generate_patient(self.phantoms, seed=self.seed, index=index)
        patient = PatientInput(
            patient_id=f"phantom-{self.seed}-{index:04d}",
            venous=phantom.venous,
            arterial=phantom.arterial,
            structures=phantom.structures,
            tumor=phantom.tumor,
            nodes=phantom.nodes,
        )
        how = RegistrationSettings(method=self.registration)
        ct = align(patient.venous, patient.arterial, spacing, how).ct
        truth = given_on_grid(patient, ct, fill_structures=False)
        return Subject(patient_id=patient.patient_id, n_status=phantom.n_status, ct=ct, truth=truth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A synthetic patient on the working grid: phases in HU, and everything that is to be found."""

    patient_id: str
    n_status: int
    ct: Multiphase
    truth: Given

    @property
    def nodes(self) -> NodeMap:
        """The true lymph nodes."""
        if self.truth.nodes is None:
            msg = "a synthetic patient always has a node map"
            raise TypeError(msg)
        return self.truth.nodes


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExamples:
    """Features and classes of the true nodes of synthetic patients; called with the index of one."""

    cohort: Cohort
    spacing: Vector3
    work: Path

    def __call__(self, index: int) -> Record:
        """Return the record of a patient, measured now or before."""
        settings: dict[str, JSON] = {
            "phantoms": self.cohort.phantoms.model_dump(mode="json"),
            "seed": self.cohort.seed,
            "registration": self.cohort.registration,
            "spacing": list(self.spacing),
        }
        origin = fingerprint({}, settings, measuring_code())
        return kept_record(self.work, origin, index, lambda: self._measured(index))

    def _measured(self, index: int) -> dict[str, JSON]:
        subject = self.cohort.subject(index, self.spacing)
        return {
            "patient": subject.patient_id,
            "positive": [node.node_class is NodeClass.POSITIVE for node in subject.nodes.nodes],
            "features": node_features(subject.nodes, subject.ct).tolist(),
        }


def kept_record(
    work: Path, origin: Mapping[str, JSON], index: int, measure: Callable[[], dict[str, JSON]]
) -> Record:
    """Return the record of a patient, from its file where it has one of this origin."""
    file = work / fingerprint_key(origin)[:16] / f"{index:04d}.json"
    if not file.exists():
        record = measure()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, record)
    stored: Any = read_json(file)
    return dict(stored)


@cache
def measuring_code() -> str:
    """Return a version of all code a record depends on."""
    files = [PACKAGE_FOLDER / "workflow" / name for name in MODULES]
    files += sorted(Path(__file__).parent.glob("*.py"))
    return " ".join([code_version(*ROOMS), *(digest_file(file)[:16] for file in files)])


@cache
def models_of(folder: Path, precision: Precision | None, device: str) -> Models:
    """Load the networks of a bundle, their windows at another precision if one is named."""
    models = load_models(read_bundle(folder), chosen_device(device))
    if precision is None:
        return models
    return replace(
        models,
        structures=_at(models.structures, precision),
        tumor=_at(models.tumor, precision),
        nodes=_at(models.nodes, precision),
    )


def _at(trained: Trained[N, S] | None, precision: Precision) -> Trained[N, S] | None:
    if trained is None:
        return None
    inference = trained.settings.inference.model_copy(update={"precision": precision})
    return Trained(trained.network, trained.settings.model_copy(update={"inference": inference}))
