"""What a folder of `predict` says of itself, as far as it decides whether it may be scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lymphct.core.errors import InputError
from lymphct.io.results.jsonfile import read_json

Stage = Literal["structures", "tumor", "nodes"]
STAGES: Final[tuple[Stage, ...]] = ("structures", "tumor", "nodes")
"""What is drawn in a manifest and predicted in a result folder."""

RESULT_FILE: Final = "result.json"
SEEN: Final = "seen_in_training"
"""Notice of a patient on whom a part of the bundle was fitted."""


class _Notice(BaseModel):
    model_config = ConfigDict(frozen=True)
    code: str


class _Bundle(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str = ""
    sha256: str = ""
    is_phantom: bool = False
    notice: str = ""


class PredictedResult(BaseModel):
    """What is read of a patient's `result.json`.

    Attributes:
        layout: which table of fields it is; of another one nothing is read.
        patient_id: who it says it is.
        sources: where structures, tumor and nodes come from; None in results of older versions.
        probability: of N+, 0 to 1; None when withheld.
        threshold: from which the patient is called N+.
        predicted_n_status: the call, 1 or 0; None without a probability.
        nodes_search: `searched` or not.
        notices: what a reader must know.
        bundle: what predicted it.

    """

    model_config = ConfigDict(frozen=True)

    layout: Literal["lymphct-result-1"] = Field(alias="schema")
    patient_id: str
    sources: Mapping[str, Literal["given", "network", "given+network", "trace", "none"]] | None = None
    probability: float | None = Field(ge=0, le=1)
    threshold: float | None = Field(ge=0, le=1)
    predicted_n_status: Literal[0, 1] | None
    nodes_search: str = "searched"
    notices: tuple[_Notice, ...] = ()
    bundle: _Bundle = _Bundle()

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the codes of the notices."""
        return tuple(notice.code for notice in self.notices)

    @property
    def is_partial(self) -> bool:
        """Tell whether `predict --only` made it: masks up to a stage, and no more."""
        return any(code.startswith("only_") for code in self.codes)

    @property
    def is_seen(self) -> bool:
        """Tell whether a part of the models was fitted on this patient."""
        return SEEN in self.codes

    def given(self, stage: Stage) -> bool:
        """Tell whether a stage was given in whole or in part, instead of predicted."""
        return self.sources is not None and self.sources.get(stage, "").startswith("given")


def read_result(path: Path, patient_id: str) -> PredictedResult:
    """Read the `result.json` of a patient.

    Raises:
        InputError: damaged, not a result, of another patient, or without the sources of its masks.

    """
    try:
        result = PredictedResult.model_validate(read_json(path))
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        msg = f"not a result of predict ({place or 'no object'})"
        raise InputError(msg, code="E_RESULT", cure="predict the patient again").at(file=path.name) from None
    if result.patient_id != patient_id:
        msg = "the result is of another patient"
        cure = "give the folder predict wrote for this manifest"
        raise InputError(msg, code="E_PATIENTS", cure=cure).at(file=path.name)
    if result.sources is None or any(stage not in result.sources for stage in STAGES):
        msg = "the result does not say whether its masks were given or predicted: made by an older version"
        raise InputError(msg, code="E_OLD_RESULT", cure="predict again").at(file=path.name)
    return result


def require_predicted(result: PredictedResult, stage: Stage) -> None:
    """Refuse to score a stage that was given, in whole or in part.

    Raises:
        InputError: it was.

    """
    if result.given(stage):
        verb = "was" if stage == "tumor" else "were"
        part = " in part" if result.sources and result.sources[stage] != "given" else ""
        msg = (
            f"{stage} {verb} given{part}, not predicted: scoring them would compare what is drawn with itself"
        )
        cure = f"predict from images alone, or leave the stage out: --without {stage}"
        raise InputError(msg, code="E_GIVEN", cure=cure)
