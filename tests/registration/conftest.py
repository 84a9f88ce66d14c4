"""One nano phantom whose arterial phase breathing has moved; its true field is known."""

import pytest

from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings


@pytest.fixture(scope="package")
def phantom() -> PhantomPatient:
    """64×64×48 voxels of 3 mm; 3 mm mean displacement in the body, 8 mm at the 95th percentile."""
    return generate_patient(PhantomSettings(size="nano"), seed=5, index=0)
