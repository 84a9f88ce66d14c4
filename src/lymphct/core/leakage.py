"""Whatever is learned from patients remembers from whom, so that nobody tests on them (decision 0006)."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeVar

from lymphct.core.errors import LeakageError

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Fitted(Generic[T_co]):
    """A value learned from data, with the ids of the patients it was learned on."""

    value: T_co
    patients: frozenset[str]

    def for_unseen(self, patients: Iterable[str]) -> T_co:
        """Return the value for use on `patients`.

        Raises:
            LeakageError: the value was fitted on one of them.

        """
        require_unseen(self.patients, patients)
        return self.value


def require_unseen(fitted_on: Iterable[str], patients: Iterable[str]) -> None:
    """Raise `LeakageError` when something fitted on `fitted_on` would be applied to one of them.

    >>> require_unseen({"case1", "case2"}, "case3")

    A lone id may stand for one patient: its letters are no ids.
    """
    fitted_on = {fitted_on} if isinstance(fitted_on, str) else fitted_on
    patients = {patients} if isinstance(patients, str) else patients
    seen = sorted(frozenset(fitted_on) & frozenset(patients))
    if seen:
        named = ", ".join(seen[:3]) + (" …" if len(seen) > 3 else "")
        msg = f"{len(seen)} patients were used for fitting and cannot be evaluated: {named}"
        raise LeakageError(msg, cure="predict them with a model of another fold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Who teaches something, by id: a fold, or any other split, is such a value.

    Attributes:
        train: their images and labels move the weights.
        validation: they choose epochs and thresholds, and nothing else.

    Raises:
        LeakageError: a patient has both roles.

    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = sorted(set(self.train) & set(self.validation))
        if twice:
            msg = f"{twice[0]} would both teach and choose ({len(twice)} such patients)"
            raise LeakageError(msg, cure="give each patient one role")

    @property
    def everybody(self) -> tuple[str, ...]:
        """Return all ids, sorted."""
        return tuple(sorted({*self.train, *self.validation}))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedOn:
    """On whom something was fitted: ids, or keyed hashes of them where ids must not be told.

    >>> "case1" in FittedOn(ids=frozenset({"case1"}))
    True
    >>> seen = FittedOn(hashes=frozenset({hash_patient("case1", "a long key")}), salt="a long key")
    >>> "case1" in seen, "case2" in seen
    (True, False)
    """

    ids: frozenset[str] = frozenset()
    hashes: frozenset[str] = frozenset()
    salt: str = ""

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Return the group of these patients."""
        return cls(ids=frozenset(ids))

    def __contains__(self, patient_id: str) -> bool:
        return patient_id in self.ids or (
            bool(self.hashes) and hash_patient(patient_id, self.salt) in self.hashes
        )

    def require_unseen(self, patient_id: str) -> None:
        """Refuse a patient who is in the group.

        Raises:
            LeakageError: what was fitted on the group would be applied to one of it.

        """
        if patient_id in self:
            msg = "the models were fitted on this patient"
            raise LeakageError(msg, cure="predict it with models of another fold").at(patient=patient_id)

    def hashed(self, salt: str) -> tuple[str, ...]:
        """Return the hashes of everybody under one key, sorted.

        Raises:
            LeakageError: hashes made with another key cannot be told under this one.

        """
        if self.hashes and self.salt != salt:
            msg = "the hashed ids were made with another key and cannot be compared"
            raise LeakageError(msg, cure="take all parts from one bundle")
        return tuple(sorted(self.hashes | {hash_patient(name, salt) for name in self.ids}))


NOBODY: Final = FittedOn()
"""Of what was not fitted on patients."""


def hash_patient(patient_id: str, salt: str) -> str:
    """Return a keyed hash of a patient id, 32 hexadecimal digits.

    >>> hash_patient("case7", "kept in the bundle") == hash_patient("case8", "kept in the bundle")
    False
    """
    return hmac.new(salt.encode(), patient_id.encode(), hashlib.sha256).hexdigest()[:32]
