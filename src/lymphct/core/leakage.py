"""Whatever is learned from patients remembers from whom (METHOD §9)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

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
