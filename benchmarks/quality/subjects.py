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
from lymphct.cascade.examination import Given
from lymphct.cascade.models import Models, Trained
from lymphct.cascade.patient import given_on_grid
from lymphct.core.arrays import Vector3
from lymphct.core.patient import Multiphase, NodeMap, PatientInput
from lymphct.core.terms import NodeClass, RegistrationMethod
from lymphct.io.models.bundles import read_bundle
from lymphct.io.models.loading import load_models
from lymphct.io.results.code import imported_by
from lymphct.io.results.fingerprints import digest_file
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.io.results.made import Recipe, made
from lymphct.learning.devices import chosen_device
from lymphct.learning.inference_settings import Precision
from lymphct.learning.settings import SegmentationTrainingSettings
from lymphct.nodes.features import node_features
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.registration.settings import RegistrationSettings

Record = Mapping[str, Any]
"""What was measured on one patient, as read back from JSON."""

SCRIPTS: Final = tuple(sorted(Path(__file__).parent.glob("*.py")))
"""Whose change, or that of the code they import, makes records worthless."""

RECORD_FILE: Final = "record.json"

N = TypeVar("N", bound=nn.Module)
S = TypeVar("S", bound=SegmentationTrainingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Synthetic patients, told apart by their index, their phases brought together by `registration`."""

    phantoms: PhantomSettings
    seed: int
    registration: RegistrationMethod = "none"

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
        return kept_record(self.work, measuring_recipe(settings), index, lambda: self._measured(index))

    def _measured(self, index: int) -> dict[str, JSON]:
        subject = self.cohort.subject(index, self.spacing)
        return {
            "patient": subject.patient_id,
            "positive": [node.node_class is NodeClass.POSITIVE for node in subject.nodes.nodes],
            "features": node_features(subject.nodes, subject.ct).tolist(),
        }


def kept_record(work: Path, recipe: Recipe, index: int, measure: Callable[[], dict[str, JSON]]) -> Record:
    """Return the record of a patient, from its folder where it has one of this recipe."""
    place = made(
        work / recipe.key[:16] / f"{index:04d}",
        recipe,
        lambda folder: write_json(folder / RECORD_FILE, measure()),
    )
    stored: Any = read_json(place / RECORD_FILE)
    return dict(stored)


def measuring_recipe(settings: JSON, inputs: Mapping[str, str] | None = None, bundle: str = "") -> Recipe:
    """Return the recipe of a record; `inputs` are added to the scripts that measure."""
    digests = {**digests_of(*SCRIPTS), **(inputs or {})}
    return Recipe(inputs=digests, settings=settings, code=imported_by(*SCRIPTS), bundle=bundle)


@cache
def digests_of(*scripts: Path) -> Mapping[str, str]:
    """Return the digests of scripts by their names, as they were when first asked for."""
    return {script.name: digest_file(script) for script in scripts}


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
