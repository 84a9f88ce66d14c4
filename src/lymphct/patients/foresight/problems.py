"""One thing that is wrong with what a command was given: where it stands, what it is, how to mend it."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Final

from lymphct.core.errors import (
    EnvironmentProblemError,
    InputError,
    LymphctError,
    ModelError,
    OutputInUseError,
    UsageError,
)
from lymphct.io.manifest import Manifest
from lymphct.io.manifest_check import manifest_problems
from lymphct.io.results.jsonfile import JSON

_KINDS: Final = {
    kind.exit_code: kind
    for kind in (UsageError, InputError, OutputInUseError, EnvironmentProblemError, ModelError)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with a manifest, with a file it names, or with the command itself.

    Attributes:
        line: of the manifest, from 1 for the heading; 0 when it concerns no line.
        column: of the manifest; empty when it concerns none.
        patient: pseudonym; empty where it is not a valid one, since it may be a name.
        file: name of the file; empty when it concerns no file.
        cause: what is wrong, with the measured value.
        code: the same for machines.
        cure: how to mend it.
        exit_code: of a command that ends for it.
        stops: the whole work cannot begin; otherwise one patient fails and no other.

    """

    line: int = 0
    column: str = ""
    patient: str = ""
    file: str = ""
    cause: str
    code: str
    cure: str
    exit_code: int = field(default=InputError.exit_code)
    stops: bool = True

    @classmethod
    def of(cls, error: LymphctError, line: int = 0, column: str = "", *, stops: bool = True) -> "Problem":
        """Describe what was raised."""
        return cls(
            line=line,
            column=column,
            patient=error.patient,
            file=error.file,
            cause=error.cause,
            code=error.code,
            cure=error.cure,
            exit_code=error.exit_code,
            stops=stops,
        )

    def error(self) -> LymphctError:
        """Return it as an error of its kind that can be raised."""
        place = self._place()
        kind = _KINDS.get(self.exit_code, LymphctError)
        cause = f"{place}: {self.cause}" if place else self.cause
        return kind(cause, code=self.code, cure=self.cure).at(patient=self.patient, file=self.file)

    def _place(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"line {self.line}{column}" if self.line else ""

    def __str__(self) -> str:
        place = self._place()
        told = LymphctError(self.cause, code=self.code, cure=self.cure)
        line = str(told.at(patient=self.patient, file=self.file))
        return f"{place}: {line}" if place else line

    def record(self) -> dict[str, JSON]:
        """Return the problem for JSON."""
        fields = asdict(self)
        return {name: value for name, value in fields.items() if name not in {"exit_code", "stops"}}


def found_by(look: Callable[[], object]) -> list[Problem]:
    """Return what a look refuses as a problem; none when it passes."""
    try:
        look()
    except LymphctError as error:
        return [Problem.of(error)]
    return []


def of_manifest(manifest: Manifest, *, all_stop: bool = False) -> list[Problem]:
    """Return the problems of the lines of a manifest.

    Args:
        manifest: as it was read.
        all_stop: a problem of one patient stops the whole work, too, as in a training.

    """
    return [
        Problem.of(found.error, found.line, found.column, stops=all_stop or found.scope == "cohort")
        for found in manifest_problems(manifest)
    ]


def by_line(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Order problems by their lines; those of the command itself come first."""
    return tuple(sorted(problems, key=lambda problem: problem.line))
