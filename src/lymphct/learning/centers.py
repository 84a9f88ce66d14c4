"""Where patches may be centred: voxels of each class or with attention, a bounded number per patient."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np

from lymphct.core.arrays import AnyArray, IntArray, LabelArray
from lymphct.imaging.locations import LOCATIONS
from lymphct.learning.cases import TrainingCase
from lymphct.learning.losses import IGNORED

RECENT: Final = 32
"""Patients whose stored voxels are remembered; those of the others are read again when they are drawn."""

V = TypeVar("V")

Voxels = LabelArray
"""Flat indices in C order of (k, j, i)."""


class Centers:
    """Voxels of each case to centre patches on; safe to ask from several threads.

    What a case gives is asked for again when it is needed, so that memory does not grow with the cohort. What
    it does not give is looked for once in its whole maps and kept.

    Attributes:
        classes: foreground classes of each case.
        is_attentive: whether each case has a voxel with attention; empty unless asked for.

    """

    def __init__(self, cases: Sequence[TrainingCase], seed: int, *, attention: bool) -> None:
        """Note which classes each case has and, on request, whether it has attention."""
        foreground: list[Callable[[], Mapping[int, Voxels]]] = [
            case.foreground or _held(_class_voxels(np.asarray(case.labels), (seed, n)))
            for n, case in enumerate(cases)
        ]
        self._foreground = _remembered(foreground)
        self.classes = [tuple(self._foreground(n)) for n in range(len(cases))]
        attentive: list[Callable[[], Voxels]] = [
            case.attentive or _held(_some_of(np.flatnonzero(np.asarray(case.attention)), (seed, n)))
            for n, case in enumerate(cases if attention else ())
        ]
        self._attentive = _remembered(attentive)
        self.is_attentive = [len(self._attentive(n)) > 0 for n in range(len(attentive))]

    def foreground(self, number: int, place: int) -> Voxels:
        """Return voxels of the class at `place` in the classes of a case."""
        return self._foreground(number)[self.classes[number][place]]

    def attentive(self, number: int) -> Voxels:
        """Return voxels of a case that have attention."""
        return self._attentive(number)


def _remembered(given: Sequence[Callable[[], V]]) -> Callable[[int], V]:
    @lru_cache(maxsize=RECENT)
    def recent(number: int) -> V:
        return given[number]()

    return recent


def _held(value: V) -> Callable[[], V]:
    return lambda: value


def _class_voxels(labels: AnyArray, seed: tuple[int, int]) -> Mapping[int, Voxels]:
    """Return voxels of each foreground class that occurs, by its number."""
    flat = labels.reshape(-1)
    foreground = np.flatnonzero((flat != 0) & (flat != IGNORED))
    classes = flat[foreground]
    return {int(number): _some_of(foreground[classes == number], seed) for number in np.unique(classes)}


def _some_of(voxels: IntArray, seed: tuple[int, int]) -> Voxels:
    if len(voxels) > LOCATIONS:
        chosen = np.random.default_rng(seed).choice(len(voxels), LOCATIONS, replace=False)
        voxels = voxels[np.sort(chosen)]
    return voxels.astype(np.uint32)
