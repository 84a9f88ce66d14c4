import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map, guided_by
from lymphct.core.arrays import DoubleArray
from lymphct.core.terms import NodeClass, Structure
from lymphct.imaging.distance import signed_distance
from lymphct.phantom.patient import PhantomPatient, generate_patient, patient_truth
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.stations import STATIONS

EVERY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)
NANO = PhantomSettings(size="nano", mode="unbiased")


@pytest.fixture(scope="module")
def nanos() -> list[PhantomPatient]:
    return [generate_patient(NANO, seed=11, index=index) for index in range(8)]


@pytest.fixture(scope="module")
def tiny() -> PhantomPatient:
    return generate_patient(PhantomSettings(), seed=2, index=0)


@pytest.fixture(scope="module")
def still() -> list[PhantomPatient]:
    settings = PhantomSettings(size="nano", phase_shift=False)
    return [generate_patient(settings, seed=5, index=index) for index in range(4)]


def test_the_same_settings_seed_and_index_give_the_same_patient(nanos: list[PhantomPatient]) -> None:
    again = generate_patient(NANO, seed=11, index=3)
    assert patient_truth(again) == patient_truth(nanos[3])
    assert again.record == nanos[3].record
    for name in ("venous", "arterial", "structures", "tumor", "field"):
        assert_array_equal(getattr(again, name).array, getattr(nanos[3], name).array)
    assert_array_equal(again.nodes.instances.array, nanos[3].nodes.instances.array)


def test_patients_differ_from_one_another(nanos: list[PhantomPatient]) -> None:
    assert not np.array_equal(nanos[0].structures.array, nanos[1].structures.array)
    assert len({p.patient_id for p in nanos}) == len(nanos)


def test_images_have_the_promised_types_and_share_one_grid(tiny: PhantomPatient) -> None:
    grid = PhantomSettings().grid
    for name, dtype in (
        ("venous", np.int16),
        ("arterial", np.int16),
        ("structures", np.uint8),
        ("tumor", np.uint8),
        ("field", np.float32),
    ):
        volume = getattr(tiny, name)
        assert volume.array.dtype == dtype
        assert volume.geometry == grid
    assert tiny.nodes.instances.geometry == grid
    assert tiny.field.array.shape == (*grid.shape, 3)


def test_all_nineteen_structures_are_there_even_on_the_coarsest_grid(
    nanos: list[PhantomPatient], tiny: PhantomPatient
) -> None:
    for patient in (*nanos, tiny):
        assert set(np.unique(patient.structures.array)) == {0, *Structure}


def test_thin_arteries_stay_in_one_piece(nanos: list[PhantomPatient], tiny: PhantomPatient) -> None:
    for patient in (*nanos, tiny):
        for structure in (
            Structure.LEFT_GASTRIC_ARTERY,
            Structure.SUPERIOR_MESENTERIC_ARTERY,
            Structure.AORTA,
        ):
            pieces = ndimage.label(patient.structures.array == structure, EVERY_NEIGHBOUR)[1]
            assert pieces == 1


def test_air_surrounds_the_body(nanos: list[PhantomPatient], tiny: PhantomPatient) -> None:
    for patient in (*nanos, tiny):
        for image in (patient.venous.array, patient.arterial.array):
            for face in (image[0], image[-1], image[:, 0], image[:, -1]):
                assert face.max() < -800


def test_organs_lie_on_their_sides(tiny: PhantomPatient) -> None:
    def middle(structure: Structure) -> DoubleArray:
        voxels = np.argwhere(tiny.structures.array == structure)
        center: DoubleArray = tiny.structures.geometry.world(voxels).mean(axis=0)
        return center

    assert middle(Structure.LIVER)[0] < -20 < 40 < middle(Structure.SPLEEN)[0]
    assert (
        middle(Structure.RIGHT_KIDNEY)[0]
        < middle(Structure.INFERIOR_VENA_CAVA)[0]
        < middle(Structure.AORTA)[0]
    )
    assert middle(Structure.STOMACH)[1] < middle(Structure.PANCREAS)[1] + 5 < middle(Structure.AORTA)[1]
    assert middle(Structure.ESOPHAGUS)[2] > middle(Structure.DUODENUM)[2] + 50
    assert_allclose(middle(Structure.PANCREAS), (0, -23, -25), atol=12)
    assert_allclose(middle(Structure.DUODENUM), (-37, -25, -54), atol=16)


@pytest.mark.parametrize(
    ("structure", "arterial", "venous"),
    [
        (Structure.AORTA, 300, 150),
        (Structure.PORTAL_AND_SPLENIC_VEIN, 130, 165),
        (Structure.INFERIOR_VENA_CAVA, 90, 130),
        (Structure.LIVER, 70, 110),
        (Structure.SPLEEN, 120, 120),
        (Structure.LEFT_KIDNEY, 160, 180),
    ],
)
def test_mean_hu_are_those_of_the_table(
    still: list[PhantomPatient], structure: Structure, arterial: float, venous: float
) -> None:
    means = []
    for patient in still:
        core = signed_distance(patient.structures.array == structure, (3.0, 3.0, 3.0)) <= -4
        means.append((patient.arterial.array[core].mean(), patient.venous.array[core].mean()))
    assert_allclose(
        np.mean(means, axis=0), (arterial, venous), atol=50 if structure is Structure.AORTA else 20
    )


def test_nodes_are_numbered_measured_and_apart(nanos: list[PhantomPatient], tiny: PhantomPatient) -> None:
    for patient in (*nanos, tiny):
        instances, nodes = patient.nodes.instances, patient.nodes.nodes
        assert [node.label for node in nodes] == list(range(1, len(nodes) + 1))
        assert ndimage.label(instances.array > 0, EVERY_NEIGHBOUR)[1] == len(nodes)
        for node in nodes:
            voxels = np.argwhere(instances.array == node.label)
            assert len(voxels) >= 1
            assert_allclose(node.volume, len(voxels) * instances.geometry.voxel_volume)
            assert_allclose(node.center, instances.geometry.world(voxels).mean(axis=0), atol=1e-6)
        inside = instances.array > 0
        assert not (patient.structures.array[inside]).any()
        assert not (patient.tumor.array[inside]).any()


def test_every_node_voxel_lies_within_the_band_of_its_station(
    nanos: list[PhantomPatient], tiny: PhantomPatient
) -> None:
    seen = 0
    for patient in (*nanos, tiny):
        merged = guided_by(patient.structures, patient.tumor)
        for node in patient.nodes.nodes:
            structure = STATIONS[node.station].structure
            distance = signed_distance(merged.array == structure, merged.geometry.spacing)
            values = distance[patient.nodes.instances.array == node.label]
            assert values.min() > 0
            assert values.max() <= PAPER_BANDS[structure].d_max
            seen += 1
        assert_allclose(attention_map(merged).array[patient.nodes.instances.array > 0], 1.0)
    assert seen > 15


def test_a_positive_patient_shows_a_positive_node_and_a_negative_one_none(
    nanos: list[PhantomPatient],
) -> None:
    for patient in nanos:
        shown = any(node.node_class is NodeClass.POSITIVE for node in patient.nodes.nodes)
        assert shown == bool(patient.n_status)
    assert {p.n_status for p in nanos} == {0, 1}


def test_warping_the_arterial_phase_by_the_field_recovers_the_unmoved_one() -> None:
    moved = generate_patient(PhantomSettings(), seed=4, index=1)
    still = generate_patient(PhantomSettings(phase_shift=False), seed=4, index=1)
    assert not still.field.array.any()
    assert_array_equal(moved.venous.array, still.venous.array)
    grid = moved.venous.geometry
    index = np.indices(grid.shape).astype(np.float64)
    index += np.moveaxis(moved.field.array / np.asarray(grid.spacing), -1, 0)
    aligned = ndimage.map_coordinates(moved.arterial.array.astype(np.float32), index, order=1, mode="nearest")
    within = np.zeros(grid.shape, dtype=bool)
    within[:, :, 6:-6] = True  # further out the content has left the field of view
    body = within & (still.arterial.array > -300)
    before = np.abs(moved.arterial.array[body] - still.arterial.array[body].astype(np.float32)).mean()
    after = np.abs(aligned[body] - still.arterial.array[body]).mean()
    assert np.linalg.norm(moved.field.array, axis=-1).max() > 3
    assert after < 0.7 * before


def test_the_tumor_is_one_dark_piece_of_pancreas_and_fat(
    nanos: list[PhantomPatient], tiny: PhantomPatient
) -> None:
    for patient in (*nanos, tiny):
        mask = patient.tumor.array > 0
        assert mask.any()
        assert ndimage.label(mask)[1] == 1
        assert set(np.unique(patient.structures.array[mask])) <= {0, Structure.PANCREAS}
    core = ndimage.binary_erosion(tiny.tumor.array > 0)
    pancreas = (tiny.structures.array == Structure.PANCREAS) & (tiny.tumor.array == 0)
    assert tiny.venous.array[core].mean() < np.median(tiny.venous.array[pancreas]) + 15


def test_the_truth_is_json_and_tells_what_the_images_show(tiny: PhantomPatient) -> None:
    truth = json.loads(json.dumps(patient_truth(tiny)))
    assert truth["n_status"] == tiny.n_status
    assert {node["class"] for node in truth["nodes"]} <= {"positive", "negative"}
    assert set(truth["nodes"][0]) == {"label", "class", "station", "volume_mm3", "center_mm"}
    assert truth["tumor"]["location"] == tiny.tumor_location in {"head/uncinate", "body/tail"}
    assert_allclose(truth["tumor"]["volume_mm3"], tiny.tumor.array.sum() * 10.0)
    assert_allclose(truth["tumor"]["diameter_mm"], tiny.tumor_diameter_mm, atol=1e-3)


def test_the_chart_fits_the_patient(nanos: list[PhantomPatient]) -> None:
    for patient in nanos:
        assert (patient.pN == "N0") == (patient.n_status == 0)
        assert patient.pT in {"T1", "T2", "T3", "T4"}
        assert 30 <= patient.age <= 88
        assert patient.sex in {"F", "M"}
        assert patient.ct_reported_n in {0, 1}


def test_prevalence_decides_the_label() -> None:
    for share in (0.0, 1.0):
        patient = generate_patient(PhantomSettings(size="nano", prevalence=share), seed=1, index=0)
        assert patient.n_status == share
