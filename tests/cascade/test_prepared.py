from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import attention_map, guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade import prepared
from lymphct.cascade.prepared import ImageName, PreparedPatient
from lymphct.core.terms import Structure

if TYPE_CHECKING:
    from lymphct.core.volume import Volume

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


def test_a_patient_in_memory_is_read_in_boxes_too(make_patient: MakePatient) -> None:
    patient = make_patient()
    box = (slice(2, 5), slice(1, 4), slice(0, 3))
    assert patient.structures is not None
    assert patient.instances is not None
    images: dict[ImageName, Volume | None] = {
        "venous": patient.ct.venous,
        "arterial": patient.ct.arterial,
        "structures": patient.structures,
        "tumor": patient.tumor,
        "nodes": patient.instances,
    }
    for name, volume in images.items():
        view = patient.view(name)
        assert view is not None
        assert volume is not None
        assert view.geometry == volume.geometry
        assert view.dtype == volume.array.dtype
        assert_array_equal(view.read(box), volume.array[box])
        assert view.whole() is volume
    bare = make_patient(without=("tumor", "structures"))
    assert bare.view("tumor") is None
    assert bare.attention_view(WIDE, SETTINGS) is None
    assert bare.locations("structures") == {}
    assert len(bare.attention_locations(WIDE, SETTINGS)) == 0


def test_attention_is_learned_from_as_bytes_with_exact_zeros(make_patient: MakePatient) -> None:
    patient = make_patient()
    exact = patient.attention(WIDE, SETTINGS)
    view = patient.attention_view(WIDE, SETTINGS)
    assert exact is not None
    assert view is not None
    assert view.dtype == np.uint8
    stored = view.whole().array
    assert_array_equal(stored > 0, exact.array > 0)
    assert_array_equal(stored == 255, np.rint(exact.array * 255) == 255)
    lit = patient.attention_locations(WIDE, SETTINGS)
    flat = stored.transpose(2, 1, 0).reshape(-1)
    assert len(lit) == min(10_000, np.count_nonzero(flat))
    assert flat[lit].all()


def test_locations_name_voxels_of_each_class(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.structures is not None
    flat = patient.structures.array.transpose(2, 1, 0).reshape(-1)
    found = patient.locations("structures")
    assert set(found) == set(np.unique(flat)) - {0}
    for number, voxels in found.items():
        assert (flat[voxels] == number).all()
