"""The method (Fig. 2): from two phases to the status of a patient, and how its stages learn."""

from typing import TYPE_CHECKING

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.cascade.patient import predict_patient

__all__ = ["predict_patient"]

__getattr__ = lazy_exports(
    __name__,
    {
        "predict_patient": "lymphct.cascade.patient",
    },
)
