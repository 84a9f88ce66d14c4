"""Follow a training to its end, hand its states to whoever keeps them, and go on from the last one kept."""

from collections.abc import Iterator
from functools import partial
from typing import Final, Protocol

from lymphct.core.errors import UsageError
from lymphct.learning.settings import TrainingSettings
from lymphct.learning.training import EpochRecord, Told, TrainingState


class Keep(Protocol):
    """Where the states of a training go, and where a resumed one finds its last."""

    def last(self) -> TrainingState | None:
        """Return the state to go on from; None begins anew."""

    def add(self, record: EpochRecord, epochs: int) -> None:
        """Take the record of an epoch, one of so many."""

    def told(self, done: int, total: int) -> None:
        """Take the number of iterations that are done, of so many; called after each."""


class Forget:
    """Keep nothing: for trainings that are short enough to begin anew."""

    def last(self) -> TrainingState | None:
        """Begin anew."""
        return None

    def add(self, record: EpochRecord, epochs: int) -> None:
        """Let the record go."""

    def told(self, done: int, total: int) -> None:
        """Let the number go."""


FORGET: Final = Forget()


class Course(Protocol):
    """A training that is ready to begin, or to go on."""

    def __call__(self, *, state: TrainingState | None, told: Told) -> Iterator[EpochRecord]:
        """Yield a record per epoch that is left."""


def followed(course: Course, training: TrainingSettings, keep: Keep, name: str) -> TrainingState:
    """Follow a training from the last state that was kept to its end; return the state it ends with.

    Args:
        course: what is trained.
        training: its number of epochs and their length.
        keep: takes the state after each epoch.
        name: of the network, for the error.

    Raises:
        UsageError: the settings ask for no epoch.
        LearningStoppedError: the loss is not finite.

    """
    state = keep.last()
    told = partial(keep.told, total=training.epochs * training.iterations_per_epoch)
    for record in course(state=state, told=told):
        state = record.state
        keep.add(record, training.epochs)
    if state is None:
        msg = f"{name} was not trained for a single epoch"
        raise UsageError(msg, code="E_EPOCHS", cure="set its training.epochs to 1 or more")
    return state
