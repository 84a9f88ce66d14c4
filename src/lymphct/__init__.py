"""Find lymph nodes in multiphase CT, call each positive or negative, predict LN metastasis of a patient."""

from typing import TYPE_CHECKING, Any

from lymphct.core.lazy import lazy_exports

if TYPE_CHECKING:
    from lymphct.core.geometry import Geometry
    from lymphct.core.patient import Prediction
    from lymphct.core.volume import Volume
    from lymphct.io.images.conversion import from_nibabel, from_sitk, to_nibabel, to_sitk
    from lymphct.io.images.reading import read_volume, write_volume
    from lymphct.patients.predicting.in_memory import load_bundle, predict

    __version__: str

__all__ = [
    "Geometry",
    "Prediction",
    "Volume",
    "__version__",
    "from_nibabel",
    "from_sitk",
    "load_bundle",
    "predict",
    "read_volume",
    "to_nibabel",
    "to_sitk",
    "write_volume",
]

_exported = lazy_exports(
    __name__,
    {
        "Geometry": "lymphct.core.geometry",
        "Prediction": "lymphct.core.patient",
        "Volume": "lymphct.core.volume",
        "from_nibabel": "lymphct.io.images.conversion",
        "from_sitk": "lymphct.io.images.conversion",
        "load_bundle": "lymphct.patients.predicting.in_memory",
        "predict": "lymphct.patients.predicting.in_memory",
        "read_volume": "lymphct.io.images.reading",
        "to_nibabel": "lymphct.io.images.conversion",
        "to_sitk": "lymphct.io.images.conversion",
        "write_volume": "lymphct.io.images.reading",
    },
)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of the time `--help` takes

        return version("lymphct")
    return _exported(name)


def __dir__() -> list[str]:
    return __all__
