"""Who teaches, chooses and is tested in a nested cross-validation (Sec. IV-A, decision 0006)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from lymphct.core.errors import InputError
from lymphct.core.leakage import Roles
from lymphct.evaluation.folds import Fold, stratified_folds

FoldsKind = Literal["strict", "paper"]
"""Stratified by N status and tumor site, or drawn without strata."""
FeaturesKind = Literal["oof", "paper"]
"""What a status method learns from: patients seen by networks that never saw them, or by networks that were
taught on them, as in the paper: those show it nodes no new patient will have."""

OUTER: Final = 5
"""Of the cross-validation (Sec. IV-A)."""
FEWEST: Final = 20
"""Patients, or a part of a fold has one or two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NestedFold:
    """One outer fold and the inner ones of those who are not tested in it.

    Attributes:
        outer: 64 % teach, 16 % choose, 20 % are tested.
        inner: of the 80 %: each of them is tested once; empty where nobody is examined out of fold.

    """

    outer: Fold
    inner: tuple[Fold, ...] = ()

    @property
    def roles(self) -> Roles:
        """Who teaches the status methods, and who chooses."""
        return Roles(train=self.outer.train, validation=self.outer.validation)

    @property
    def cascades(self) -> tuple[Fold, ...]:
        """The folds a cascade is trained in: its test patients are those it examines for the methods."""
        return self.inner or (Fold(train=self.outer.train, validation=self.outer.validation, test=()),)


def nested_folds(
    strata: Mapping[str, str], seed: int, *, inner: int, outer: int = OUTER
) -> tuple[NestedFold, ...]:
    """Split patients into outer folds, and those who are not tested in each into inner folds.

    Folds depend on ids, strata and seed alone.

    Args:
        strata: id → stratum, such as N status and tumor site; equal for all where nothing is stratified.
        seed: another seed, another split.
        inner: folds within each outer fold; 0 for none.
        outer: folds in which everybody is tested once.

    Raises:
        InputError: too few patients.

    """
    if len(strata) < FEWEST:
        msg = f"{len(strata)} patients are too few for {outer} folds that are split again"
        raise InputError(
            msg, code="E_COHORT_SIZE", cure=f"give at least {FEWEST} patients, better 120 and more"
        )
    folds = []
    for number, fold in enumerate(stratified_folds(strata, outer, seed)):
        others = {name: strata[name] for name in (*fold.train, *fold.validation)}
        # Another seed in each fold, or the same neighbours would stand together in all of them.
        within = stratified_folds(others, inner, seed * 1000 + number) if inner else ()
        folds.append(NestedFold(outer=fold, inner=within))
    return tuple(folds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartNeed:
    """Something that some parts of the folds must hold.

    Attributes:
        what: in words, such as "an N+ patient".
        of: whose folds: those of the status methods, or of the cascades.
        parts: their parts.
        holds: tells who has it.

    """

    what: str
    of: Literal["methods", "cascades"]
    parts: tuple[Literal["train", "validation", "test"], ...]
    holds: Callable[[str], bool]


def fold_problems(folds: Sequence[NestedFold], needs: Sequence[PartNeed]) -> Iterator[InputError]:
    """Yield, for each need, the parts of folds that do not meet it, as one error."""
    for need in needs:
        lacking = []
        for number, fold in enumerate(folds, start=1):
            within = fold.cascades if need.of == "cascades" else (fold.outer,)
            for inner, part in ((i, p) for i in range(len(within)) for p in need.parts):
                if not any(map(need.holds, getattr(within[inner], part))):
                    where = f" {inner + 1}" if need.of == "cascades" and fold.inner else ""
                    lacking.append(f"fold {number}{where} {part}")
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            everybody = {name for fold in folds for name in (*fold.outer.train, *fold.outer.test)}
            has = sum(map(need.holds, sorted(everybody)))
            msg = f"{', '.join(lacking[:3])}{more} lack {need.what}; the cohort has {has}"
            cure = "add such patients or labels, use fewer --inner folds, or try another --seed"
            yield InputError(msg, code="E_CLASSES", cure=cure)
