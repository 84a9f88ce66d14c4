"""Find lymph nodes in multiphase CT, call each positive or negative, predict LN metastasis of a patient."""

__version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - a tenth of the time `--help` takes

        return version("lymphct")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
