"""What a nested cross-validation is, as `study.json` keeps it: who is in which fold, with which settings."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lymphct.cascade.settings import Config, MaskSource
from lymphct.core.errors import InputError
from lymphct.core.leakage import Roles
from lymphct.core.patient import Clinical
from lymphct.core.terms import StageName
from lymphct.evaluation.folds import Fold
from lymphct.io.results.jsonfile import JSON
from lymphct.study.nested.folds import FeaturesKind, FoldsKind, NestedFold
from lymphct.study.nested.variants import ATTENTION, VARIANTS
from lymphct.study.sources import MaskSources

FORMAT: Final = "lymphct-crossval-1"
COHORT: Final = "cohort"
"""Name of the cohort that is cross-validated; external ones are `external1`, `external2`, …"""
OF_PATCHES: Final = frozenset({"combined", "tumor", "resnet2d", "deepten", "permuted_labels"})
"""Methods whose network of tumor patches starts from ImageNet weights where they are given."""


class StoredFold(BaseModel):
    """Ids of the parts of a fold."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @classmethod
    def of(cls, fold: Fold) -> Self:
        """Return what is stored of a fold."""
        return cls(train=fold.train, validation=fold.validation, test=fold.test)

    @property
    def fold(self) -> Fold:
        """The fold."""
        return Fold(train=self.train, validation=self.validation, test=self.test)


class StoredNestedFold(BaseModel):
    """An outer fold and its inner ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    outer: StoredFold
    inner: tuple[StoredFold, ...] = ()


class StudyPatient(BaseModel):
    """What the manifest says of a patient besides the files."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cohort: str
    n_status: int | None
    ct_reported_n: int | None = None
    center: str = ""
    tumor_location: str = ""

    @property
    def clinical(self) -> Clinical:
        """The same for methods."""
        return Clinical(
            n_status=self.n_status,
            ct_reported_n=self.ct_reported_n,
            tumor_location=self.tumor_location,
            center=self.center,
        )


class NestedPlan(BaseModel):
    """The facts of the study; its settings hold sizes of the working grid.

    Attributes:
        name: of the study.
        seed: of folds, weights and patches.
        salt: key of the hashes of patient ids in everything that was fitted.
        threads: of each task.
        is_phantom: whether patients are synthetic.
        folds: how the outer folds were drawn.
        features: what the status methods learn from.
        methods: short names, in the order of the tables.
        titles: of the methods, as tables print them.
        extras: cascade → what its methods need of a patient besides tumor patches and nodes.
        ablations: variants of the cascade that no method judges: they examine test patients alone.
        labels: numbering of the structures in the files; a path where a file says it.
        work: store of the prepared patients, where it is not the run's own.
        config: settings.
        given: stages whose masks the manifest gives instead of the networks, also for tested patients.
        init: bundle whose networks of structures and tumor are taken over; with the digest it had.
        taken: its parts that are.
        kinetics: start weights of ResNet3D-18; with the digest they had.
        imagenet: start weights of the networks of tumor patches; likewise.
        structures_source: whose structures guide stage 1; likewise `tumor_source`.
        manifests: file of each cohort, by its name.
        characteristics: of Tab. I, cells of the manifest by id and column.
        patients: everybody by id.
        nested: the folds.

    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    seed: int
    salt: str
    threads: int
    is_phantom: bool
    folds: FoldsKind
    features: FeaturesKind
    methods: tuple[str, ...]
    titles: dict[str, str]
    extras: dict[str, tuple[str, ...]] = {}
    ablations: tuple[str, ...] = ()
    labels: str = "auto"
    work: str | None = None
    config: Config
    given: tuple[StageName, ...] = ()
    init: str | None = None
    init_digest: str = ""
    taken: tuple[StageName, ...] = ()
    kinetics: str | None = None
    kinetics_digest: str = ""
    imagenet: str | None = None
    imagenet_digest: str = ""
    structures_source: MaskSource = "given"
    tumor_source: MaskSource = "given"
    manifests: dict[str, str]
    patients: dict[str, StudyPatient]
    characteristics: dict[str, dict[str, str]] = {}
    nested: tuple[StoredNestedFold, ...]

    @classmethod
    def of(cls, facts: Mapping[str, JSON]) -> Self:
        """Return the plan that a study keeps.

        Raises:
            InputError: it is not valid.

        """
        try:
            return cls.model_validate(dict(facts))
        except ValidationError as error:
            msg = f"not a plan of ours: {error.errors()[0]['msg']}"
            raise InputError(msg, code="E_PLAN", cure="begin a new study") from error

    @cached_property
    def outer_folds(self) -> tuple[NestedFold, ...]:
        """The folds, outer and inner."""
        return tuple(
            NestedFold(outer=stored.outer.fold, inner=tuple(inner.fold for inner in stored.inner))
            for stored in self.nested
        )

    @property
    def sources(self) -> MaskSources:
        """Whose masks guide stage 1."""
        return MaskSources(structures=self.structures_source, tumor=self.tumor_source)

    @property
    def learned_stages(self) -> tuple[StageName, ...]:
        """The stages of a cascade that are trained here, in their order."""
        elsewhere = {*self.given, *self.taken}
        stages = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES, StageName.IDENTIFICATION)
        return tuple(stage for stage in stages if stage not in elsewhere)

    @property
    def cohorts(self) -> tuple[str, ...]:
        """Names of the cohorts, the one that is cross-validated first."""
        return (COHORT, *sorted(name for name in self.manifests if name != COHORT))

    def ids(self, cohort: str) -> tuple[str, ...]:
        """Return the patients of a cohort, sorted."""
        return tuple(sorted(name for name, entry in self.patients.items() if entry.cohort == cohort))

    def store(self, run: Path) -> Path:
        """Return the folder of the prepared patients."""
        return run / "prepared" if self.work is None else Path(self.work)

    def settings(self, variant: str) -> Config:
        """Return the settings of a cascade of a variant: nothing else is different."""
        return VARIANTS[variant].settings(self.config)


class CascadeRole(BaseModel):
    """One cascade that is trained: arguments of its tasks.

    Attributes:
        fold: outer fold, from 1.
        inner: inner fold, from 1; 0 where there are none.
        variant: how stage 1 is guided, a name of `VARIANTS`.

    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    fold: int
    inner: int
    variant: str = ATTENTION

    @property
    def shared(self) -> str:
        """Name of what cascades of all variants share."""
        return f"fold{self.fold}" + (f".inner{self.inner}" if self.inner else "")

    def learned(self, plan: NestedPlan) -> str:
        """Return the id of the task that measures its statistics.

        It is a task of its own where its attention is made from something else: nothing is trained anew for
        other variants when this one joins a study.
        """
        own = plan.settings(self.variant).attention.prior != plan.config.attention.prior
        return f"learned.{self.name if own else self.shared}"

    @property
    def name(self) -> str:
        """Name of the cascade."""
        return self.shared + ("" if self.variant == ATTENTION else f".{self.variant}")

    @property
    def trained(self) -> "CascadeRole":
        """The cascade whose networks it takes; itself where it is trained."""
        other = VARIANTS[self.variant].trained_as
        return self.model_copy(update={"variant": other}) if other else self

    def part(self, plan: NestedPlan) -> Fold:
        """Return whose images it learns from, and whom it examines for the status methods."""
        return plan.outer_folds[self.fold - 1].cascades[max(self.inner - 1, 0)]

    def roles(self, plan: NestedPlan) -> Roles:
        """Return who teaches it, and who chooses."""
        part = self.part(plan)
        return Roles(train=part.train, validation=part.validation)

    def examined(self, plan: NestedPlan) -> tuple[str, ...]:
        """Return whom it examines of its own cohort, sorted: those it never saw, and in-sample its own.

        What no method judges examines test patients alone.
        """
        fold = plan.outer_folds[self.fold - 1]
        if self.variant in plan.ablations:
            return tuple(sorted(fold.outer.test))
        own = self.part(plan).test if fold.inner else fold.roles.everybody
        return tuple(sorted((*own, *fold.outer.test)))


def cascades_of(plan: NestedPlan, fold: int, variant: str) -> tuple[CascadeRole, ...]:
    """Return the cascades that are trained in an outer fold, from 1."""
    count = len(plan.nested[fold - 1].inner)
    numbers = range(1, count + 1) if count else (0,)
    return tuple(CascadeRole(fold=fold, inner=number, variant=variant) for number in numbers)
