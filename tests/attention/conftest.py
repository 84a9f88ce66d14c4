"""Phantoms that what replaces the bands is fitted on."""

import pytest

from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings

NANO = PhantomSettings(size="nano", phase_shift=False, crowding=4)


@pytest.fixture(scope="session")
def phantoms() -> list[PhantomPatient]:
    return [generate_patient(NANO, seed=21, index=index) for index in range(9)]
