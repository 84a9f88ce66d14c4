"""What a stage is shown of a patient: the same numbers as in memory, read where a network looks."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.attention.bands import Band
from lymphct.attention.prior import Prior
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.cascade.alignment import normalized
from lymphct.cascade.cases import Material, lazy_image, segmentation_cases
from lymphct.cascade.learned import Learned
from lymphct.cascade.node_cases import box_of_label, identification_cases
from lymphct.cascade.prepared import ImageName, Prepared, PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.sight import CHANNELS, Sight
from lymphct.core.arrays import AnyArray, IntArray
from lymphct.core.errors import InputError
from lymphct.core.patient import Clinical, Multiphase, Node, NodeMap
from lymphct.core.terms import Phase, StageName, Structure
from lymphct.core.volume import HeldVolume, StoredVolume, Volume
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.learning.augmentation import SpatialTransform
from lymphct.learning.cases import TrainingCase, training_case
from lymphct.learning.channels import network_channels
from lymphct.learning.lazy_array import LazyArray
from lymphct.learning.patches import PatchSampler
from lymphct.learning.settings import AugmentationSettings, SamplingSettings
from lymphct.nodes.crops import IdentificationCase, cut_crop, identification_case
from lymphct.nodes.features import FEATURE_SETS
from lymphct.nodes.sampling import NodeSampler
from lymphct.nodes.settings import FeatureSetName, NodeSamplingSettings

MakePatient = Callable[..., PreparedPatient]
STAGES = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES)
LEARNED = Learned(
    sights={
        stage: Sight(
            phases={
                Phase.ARTERIAL: IntensityStatistics(-20.0, 150.0, 40.0 + number, 30.0),
                Phase.VENOUS: IntensityStatistics(-10.0, 90.0 - number, 25.0, 20.0 + number),
            },
            foreground="structures",
        )
        for number, stage in enumerate(STAGES)
    },
    bands={Structure.PANCREAS: Band(-5.0, 8.0)},
)
FILLS = LEARNED.sight(StageName.NODES).fills
"""Lower clip values of both phases, as stage 1 and 2 see them."""
SIZE = 26 * 22 * 16


class Watched(np.ndarray[Any, np.dtype[Any]]):
    """An array that remembers how many voxels were read from any of its kind."""

    voxels: list[int] = []  # noqa: RUF012 - shared by all on purpose

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        Watched.voxels.append(int(np.size(part)))
        return np.asarray(part)


class OnDisk:
    """A patient whose images, as those on a disk, cost reading: each voxel that is looked at counts."""

    def __init__(self, patient: PreparedPatient) -> None:
        self._patient = patient
        self.patient_id, self.clinical = patient.patient_id, Clinical()
        self.unjudged, self.labelled = patient.unjudged, patient.labelled

    @property
    def ct(self) -> Multiphase:
        early = self._patient.ct.arterial
        return Multiphase(
            venous=watched(self._patient.ct.venous), arterial=None if early is None else watched(early)
        )

    @property
    def structures(self) -> Volume | None:
        return None if self._patient.structures is None else watched(self._patient.structures)

    @property
    def tumor(self) -> Volume | None:
        return None if self._patient.tumor is None else watched(self._patient.tumor)

    @property
    def instances(self) -> Volume | None:
        return None if self._patient.instances is None else watched(self._patient.instances)

    @property
    def nodes(self) -> NodeMap | None:
        return self._patient.nodes

    @property
    def node_records(self) -> tuple[Node, ...]:
        return self._patient.node_records

    def attention(self, prior: Prior, settings: AttentionSettings) -> Volume | None:
        found = self._patient.attention(prior, settings)
        return None if found is None else watched(found)

    def view(self, name: ImageName) -> StoredVolume | None:
        found = self._patient.view(name)
        return None if found is None else HeldVolume(watched(found.whole()))

    def attention_view(self, prior: Prior, settings: AttentionSettings) -> StoredVolume | None:
        found = self._patient.attention_view(prior, settings)
        return None if found is None else HeldVolume(watched(found.whole()))

    def locations(self, name: ImageName) -> Mapping[int, IntArray]:
        return self._patient.locations(name)

    def attention_locations(self, prior: Prior, settings: AttentionSettings) -> IntArray:
        return self._patient.attention_locations(prior, settings)


def watched(volume: Volume) -> Volume:
    return volume.with_array(volume.array.view(Watched))


@pytest.fixture
def read() -> Iterator[list[int]]:
    """The number of voxels of each look at an image."""
    Watched.voxels.clear()
    yield Watched.voxels
    Watched.voxels.clear()


def material_of(*patients: Prepared) -> Material:
    return Material(
        patients={patient.patient_id: patient for patient in patients}, learned=LEARNED, config=Config()
    )


def drawn(patient: PreparedPatient, stage: StageName) -> Volume:
    """Labels of a patient as a stage learns them."""
    volume = {
        StageName.STRUCTURES: patient.structures,
        StageName.TUMOR: patient.tumor,
        StageName.NODES: patient.instances,
    }[stage]
    assert volume is not None
    return volume if stage is StageName.STRUCTURES else volume.with_array((volume.array > 0).astype(np.uint8))


def eager(patient: PreparedPatient, stage: StageName) -> TrainingCase:
    """The case as it would be with all images in memory and normalised."""
    sight = LEARNED.sight(stage)
    image = network_channels(normalized(patient.ct, sight.phases))
    attention = patient.attention(LEARNED.bands, AttentionSettings()) if stage is StageName.NODES else None
    early, late = sight.fills
    fill = (early if patient.ct.arterial is not None else 0.0, late)
    return training_case(patient.patient_id, image, drawn(patient, stage), attention, fill)


def assert_same(lazy: TrainingCase, held: TrainingCase) -> None:
    assert lazy.patient == held.patient
    assert_array_equal(lazy.normalized_image(), held.image)
    assert lazy.intensity is not None
    fills = tuple(0.0 if statistics is None else statistics.fill for statistics in lazy.intensity)
    assert fills == held.outside
    assert_array_equal(np.asarray(lazy.labels), held.labels)
    k, j, i = slice(3, 9), slice(1, 22), slice(7, 8)
    assert_array_equal(lazy.labels[k, j, i], held.labels[k, j, i])
    assert_array_equal(lazy.normalized(lazy.image[..., k, j, i]), held.image[..., k, j, i])
    assert (lazy.attention is None) == (held.attention is None)
    for one in (lazy.image, lazy.labels, lazy.attention):
        assert one is None or one.dtype == np.asarray(one).dtype
    found, whole = lazy.whole_attention(), held.whole_attention()
    if found is not None and whole is not None:
        assert_allclose(found, whole, atol=1 / 255)
        assert_array_equal(found > 0, whole > 0)


@pytest.mark.parametrize("stage", STAGES)
def test_a_lazy_case_equals_the_one_in_memory_voxel_by_voxel(
    stage: StageName, make_patient: MakePatient
) -> None:
    patient = make_patient(noise=9.0)
    (case,) = segmentation_cases(material_of(patient), ["p0"], stage)
    assert_same(case, eager(patient, stage))
    assert isinstance(case.image, LazyArray)


@pytest.mark.parametrize("stage", STAGES)
def test_a_missing_arterial_phase_is_zero_as_in_memory(stage: StageName, make_patient: MakePatient) -> None:
    patient = make_patient(noise=9.0, without=("arterial",))
    (case,) = segmentation_cases(material_of(patient), ["p0"], stage)
    assert_same(case, eager(patient, stage))
    image: AnyArray = np.asarray(case.image)
    assert CHANNELS == (Phase.ARTERIAL, Phase.VENOUS)
    assert not image[0].any()
    assert image[1].any()


def test_nodes_are_0_and_1_whatever_their_number_and_structures_keep_theirs(
    make_patient: MakePatient,
) -> None:
    material = material_of(make_patient())
    (nodes,) = segmentation_cases(material, ["p0"], StageName.NODES)
    assert np.unique(np.asarray(nodes.labels)).tolist() == [0, 1]
    (structures,) = segmentation_cases(material, ["p0"], StageName.STRUCTURES)
    assert np.unique(np.asarray(structures.labels)).tolist() == [0, 1, 4, 5, 11]


def test_patches_are_centred_on_every_voxel_or_on_every_node_alike(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.nodes is not None
    instances = patient.nodes.instances.array.transpose(2, 1, 0).reshape(-1)
    material = material_of(patient)
    for center_on, expected in (("voxels", [27, 8]), ("nodes", [27, 27])):
        nodes = material.config.nodes.model_copy(update={"center_on": center_on})
        config = material.config.model_copy(update={"nodes": nodes})
        (case,) = segmentation_cases(replace(material, config=config), ["p0"], StageName.NODES)
        assert case.foreground is not None
        (voxels,) = case.foreground().values()
        assert_array_equal(np.bincount(instances[voxels])[[3, 7]], expected)


@pytest.mark.parametrize("stage", STAGES)
def test_cases_of_a_cohort_are_laid_out_without_reading_its_images(
    stage: StageName, make_patient: MakePatient, read: list[int]
) -> None:
    names = [f"p{n}" for n in range(3)]
    material = material_of(*(OnDisk(make_patient(name)) for name in names))
    cases = segmentation_cases(material, names, stage)
    assert [case.image.shape for case in cases] == [(2, 16, 22, 26)] * 3
    assert sum(read) == 0
    PatchSampler(cases, SAMPLING, AugmentationSettings(), seed=0)
    assert sum(read) == 0  # the voxels of the classes are known


def test_a_box_of_an_image_costs_its_own_voxels_of_both_phases(
    make_patient: MakePatient, read: list[int]
) -> None:
    image = lazy_image(material_of(OnDisk(make_patient())), "p0")
    assert not read
    part = image[..., 2:5, 4:6, 0:7]
    assert part.shape == (2, 3, 2, 7)
    assert part.dtype == np.int16
    assert read == [42, 42]


def test_patients_without_labels_are_left_out_and_the_order_is_that_of_the_ids(
    make_patient: MakePatient,
) -> None:
    material = material_of(
        make_patient("a"),
        make_patient("b", without=("tumor",)),
        make_patient("c", without=("structures",)),
        make_patient("d", without=("nodes",)),
    )
    ids = ["d", "c", "b", "a"]
    found = {stage: [case.patient for case in segmentation_cases(material, ids, stage)] for stage in STAGES}
    assert found == {
        StageName.STRUCTURES: ["d", "b", "a"],
        StageName.TUMOR: ["d", "c", "a"],
        StageName.NODES: ["b", "a"],  # without structures there is no attention
    }
    assert [case.patient for case in identification_cases(material, ids)] == ["c", "b", "a"]
    assert segmentation_cases(material, [], StageName.TUMOR) == []


def test_a_patient_with_a_node_file_but_no_node_teaches_stage_1_and_not_stage_2(
    make_patient: MakePatient,
) -> None:
    patient = make_patient()
    assert patient.nodes is not None
    none = NodeMap(instances=patient.nodes.instances.with_array(np.zeros((26, 22, 16), np.int32)), nodes=())
    material = material_of(
        PreparedPatient(patient_id="p0", ct=patient.ct, structures=patient.structures, nodes=none)
    )
    (case,) = segmentation_cases(material, ["p0"], StageName.NODES)
    assert not np.asarray(case.labels).any()
    assert identification_cases(material, ["p0"]) == []


def test_an_image_that_goes_away_meanwhile_is_named_as_such(make_patient: MakePatient) -> None:
    patients: dict[str, Prepared] = {"p0": make_patient()}
    material = Material(patients=patients, learned=LEARNED, config=Config())
    (case,) = segmentation_cases(material, ["p0"], StageName.TUMOR)
    patients["p0"] = make_patient(without=("tumor",))
    with pytest.raises(
        InputError, match=r"a prepared image is gone \[E_DAMAGED\] - prepare the patient again"
    ):
        np.asarray(case.labels)


def test_the_settings_and_bands_of_the_training_make_the_attention(make_patient: MakePatient) -> None:
    patient, steep = make_patient(), AttentionSettings(border=1.0)
    material = Material(patients={"p0": patient}, learned=LEARNED, config=Config(attention=steep))
    (case,) = segmentation_cases(material, ["p0"], StageName.NODES)
    expected = patient.attention(LEARNED.bands, steep)
    assert expected is not None
    assert_array_equal(np.asarray(case.attention), as_bytes(expected.array).transpose(2, 1, 0))


@pytest.mark.parametrize("without", [(), ("arterial",)])
def test_lazy_lymph_nodes_equal_those_in_memory(without: tuple[str, ...], make_patient: MakePatient) -> None:
    patient = make_patient(noise=9.0, without=without)
    assert patient.nodes is not None
    (case,) = identification_cases(material_of(patient), ["p0"])
    held = identification_case(
        "p0",
        network_channels(normalized(patient.ct, LEARNED.sight(StageName.NODES).phases)),
        patient.nodes,
        patient.ct,
        fill=FILLS if not without else (0.0, FILLS[1]),  # a phase that is missing is 0 beyond the image, too
    )
    assert (case.patient, case.boxes, case.labels, case.classes, case.fill) == (
        held.patient, held.boxes, held.labels, held.classes, held.fill
    )  # fmt: skip
    assert (case.labels, case.classes) == ((3, 7), (1, 0))
    assert_array_equal(case.features, held.features)
    assert_array_equal(np.asarray(case.image), held.image)
    assert_array_equal(np.asarray(case.instances), held.instances)
    for one, other in zip(crops(case), crops(held), strict=True):
        assert_array_equal(one, other)


def crops(case: IdentificationCase) -> list[AnyArray]:
    """Image, mask and box of every node, partly beyond the image."""
    margins = np.full((2, 3), 1)
    found = [cut_crop(case, n, (12, 14, 16), SpatialTransform(), margins) for n in range(len(case.labels))]
    return [part for crop in found for part in (crop.image, crop.mask, crop.box)]


def test_the_instances_of_a_cohort_are_not_held(make_patient: MakePatient, read: list[int]) -> None:
    (case,) = identification_cases(material_of(OnDisk(make_patient())), ["p0"])
    assert isinstance(case.image, LazyArray)
    assert isinstance(case.instances, LazyArray)
    read.clear()
    crops(case)
    # Two nodes: both phases and the instances of at most 12 × 14 × 16 voxels each, never the image.
    assert len(read) == 6
    assert max(read) <= 12 * 14 * 16 < SIZE


SAMPLING = SamplingSettings(
    patch_size=(16, 12, 8), batch_size=3, informative_negatives=True, phase_dropout=0.3
)


@pytest.mark.parametrize("stage", STAGES)
def test_patches_are_the_same_whether_images_are_read_or_held(
    stage: StageName, make_patient: MakePatient
) -> None:
    patients = [make_patient("p0", noise=9.0), make_patient("p1", noise=9.0)]
    lazy = segmentation_cases(material_of(*patients), ["p0", "p1"], stage)
    held = [eager(patient, stage) for patient in patients]
    one, other = (PatchSampler(cases, SAMPLING, AugmentationSettings(), seed=5) for cases in (lazy, held))
    for iteration in range(4):
        read, kept = one.batch(iteration), other.batch(iteration)
        assert_allclose(read.image, kept.image, atol=2e-5)
        assert bool((read.labels == kept.labels).all())
        assert (read.attention is None) == (kept.attention is None) == (stage is not StageName.NODES)
        if read.attention is not None and kept.attention is not None:
            assert_allclose(read.attention, kept.attention, atol=1 / 255)
    assert one.rejected == other.rejected


@pytest.mark.parametrize("name", ["core", "robust"])
def test_batches_of_nodes_are_bit_identical_whether_images_are_read_or_held(
    name: FeatureSetName, make_patient: MakePatient
) -> None:
    patient = make_patient(noise=9.0)
    assert patient.nodes is not None
    image = network_channels(normalized(patient.ct, LEARNED.sight(StageName.NODES).phases))
    held = identification_case(
        "p0", image, patient.nodes, patient.ct, fill=FILLS, feature_set=FEATURE_SETS[name]
    )
    material = material_of(patient)
    head = material.config.identification.head.model_copy(update={"feature_set": name})
    stage2 = material.config.identification.model_copy(update={"head": head})
    config = material.config.model_copy(update={"identification": stage2})
    lazy = identification_cases(replace(material, config=config), ["p0"])
    sampling = NodeSamplingSettings(crop_size=(16, 12, 8), batch_size=4)
    one, other = (NodeSampler(cases, sampling, 2, seed=5) for cases in (lazy, [held]))
    for iteration in range(3):
        read, kept = one.batch(iteration), other.batch(iteration)
        for part in ("image", "mask", "box", "features", "classes"):
            assert_array_equal(getattr(read, part), getattr(kept, part), err_msg=part)


def test_a_case_looks_at_its_own_patient_only(make_patient: MakePatient) -> None:
    asked: list[str] = []

    class Cohort(Mapping[str, Prepared]):
        def __getitem__(self, name: str) -> Prepared:
            asked.append(name)
            return make_patient(name)

        def __iter__(self) -> Iterator[str]:
            return iter(["p0", "p1"])

        def __len__(self) -> int:
            return 2

    material = Material(patients=Cohort(), learned=LEARNED, config=Config())
    (case,) = segmentation_cases(material, ["p1"], StageName.STRUCTURES)
    np.asarray(case.image)
    np.asarray(case.labels)
    assert set(asked) == {"p1"}


@pytest.mark.parametrize("known", [1, 5, 400])
def test_the_box_of_a_label_is_found_from_some_of_its_voxels(known: int, make_patient: MakePatient) -> None:
    volume = make_patient().ct.venous
    labels = np.zeros(volume.geometry.shape, np.uint16)
    labels[3:22, 5:8, 0:11] = 7
    labels[20:24, 5:20, 10] = 7
    labels[0:2, 0, 0] = 3
    flat = np.flatnonzero(labels.transpose(2, 1, 0) == 7)
    some = np.sort(np.random.default_rng(known).choice(flat, known, replace=False))
    found = box_of_label(HeldVolume(volume.with_array(labels)), 7, some)
    assert found == (slice(3, 24), slice(5, 20), slice(0, 11))


def test_a_node_record_without_a_voxel_is_refused(make_patient: MakePatient) -> None:
    patient = make_patient()
    assert patient.nodes is not None
    more = replace(patient.nodes.nodes[0], label=9)
    drawn = NodeMap(instances=patient.nodes.instances, nodes=(*patient.nodes.nodes, more))
    held = PreparedPatient(patient_id="p0", ct=patient.ct, structures=patient.structures, nodes=drawn)
    with pytest.raises(InputError, match="p0: lymph node 9 has no voxel in the map"):
        identification_cases(material_of(held), ["p0"])


def test_lymph_nodes_are_measured_in_their_boxes(make_patient: MakePatient, read: list[int]) -> None:
    identification_cases(material_of(OnDisk(make_patient())), ["p0"])
    assert max(read) < SIZE / 4
