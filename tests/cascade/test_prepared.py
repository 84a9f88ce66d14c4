from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import attention_map, guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade import prepared
from lymphct.cascade.prepared import PreparedPatient
from lymphct.core.terms import Structure

MakePatient = Callable[..., PreparedPatient]
SETTINGS = AttentionSettings()
WIDE = {Structure.PANCREAS: Band(-5.0, 12.0)}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments of every map that is computed."""
    calls: list[Any] = []

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return guiding_attention(*arguments)

    monkeypatch.setattr(prepared, "guiding_attention", counted)
    return calls


def test_a_patient_in_memory_maps_the_attention_once_for_the_same_bands_and_settings(
    make_patient: MakePatient, computed: list[Any]
) -> None:
    patient = make_patient()
    first = patient.attention(PAPER_BANDS, SETTINGS)
    assert first is not None
    assert patient.attention(dict(PAPER_BANDS), AttentionSettings()) is first
    assert len(computed) == 1
    wide = patient.attention(WIDE, SETTINGS)
    steep = patient.attention(WIDE, AttentionSettings(border=1.0))
    assert len(computed) == 3
    assert wide is not None
    assert steep is not None
    assert np.count_nonzero(steep.array) < np.count_nonzero(wide.array) < np.count_nonzero(first.array)


def test_the_attention_is_that_of_structures_and_tumor_together(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.structures is not None
    found = patient.attention(WIDE, SETTINGS)
    assert found is not None
    assert_array_equal(found.array, guiding_attention(patient.structures, patient.tumor, WIDE).array)
    alone = make_patient(without=("tumor",)).attention(WIDE, SETTINGS)
    assert alone is not None
    assert_array_equal(alone.array, attention_map(patient.structures, WIDE).array)
    assert np.any(alone.array != found.array)


def test_without_structures_there_is_no_attention(make_patient: MakePatient, computed: list[Any]) -> None:
    assert make_patient(without=("structures",)).attention(PAPER_BANDS, SETTINGS) is None
    assert not computed


def test_a_changed_copy_of_a_patient_maps_its_own_attention(make_patient: MakePatient) -> None:
    patient = make_patient()
    before = patient.attention(WIDE, SETTINGS)
    assert patient.structures is not None
    spleen = patient.structures.with_array(np.where(patient.structures.array == 1, 1, 0).astype(np.uint8))
    after = replace(patient, structures=spleen, tumor=None).attention(WIDE, SETTINGS)
    assert before is not None
    assert after is not None
    assert before.array.any()
    assert not after.array.any()


def test_the_instances_are_those_of_the_drawn_nodes(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.nodes is not None
    assert patient.instances is patient.nodes.instances
    assert make_patient(without=("nodes",)).instances is None
