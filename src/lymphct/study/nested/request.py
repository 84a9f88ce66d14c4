"""What a cross-validation is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lymphct.baselines.method import StatusMethod
from lymphct.baselines.table import Methods, methods
from lymphct.cascade.settings import Config
from lymphct.core.terms import StageName
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.metastasis.pretrained import Pretrained
from lymphct.study.nested.folds import (
    FeaturesKind,
    FoldsKind,
)
from lymphct.study.nested.plan import COHORT

GIVEABLE: Final = (StageName.STRUCTURES, StageName.TUMOR)
"""Stages whose masks the manifest, or a bundle from elsewhere, may give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossvalRequest:
    """What to cross-validate, on whom, and where.

    Attributes:
        folder: of the study.
        name: of the study.
        manifests: the cohort as `cohort`, external ones as `external1`, `external2`, ….
        config: settings; sizes may be given at another spacing than that of the grid.
        seed: of folds, weights and patches.
        labels: numbering of the structures in the files, as the user named it.
        work: store of the prepared patients; None keeps them in the study.
        folds: how the outer folds are drawn.
        features: what status methods learn from.
        inner: inner folds.
        methods: short names; empty for all whose columns the cohort has.
        ablations: variants of the cascade beside those that methods judge, by name.
        given: stages whose masks the manifest gives.
        init: bundle whose networks of structures and tumor are taken over.
        kinetics: start weights of ResNet3D-18, and the file they are in; None for a random start.
        imagenet: start weights of the networks of tumor patches, likewise.
        threads: of each task.

    """

    folder: Path
    name: str
    manifests: Mapping[str, Manifest]
    config: Config
    seed: int = 0
    labels: str = "auto"
    work: Path | None = None
    folds: FoldsKind = "strict"
    features: FeaturesKind = "oof"
    inner: int = 5
    methods: tuple[str, ...] = ()
    ablations: tuple[str, ...] = ()
    given: tuple[StageName, ...] = ()
    init: Path | None = None
    kinetics: tuple[Path, Pretrained] | None = None
    imagenet: tuple[Path, Pretrained] | None = None
    threads: int = 1

    @property
    def table(self) -> Methods:
        """Return the methods there are, with the settings and start weights that were asked for."""
        kinetics, imagenet = (
            None if given is None else given[1].tensors for given in (self.kinetics, self.imagenet)
        )
        return methods(self.config.baselines, kinetics, imagenet)

    def method(self, name: str) -> StatusMethod:
        """Return a method of the table."""
        return self.table[name](self.config.metastasis)

    @property
    def learners(self) -> list[PatientRecord]:
        """Return the patients who are cross-validated: neither excluded nor kept for a test."""
        return [record for record in self.manifests[COHORT].patients if record.may_teach]

    @property
    def externals(self) -> dict[str, list[PatientRecord]]:
        """Return the patients of the other cohorts."""
        return {
            name: [record for record in manifest.patients if not record.is_excluded]
            for name, manifest in self.manifests.items()
            if name != COHORT
        }

    @property
    def everybody(self) -> list[PatientRecord]:
        """Return the patients of all cohorts."""
        return [*self.learners, *(record for records in self.externals.values() for record in records)]
