"""What a student learns from: drawn labels win, unsure and implausible voxels teach nothing."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lymphct.anatomy.self_learning import (
    Drawn,
    Overlap,
    TeacherMap,
    cleaned,
    combined,
    confident,
    incomplete,
    overlaps,
    student_labels,
    without,
)
from lymphct.anatomy.settings import SelfLearningSettings, StructureSettings
from lymphct.anatomy.structures import build_structure_network, segment_structures, segment_surely
from lymphct.core.errors import GeometryMismatchError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.learning.settings import SamplingSettings, UNetSettings

SPLEEN, AORTA, LGA = Structure.SPLEEN, Structure.AORTA, Structure.LEFT_GASTRIC_ARTERY
UNKNOWN = 255
ALL = tuple(Structure)
SETTINGS = SelfLearningSettings()


def line(values: Sequence[float], kind: type[np.generic] = np.uint8) -> Volume:
    """A row of voxels along i."""
    array = np.array(values, dtype=kind).reshape(-1, 1, 1)
    return Volume(array=array, geometry=Geometry(shape=array.shape, spacing=(0.7, 0.7, 0.8)))


def teacher(
    values: Sequence[int], structures: tuple[Structure, ...] = ALL, sure: Sequence[float] | None = None
) -> TeacherMap:
    confidence = None if sure is None else line(sure, np.float32)
    return TeacherMap(labels=line(values), structures=structures, confidence=confidence)


def values_of(volume: Volume) -> list[int]:
    found: list[int] = volume.array.reshape(-1).tolist()
    return found


def test_where_nobody_drew_the_teacher_speaks_alone() -> None:
    found = student_labels(None, teacher([SPLEEN, 0, UNKNOWN], (SPLEEN, AORTA)))
    assert found is not None
    assert values_of(found.labels) == [SPLEEN, 0, UNKNOWN]
    assert found.structures == (SPLEEN, AORTA)
    assert student_labels(None, None) is None
    assert student_labels(None, teacher([UNKNOWN], ())) is None


def test_drawn_labels_win_voxel_by_voxel_and_the_teacher_adds_what_was_not_drawn() -> None:
    drawn = Drawn(labels=line([AORTA, 0, AORTA, 0, 0]), structures=(AORTA,))
    #       the teacher: agrees, too wide, another structure on it, one that nobody drew, nothing
    found = student_labels(drawn, teacher([AORTA, AORTA, SPLEEN, SPLEEN, 0], (SPLEEN, AORTA)))
    assert found is not None
    assert values_of(found.labels) == [AORTA, 0, AORTA, SPLEEN, 0]
    assert found.structures == (SPLEEN, AORTA)


def test_a_whole_drawn_map_leaves_nothing_to_the_teacher() -> None:
    drawn = Drawn(labels=line([AORTA, 0, 0]))
    found = student_labels(drawn, teacher([SPLEEN, SPLEEN, UNKNOWN], (SPLEEN,)))
    assert found is not None
    assert values_of(found.labels) == [AORTA, 0, 0]
    assert found.structures is None  # all of them


def test_where_nobody_looked_the_teacher_speaks_and_silence_is_not_background() -> None:
    unseen = np.array([True, True, False]).reshape(-1, 1, 1)
    drawn = Drawn(labels=line([0, 0, LGA]), structures=(AORTA, LGA), unjudged=unseen)
    found = student_labels(drawn, teacher([AORTA, 0, 0], (SPLEEN, AORTA)))
    assert found is not None
    # The second voxel may be a left gastric artery, which the teacher does not know.
    assert values_of(found.labels) == [AORTA, UNKNOWN, LGA]
    alone = student_labels(drawn, None)
    assert alone is not None
    assert values_of(alone.labels) == [UNKNOWN, UNKNOWN, LGA]
    everything = student_labels(drawn, teacher([AORTA, 0, 0], ALL))
    assert everything is not None
    assert values_of(everything.labels) == [AORTA, 0, LGA]


def test_a_voxel_the_teacher_is_silent_of_is_unknown_only_if_the_teacher_adds_something() -> None:
    drawn = Drawn(labels=line([0]), structures=(AORTA,))
    adds = student_labels(drawn, teacher([UNKNOWN], (SPLEEN,)))
    repeats = student_labels(drawn, teacher([UNKNOWN], (AORTA,)))
    assert adds is not None
    assert repeats is not None
    assert values_of(adds.labels) == [UNKNOWN]
    assert values_of(repeats.labels) == [0]


def test_maps_on_different_grids_are_refused() -> None:
    with pytest.raises(GeometryMismatchError):
        student_labels(Drawn(labels=line([0, 0])), teacher([0]))


def test_each_structure_comes_from_the_first_source_that_tells_it() -> None:
    one = teacher([SPLEEN, 0, UNKNOWN, 0], (SPLEEN,), sure=[0.9, 0.8, 0.7, 0.6])
    other = teacher([AORTA, AORTA, SPLEEN, SPLEEN], (SPLEEN, AORTA), sure=[0.5, 0.4, 0.3, 0.2])
    found = combined([one, other])
    assert values_of(found.labels) == [SPLEEN, AORTA, UNKNOWN, 0]
    assert found.structures == (SPLEEN, AORTA)
    assert found.confidence is not None
    assert_allclose(found.confidence.array.reshape(-1), [0.9, 0.4, 0.3, 0.2], atol=1e-6)
    assert combined([one]) is one
    assert combined([one, teacher([0, 0, 0, 0], (AORTA,))]).confidence is None


def test_voxels_below_the_confidence_teach_nothing_whatever_their_class() -> None:
    told = teacher([SPLEEN, SPLEEN, 0, 0], sure=[0.5, 0.49, 0.9, 0.1])
    assert values_of(confident(told, 0.5).labels) == [SPLEEN, UNKNOWN, 0, UNKNOWN]
    assert values_of(confident(told, 0.0).labels) == [SPLEEN, SPLEEN, 0, 0]
    assert confident(teacher([SPLEEN]), 0.99).labels.array.tolist() == [[[SPLEEN]]]  # it gives no probability


def test_small_components_and_structures_that_cannot_be_teach_nothing() -> None:
    array = np.zeros((60, 60, 60), dtype=np.uint8)
    array[20:40, 20:40, 20:30] = Structure.LIVER  # 40 ml: no liver
    array[50:56, 30:40, 10:40] = SPLEEN
    array[1, 1, 1] = SPLEEN
    array[5:7, 5:7, 5:7] = UNKNOWN
    volume = Volume(array=array, geometry=Geometry(shape=array.shape, spacing=(2.0, 2.0, 2.5)))
    found, refused = cleaned(TeacherMap(labels=volume, structures=ALL), SETTINGS)
    assert set(refused) == {Structure.LIVER}
    assert refused[Structure.LIVER] == "the liver has 40 ml (200 to 10000 expected)"
    assert Structure.LIVER not in found.structures
    assert SPLEEN in found.structures
    expected = array.copy()
    expected[array == Structure.LIVER] = UNKNOWN
    expected[1, 1, 1] = UNKNOWN
    assert_array_equal(found.labels.array, expected)
    trusting = SETTINGS.model_copy(update={"plausible_only": False, "component_share": 0.0})
    kept, nothing = cleaned(TeacherMap(labels=volume, structures=ALL), trusting)
    assert nothing == {}
    assert_array_equal(kept.labels.array, array)


def test_numbers_a_teacher_does_not_tell_apart_are_none_of_what_it_does() -> None:
    trusting = SETTINGS.model_copy(update={"plausible_only": False})
    found, _ = cleaned(teacher([SPLEEN, LGA, 0, UNKNOWN], (SPLEEN,)), trusting)
    assert values_of(found.labels) == [SPLEEN, 0, 0, UNKNOWN]
    assert found.structures == (SPLEEN,)


def test_a_structure_that_ends_too_early_is_found_by_its_recall() -> None:
    drawn = Drawn(labels=line([AORTA, AORTA, AORTA, LGA, SPLEEN]), structures=(AORTA, LGA, SPLEEN))
    found = overlaps(line([AORTA, 0, UNKNOWN, 0, SPLEEN]), drawn, (AORTA, SPLEEN))
    assert found == {AORTA: Overlap(1, 1, 3), SPLEEN: Overlap(1, 1, 1)}
    assert found[AORTA].dice == pytest.approx(0.5)
    assert incomplete(found, SETTINGS) == {AORTA: pytest.approx(1 / 3)}
    assert incomplete(found, SETTINGS.model_copy(update={"least_recall": 0.0})) == {}
    assert Overlap(0, 0, 0).dice is None
    assert incomplete({LGA: Overlap(0, 4, 0)}, SETTINGS) == {}  # nobody drew one: nothing is known
    assert found[AORTA] + Overlap(1, 2, 1) == Overlap(2, 3, 4)
    short = without(teacher([AORTA, 0, SPLEEN], (AORTA, SPLEEN)), incomplete(found, SETTINGS))
    assert values_of(short.labels) == [UNKNOWN, 0, SPLEEN]
    assert short.structures == (SPLEEN,)


def test_voxels_nobody_looked_at_do_not_count_in_an_overlap() -> None:
    unseen = np.array([True, False]).reshape(-1, 1, 1)
    drawn = Drawn(labels=line([0, AORTA]), structures=(AORTA,), unjudged=unseen)
    assert overlaps(line([AORTA, AORTA]), drawn) == {AORTA: Overlap(1, 1, 1)}


def test_a_network_says_how_probable_its_classes_are(image: Multiphase) -> None:
    settings = StructureSettings(
        unet=UNetSettings(features=(4, 8), strides=((1, 1, 1), (2, 2, 2)), convolutions_per_stage=1),
        sampling=SamplingSettings(patch_size=(16, 16, 16)),
        component_share=0.0,
    )
    network = build_structure_network(settings, seed=3)
    labels, confidence = segment_surely(network, image, settings)
    assert_array_equal(labels.array, segment_structures(network, image, settings).array)
    assert labels.geometry == confidence.geometry == image.venous.geometry
    assert confidence.array.dtype == np.float32
    assert 1 / 20 <= confidence.array.min() < confidence.array.max() <= 1
