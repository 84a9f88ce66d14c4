"""What a service may take of a machine, and how long it waits."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from lymphct.core.settings import Settings


class ServingSettings(Settings):
    """How a folder is watched and what one study may take; options of `lymphct serve`."""

    settle: NonNegativeFloat = 60.0
    """Seconds in which no file of a study may change before it is taken. Not stated in the paper; what
    Orthanc takes for a stable study (its `StableAge`)."""
    every: PositiveFloat = 10.0
    """Seconds between two looks at the folder. Not stated in the paper; short beside what a study takes."""
    study_seconds: PositiveFloat = 7200.0
    """Seconds until the process that examines a study is killed. Not stated in the paper; a pair of large CTs
    takes minutes on a processor."""
    study_memory: PositiveInt | None = None
    """Bytes of address space of that process; none for no limit. Not stated in the paper; CUDA reserves
    hundreds of gigabytes that it never uses."""
    study_files: PositiveInt = 20_000
    """Files of one study. Not stated in the paper; ten usual series of 2000 slices."""
    study_bytes: PositiveInt = 20_000_000_000
    """Bytes of one study. Not stated in the paper; 40,000 slices of 512×512."""
    patience: PositiveFloat = 10.0
    """Times `settle` that `serve --once` waits for studies that are still being written, without one that
    can be taken. Not stated in the paper."""
