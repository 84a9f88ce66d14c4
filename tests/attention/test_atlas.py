"""The attention of an atlas: what its numbers mean, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist

from lymphct.attention.atlas import LANDMARKS, TUMOR, Atlas
from lymphct.attention.atlas_mapping import atlas_map
from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import attention_map, guided_by, guiding_attention
from lymphct.attention.prior import prior_key
from lymphct.attention.settings import AttentionSettings
from lymphct.core.arrays import AnyArray, DoubleArray
from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import GUIDING_STRUCTURES, OTHER_STRUCTURES, Structure
from lymphct.core.volume import Volume

SPACING = (0.68, 1.1, 0.8)
OBLIQUE = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
ATLAS = Atlas(
    knots=(-2.0, 0.5, 4.0, 8.0),
    effects={"spleen": (-3.0, 1.0, 0.5), "aorta": (-2.0, 0.25, 1.5), TUMOR: (0.0, 2.0, 1.0)},
    absent={"spleen": 0.5, "aorta": 0.25, TUMOR: 0.75},
    least=0.5,
    full=2.5,
)


def volume(labels: AnyArray) -> Volume:
    i, j, k = labels.shape
    grid = Geometry(shape=(i, j, k), spacing=SPACING, origin=(3.0, -7.0, 1.0), direction=OBLIQUE)
    return Volume(array=labels, geometry=grid)


def balls(seed: int) -> tuple[Volume, Volume]:
    """A ball each of spleen, aorta and liver, and one of tumor, in an image wider than their reach."""
    rng = np.random.default_rng(seed)
    index = np.indices((15, 12, 14))
    labels, tumor = np.zeros(index.shape[1:], np.uint8), np.zeros(index.shape[1:], np.uint8)
    for label in (Structure.SPLEEN, Structure.AORTA, Structure.LIVER, 0):
        center = rng.integers(1, 11, size=3).reshape(3, 1, 1, 1)
        inside = ((index - center) ** 2).sum(axis=0) <= 5
        if label:
            labels[inside] = label
        else:
            tumor[inside] = 1
    return volume(labels), volume(tumor)


def signed(mask: AnyArray) -> DoubleArray:
    positions = np.indices(mask.shape).reshape(3, -1).T * np.asarray(SPACING)
    inside = mask.ravel() != 0
    apart = cdist(positions, positions)
    outward = np.where(inside, np.inf, apart[:, inside].min(axis=1, initial=np.inf))
    inward = np.where(inside, apart[:, ~inside].min(axis=1, initial=np.inf), np.inf)
    return np.where(inside, -inward, outward).reshape(mask.shape)


def reference(guiding: Volume, tumor: Volume | None, atlas: Atlas) -> DoubleArray:
    """Sum the effects of all pairs of voxels, in double precision."""
    score, near = np.zeros(guiding.array.shape), np.zeros(guiding.array.shape, np.bool_)
    masks = {s.label: guiding.array == s for s in GUIDING_STRUCTURES if np.any(guiding.array == s)}
    if tumor is not None and tumor.array.any():
        masks[TUMOR] = tumor.array != 0
    for name, effect in atlas.effects.items():
        if name not in masks:
            score += atlas.absent.get(name, 0.0)
            continue
        distance = signed(masks[name])
        score += np.interp(distance, atlas.knots, (*effect, 0.0))
        if name != TUMOR:
            near |= distance < atlas.knots[-1]
    attention = np.exp(np.minimum(score - atlas.full, 0.0))
    return np.where(near & (score >= atlas.least), attention, 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_map_is_the_sum_of_effects_of_exact_distances(seed: int) -> None:
    structures, tumor = balls(seed)
    guiding = guided_by(structures, tumor)
    found = atlas_map(guiding, tumor, ATLAS)
    assert found.array.dtype == np.float32
    assert found.geometry == structures.geometry
    assert_allclose(found.array, reference(guiding, tumor, ATLAS), atol=1e-5)
    assert found.array.min() == 0.0
    assert 0.0 < found.array.max() <= 1.0


def test_one_structure_alone_is_what_its_numbers_say_by_hand() -> None:
    labels = np.zeros((30, 1, 1), np.uint8)
    labels[:3] = Structure.SPLEEN
    line = Volume(array=labels, geometry=Geometry(shape=(30, 1, 1), spacing=(1.0, 1.0, 1.0)))
    atlas = Atlas(knots=(-1.0, 1.0, 3.0, 9.0), effects={"spleen": (-4.0, 2.0, 1.0)}, least=0.6, full=1.5)
    found = atlas_map(line, None, atlas).array.ravel()
    # 1 mm outside the effect is 2, at 2 mm 1.5, at 3 mm 1, at 5 mm 2/3 and at 6 mm a half: below `least`.
    expected = [0.0, 0.0, 0.0, 1.0, 1.0, np.exp(-0.5), np.exp(5 / 6 - 1.5), np.exp(2 / 3 - 1.5), 0.0]
    assert_allclose(found[:9], expected, atol=1e-6)
    assert not found[9:].any()


def test_an_absent_landmark_leaves_the_others_their_scale() -> None:
    structures, tumor = balls(1)
    for lacking in (Structure.AORTA, Structure.SPLEEN):
        array = np.where(structures.array == lacking, 0, structures.array).astype(np.uint8)
        fewer = structures.with_array(array)
        for mask in (tumor, None, tumor.with_array(np.zeros_like(tumor.array))):
            expected = reference(fewer, mask, ATLAS)
            assert_allclose(atlas_map(fewer, mask, ATLAS).array, expected, atol=1e-5)
            assert expected.any()
    nothing = structures.with_array(np.zeros_like(structures.array))
    assert not atlas_map(nothing, tumor, ATLAS).array.any()


def test_other_organs_are_dark_where_that_is_asked_for() -> None:
    structures, tumor = balls(2)
    inside = structures.array == Structure.LIVER
    plain = guiding_attention(structures, tumor, ATLAS)
    dark = guiding_attention(structures, tumor, ATLAS, AttentionSettings(suppress_other_organs=True))
    assert plain.array[inside].any()
    assert not dark.array[inside].any()
    assert_array_equal(dark.array[~inside], plain.array[~inside])
    assert {s.label for s in OTHER_STRUCTURES} == {
        "liver", "gallbladder", "left_kidney", "right_kidney", "left_adrenal", "right_adrenal",
        "inferior_vena_cava", "portal_and_splenic_vein", "superior_mesenteric_vein",
    }  # fmt: skip


def test_the_order_of_the_axes_in_memory_changes_nothing() -> None:
    structures, tumor = balls(3)
    turned = structures.with_array(np.asfortranarray(structures.array))
    found = atlas_map(turned, tumor, ATLAS)
    assert_allclose(found.array, atlas_map(structures, tumor, ATLAS).array, atol=1e-6)


def test_a_prior_of_bands_is_the_map_of_the_paper() -> None:
    structures, tumor = balls(4)
    expected = attention_map(guided_by(structures, tumor), PAPER_BANDS)
    assert_array_equal(guiding_attention(structures, tumor, PAPER_BANDS).array, expected.array)


def test_equal_priors_have_equal_keys() -> None:
    again = Atlas.model_validate_json(ATLAS.model_dump_json())
    assert prior_key(again) == prior_key(ATLAS)
    other = ATLAS.model_copy(update={"full": 3.0})
    keys = {prior_key(prior) for prior in (ATLAS, other, PAPER_BANDS, {Structure.AORTA: Band(0.0, 1.0)})}
    assert len(keys) == 4


def test_masks_that_do_not_fit_are_refused() -> None:
    structures, tumor = balls(5)
    other = Volume(array=tumor.array, geometry=Geometry(shape=tumor.array.shape, spacing=(1.0, 1.0, 1.0)))
    with pytest.raises(GeometryMismatchError, match="the tumor mask lies on another voxel grid"):
        atlas_map(structures, other, ATLAS)
    strange = structures.with_array(np.full_like(structures.array, 77))
    with pytest.raises(InputError, match=r"numbers that name no structure: \[77\]"):
        atlas_map(strange, None, ATLAS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"knots": (-2.0, 4.0, 0.5, 8.0)}, "the knots of the atlas do not rise"),
        ({"effects": {"appendix": (0.0, 0.0, 0.0)}}, "effects of what is no landmark: appendix"),
        ({"absent": {"liver": 0.0}}, "effects of what is no landmark: liver"),
        ({"effects": {"spleen": (0.0,)}}, "an effect of the atlas has not 3 values"),
        ({"effects": {"spleen": (0.0, 0.0, 51.0)}}, "less than or equal to 50"),
        ({"least": 2.6}, "the attention of the atlas begins at 2.6, above 2.5, where it is full"),
        ({"full": float("nan")}, "finite number"),
        ({"further": 1}, "Extra inputs are not permitted"),
    ],
)
def test_numbers_that_make_no_atlas_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Atlas.model_validate({**ATLAS.model_dump(), **change})


def test_the_landmarks_are_the_guiding_structures_and_the_tumor() -> None:
    assert (*(structure.label for structure in GUIDING_STRUCTURES), "tumor") == LANDMARKS
