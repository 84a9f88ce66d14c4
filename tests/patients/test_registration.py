from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.acquired import ReadImage
from lymphct.io.images.reading import write_volume
from lymphct.patients import registration
from lymphct.patients.registration import RegistrationRequest, register_files
from lymphct.registration.settings import RegistrationSettings


def test_series_of_two_patients_are_refused_and_no_id_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = Geometry(shape=(20, 20, 20), spacing=(0.68, 0.68, 0.8))
    image = Volume(array=np.arange(8000, dtype=np.int16).reshape(grid.shape), geometry=grid)
    for name in ("fixed", "moving"):
        write_volume(tmp_path / f"{name}.nii.gz", image)

    def read(path: Path) -> ReadImage:
        return ReadImage(volume=image, digest="", patient_key=f"key of {path.name}")

    monkeypatch.setattr(registration, "read_image", read)
    request = RegistrationRequest(
        fixed=tmp_path / "fixed.nii.gz",
        moving=tmp_path / "moving.nii.gz",
        settings=RegistrationSettings(method="none"),
    )
    with pytest.raises(
        InputError, match=r"different patients \(PatientID differs\) \[E_PATIENTS\]"
    ) as caught:
        register_files(request, tmp_path / "out")
    assert "key of" not in str(caught.value)
    assert not (tmp_path / "out").exists()
