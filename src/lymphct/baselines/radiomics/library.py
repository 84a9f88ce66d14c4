"""pyradiomics, an optional part: loaded when features are measured, and missed with a cure."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from lymphct.core.errors import EnvironmentProblemError

_PARTS: Final = {"radiomics.featureextractor": "pyradiomics", "skimage.feature": "scikit-image"}
"""Modules → what brings them. Without scikit-image pyradiomics leaves LBP2D out, with a line in its log."""


def require_pyradiomics() -> None:
    """Raise unless the features can be measured here.

    Raises:
        EnvironmentProblemError: pyradiomics or a library it needs is missing.

    """
    for module, name in _PARTS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            msg = f"radiomics needs {name}, which is not installed"
            cure = "pip install 'lymphct[radiomics]' (docs/baselines.md says how), or leave the method out"
            raise EnvironmentProblemError(msg, code="E_OPTIONAL", cure=cure) from error


def filters() -> Any:  # noqa: ANN401 - a module without types
    """Return pyradiomics' module of image types."""
    return importlib.import_module("radiomics.imageoperations")


def extractor(bin_width: float) -> Any:  # noqa: ANN401 - a class without types
    """Return pyradiomics' extractor of every feature."""
    made = importlib.import_module("radiomics.featureextractor").RadiomicsFeatureExtractor(binWidth=bin_width)
    made.enableAllFeatures()
    return made


@contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings of pyradiomics that name no fault (LBP2D of a 3-D image) off the terminal."""
    importlib.import_module("radiomics")  # which sets up its log
    log = logging.getLogger("radiomics")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
