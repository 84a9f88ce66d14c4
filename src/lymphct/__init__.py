"""Find lymph nodes in multiphase CT, call each positive or negative, predict LN metastasis of a patient."""

from importlib.metadata import version as _version

__version__ = _version("lymphct")
