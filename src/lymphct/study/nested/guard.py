"""What tasks hand to one another: nothing is handed out for a patient it was fitted on (decision 0006).

Every artefact says on whom it was fitted, by hashed ids. The functions here are the only ones that open one,
and each asks for whom it is to be used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lymphct.attention.atlas import Atlas
from lymphct.attention.bands import bands_from_mapping
from lymphct.attention.trapezia import Trapezia
from lymphct.cascade.description import NetworkIntensity
from lymphct.cascade.learned import Learned
from lymphct.cascade.sight import Sight
from lymphct.core.errors import LeakageError
from lymphct.core.evidence import Evidence
from lymphct.core.leakage import NOBODY, FittedOn
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import Bundle, read_bundle
from lymphct.io.results.jsonfile import JSON, read_json, write_json
from lymphct.study.bundling import parts_in
from lymphct.study.evidence import EVIDENCE_FILE, stored_evidence
from lymphct.study.nested.plan import CascadeRole, NestedPlan
from lymphct.study.tasks.board import TASKS

if TYPE_CHECKING:
    from lymphct.cascade.models import Models
    from lymphct.cascade.parts import Part

BUNDLE: Final = "bundle"
"""Folder of the bundle within the result of a task."""
LEARNED_FILE: Final = "learned.json"


@dataclass(frozen=True, slots=True)
class Artefacts:
    """The results of a study that is under way.

    Whom the networks of a cascade know is read once: a judge asks it for every patient.
    """

    run: Path
    plan: NestedPlan
    _known: dict[str, FittedOn] = field(default_factory=dict, compare=False, repr=False)

    def place(self, name: str) -> Path:
        """Return the folder of a task's result."""
        return self.run / TASKS / name

    def learned(self, cascade: CascadeRole, chooses: Iterable[str] = ()) -> Learned:
        """Return intensities, bands and what was fitted in their place, for a training.

        Args:
            cascade: whose.
            chooses: validation patients of the training.

        Raises:
            LeakageError: they were measured in one of them.

        """
        found = read_learned(self.place(cascade.learned(self.plan)) / LEARNED_FILE, self.plan.salt)
        groups = [sight.fitted_on for sight in found.sights.values()]
        _require_unseen((*groups, *found.fitted_on.values()), chooses)
        return found

    def part(self, cascade: CascadeRole, stage: StageName, chooses: Iterable[str]) -> "Part":
        """Return a trained part that another training starts from.

        Args:
            cascade: whose.
            stage: which.
            chooses: validation patients of that training.

        Raises:
            LeakageError: the part learned from one of them.

        """
        part = parts_in(self.bundle_of_part(cascade, stage), [stage])[stage]
        _require_unseen((part.train,), chooses)
        return part

    def bundle_of_part(self, cascade: CascadeRole, stage: StageName) -> Bundle:
        """Return the bundle that holds one part of a cascade, to put it into another with what it knows."""
        is_shared = stage in {StageName.STRUCTURES, StageName.TUMOR}
        name = f"{stage}.{cascade.shared if is_shared else cascade.name}"
        return read_bundle(self.place(name) / BUNDLE)

    def models(self, cascade: CascadeRole, patients: Sequence[str], device: str) -> "Models":
        """Return the networks of a cascade to examine patients with.

        Raises:
            LeakageError: they learned from one of them, and the study does not say so in its tables.

        """
        from lymphct.io.models.loading import models_in  # noqa: PLC0415 - loads torch

        folder = self._bundle(cascade)
        declared = self._declared(cascade)
        _require_unseen((self._seen(cascade),), [name for name in patients if name not in declared])
        return models_in(folder, device)

    def evidence(self, cascade: CascadeRole, cohort: str, patient: str) -> Evidence | None:
        """Return what a cascade saw in a patient; None where the patient's images were refused.

        Of patients whose leak is declared nobody is named who taught the models: a method would refuse them.

        Raises:
            LeakageError: the cascade learned from the patient, and the study does not say so.

        """
        folder = self.place(f"examine.{cascade.name}.{cohort}") / patient
        if not (folder / EVIDENCE_FILE).exists():
            return None
        found = stored_evidence(folder, self.plan.patients[patient].clinical, self._seen(cascade))
        if patient in self._declared(cascade):
            return replace(found, fitted_on=NOBODY)
        found.fitted_on.require_unseen(patient)
        return found

    def _seen(self, cascade: CascadeRole) -> FittedOn:
        """Return everybody whom a network of a cascade learned from; it may be another's network."""
        name = cascade.trained.name
        if name not in self._known:
            self._known[name] = read_bundle(self._bundle(cascade)).info.fitted_on_anybody
        return self._known[name]

    def _bundle(self, cascade: CascadeRole) -> Path:
        return self.place(f"bundle.{cascade.trained.name}") / BUNDLE

    def _declared(self, cascade: CascadeRole) -> frozenset[str]:
        """Return whom a cascade may see although they taught it: `--features paper`, said in every table."""
        return frozenset(cascade.roles(self.plan).everybody if self.plan.features == "paper" else ())


def _require_unseen(groups: Iterable[FittedOn], patients: Iterable[str]) -> None:
    asked = tuple(patients)
    for group in groups:
        for name in asked:
            group.require_unseen(name)


def require_foreign(bundle: Bundle, stages: Iterable[StageName], patients: Iterable[str]) -> None:
    """Refuse a bundle from elsewhere whose networks learned from patients of the study.

    Raises:
        LeakageError: that is so; names the first.

    """
    for stage in stages:
        seen = FittedOn(hashes=bundle.info.parts[stage].seen, salt=bundle.info.salt)
        known = [name for name in patients if name in seen]
        if known:
            more = f" (and from {len(known) - 1} more)" if len(known) > 1 else ""
            msg = f"the {stage} network given with --init learned from this patient{more}"
            raise LeakageError(msg, cure=f"let the study learn {stage}, or leave the patient out").at(
                patient=known[0]
            )


def write_learned(path: Path, learned: Learned, salt: str) -> None:
    """Write intensities, bands and what was fitted in their place, with the hashed ids behind them."""
    record: dict[str, JSON] = {
        "sights": {
            stage: sight.described(salt).model_dump(mode="json") for stage, sight in learned.sights.items()
        },
        "bands": {s.label: {"d_min": b.d_min, "d_max": b.d_max} for s, b in learned.bands.items()},
        **({} if learned.atlas is None else {"atlas": learned.atlas.model_dump(mode="json")}),
        **({} if learned.trapezia is None else {"trapezia": learned.trapezia.model_dump(mode="json")}),
        "fitted_on": {what: list(group.hashed(salt)) for what, group in learned.fitted_on.items()},
    }
    write_json(path, record)


def read_learned(path: Path, salt: str) -> Learned:
    """Read what `write_learned` wrote.

    Raises:
        InputError: damaged.

    """
    record: Any = read_json(path)
    sights: Mapping[str, Any] = record["sights"]
    return Learned(
        sights={
            StageName(stage): Sight.of_part(NetworkIntensity.model_validate(entry), salt)
            for stage, entry in sights.items()
        },
        bands=bands_from_mapping(record["bands"]),
        atlas=Atlas.model_validate(record["atlas"]) if "atlas" in record else None,
        trapezia=Trapezia.model_validate(record["trapezia"]) if "trapezia" in record else None,
        fitted_on={
            what: FittedOn(hashes=frozenset(hashes), salt=salt)
            for what, hashes in record["fitted_on"].items()
        },
    )
