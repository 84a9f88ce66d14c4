"""Contrast is measured without a mask: on phantoms, and where they lie here, on CTs of patients."""

import os
from pathlib import Path

import numpy as np
import pytest

from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.reading import read_volume
from lymphct.io.images.vessels import Contrast, measured_contrast
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_air_shows_nothing() -> None:
    air = Volume(array=np.full((40, 40, 20), -1000), geometry=Geometry(shape=(40, 40, 20), spacing=(4, 4, 4)))
    assert measured_contrast(air) == Contrast(aorta=None, liver=None, kidney=None, slices=0)
    soft = air.with_array(np.full((40, 40, 20), 40))
    assert measured_contrast(soft).aorta is None


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "aorta"),
    [
        ("open_totalseg_example_ct/example_ct.nii.gz", (35, 55)),
        ("open_totalseg_arterial_ct/arterial_ct.nii.gz", (440, 510)),
        ("open_totalseg_example_dicom/dicom", (140, 165)),
    ],
)
def test_the_aorta_of_a_patient_is_found(file: str, aorta: tuple[float, float]) -> None:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{file} is not here")
    found = measured_contrast(read_volume(path)).aorta
    assert found is not None
    assert aorta[0] <= found <= aorta[1]


def test_phases_of_phantoms_differ_as_those_of_patients_do() -> None:
    patient = generate_patient(PhantomSettings(size="nano"), seed=1, index=0)
    arterial, venous = measured_contrast(patient.arterial), measured_contrast(patient.venous)
    assert phase_of(arterial) == (True, False)
    assert phase_of(venous) == (False, True)


def phase_of(contrast: Contrast) -> tuple[bool, bool]:
    """Tell whether the aorta is bright as in arteries, and the liver as in the portal vein."""
    assert contrast.aorta is not None
    assert contrast.liver is not None
    return contrast.aorta > 250, contrast.liver > 90
