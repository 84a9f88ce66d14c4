"""Errors say what is wrong, where, what was measured and how to mend it; each knows its exit code."""

from typing import ClassVar, Final, Self

DAMAGED: Final = "E_DAMAGED"
"""Code of what is no longer as we wrote it; whoever made it makes it again."""


class LymphctError(Exception):
    """An error a user can act on; printed as one line: patient, file, cause, code, cure.

    >>> error = InputError("gzip stream ends early", code="E_TRUNCATED", cure="copy the file again")
    >>> print(error.at(patient="case7", file="venous.nii.gz"))
    case7: venous.nii.gz: gzip stream ends early [E_TRUNCATED] - copy the file again
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "E_BUG"

    def __init__(self, cause: str, *, code: str = "", cure: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.code = code or self.default_code
        self.cure = cure
        self.patient = ""
        self.file = ""

    def at(self, *, patient: str = "", file: str = "") -> Self:
        """Return the same error, told of the patient and the file it concerns.

        A file is named without its folders, unless the path leads nowhere: then it stands as it was written.
        """
        self.patient = patient or self.patient
        self.file = file or self.file
        return self

    def __str__(self) -> str:
        place = "".join(f"{part}: " for part in (self.patient, self.file) if part)
        cure = f" - {self.cure}" if self.cure else ""
        line = f"{place}{self.cause} [{self.code}]{cure}"
        # Text from files may hold control characters that would break the line or drive a terminal.
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


class UsageError(LymphctError):
    """The command or its settings make no sense."""

    exit_code = 2
    default_code = "E_USAGE"


class InputError(LymphctError):
    """A file or value from outside is refused."""

    exit_code = 3
    default_code = "E_INPUT"


class GeometryMismatchError(InputError):
    """Two images that must share a voxel grid do not."""

    default_code = "E_GRID"


class LeakageError(InputError):
    """Something fitted would be applied to a patient it was fitted on."""

    default_code = "E_LEAKAGE"


class CohortPartlyFailedError(LymphctError):
    """Some patients of a cohort failed; the others are done."""

    exit_code = 4
    default_code = "E_PARTLY"


class OutputInUseError(LymphctError):
    """Another process works in the output folder, or it holds something that is not ours to overwrite."""

    exit_code = 5
    default_code = "E_IN_USE"


class HeldError(OutputInUseError):
    """Another process works in the output folder at this moment; later it will not."""


class EnvironmentProblemError(LymphctError):
    """The machine refuses: no space, no memory, no permission, a missing optional part."""

    exit_code = 6
    default_code = "E_ENVIRONMENT"


class ModelError(LymphctError):
    """A model bundle is damaged, foreign, unsafe or does not fit."""

    exit_code = 7
    default_code = "E_MODEL"
