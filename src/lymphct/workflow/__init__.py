"""The stages in the paper's order: one patient, the training, a cohort (Fig. 2)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lymphct.workflow.patient import predict_patient

__all__ = ["predict_patient"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the type of whatever is asked for
    if name == "predict_patient":
        from lymphct.workflow.patient import predict_patient  # noqa: PLC0415 - torch loads on first use

        return predict_patient
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
