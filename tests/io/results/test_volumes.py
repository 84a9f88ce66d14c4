from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.results.volumes import (
    GRID_FILE,
    Crop,
    StoredImages,
    load_volumes,
    save_volumes,
    smallest_unsigned,
)

OBLIQUE = Geometry(
    shape=(3, 4, 5),
    spacing=(0.68, 0.7, 0.8),
    origin=(-10.0, 20.5, 3.25),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0)),
)
CT = Volume(array=np.arange(60, dtype=np.int16).reshape(3, 4, 5), geometry=OBLIQUE)


def test_images_come_back_equal_on_the_same_grid(tmp_path: Path) -> None:
    mask = CT.with_array((CT.array > 30).astype(np.uint8))
    save_volumes(tmp_path, {"venous": CT, "tumor": mask})
    loaded = load_volumes(tmp_path)
    assert set(loaded) == {"venous", "tumor"}
    assert loaded["venous"].geometry == OBLIQUE
    assert_array_equal(loaded["venous"].array, CT.array)
    assert loaded["venous"].array.flags.c_contiguous
    assert loaded["tumor"].array.dtype == np.uint8


def test_a_box_of_an_image_is_read_alone(tmp_path: Path) -> None:
    save_volumes(tmp_path, {"venous": CT})
    stored = StoredImages(tmp_path)
    assert "arterial" not in stored
    assert list(stored) == ["venous"]
    image = stored["venous"]
    assert stored["venous"] is image
    assert image.geometry == OBLIQUE
    assert image.dtype == np.int16
    box = (slice(1, 3), slice(0, 2), slice(2, 5))
    assert_array_equal(image.read(box), CT.array[box])


def test_the_grid_an_image_was_cut_from_is_remembered(tmp_path: Path) -> None:
    full = OBLIQUE.cropped((-2, -1, 0), (9, 9, 9))
    save_volumes(tmp_path, {"venous": CT}, crop=Crop(start=(2, 1, 0), full=full))
    crop = StoredImages(tmp_path).crop
    assert crop == Crop(start=(2, 1, 0), full=full)
    assert crop is not None
    assert full.cropped(crop.start, OBLIQUE.shape).matches(OBLIQUE)


def test_locations_come_back_by_class(tmp_path: Path) -> None:
    kept = {"structures": {3: np.array([1, 5, 7]), 12: np.array([0])}, "tumor": {}}
    save_volumes(tmp_path, {"venous": CT}, locations=kept)
    stored = StoredImages(tmp_path)
    found = stored.locations("structures")
    assert found is not None
    assert {number: voxels.tolist() for number, voxels in found.items()} == {3: [1, 5, 7], 12: [0]}
    assert found[3].dtype == np.int64
    assert stored.locations("tumor") == {}
    assert stored.locations("venous") is None


def test_the_same_images_leave_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_volumes(tmp_path / name, {"venous": CT}, locations={"venous": {1: np.arange(9)}})
        files = sorted((tmp_path / name).iterdir())
        contents.append([(path.name, path.read_bytes()) for path in files])
    assert contents[0] == contents[1]


def test_images_on_different_grids_are_not_stored_together(tmp_path: Path) -> None:
    moved = Volume(array=CT.array, geometry=OBLIQUE.cropped((1, 0, 0), (3, 4, 5)))
    with pytest.raises(GeometryMismatchError, match="another voxel grid"):
        save_volumes(tmp_path, {"a": CT, "b": moved})


@pytest.mark.parametrize(
    "text", ['{"shape": [1, 2]}', "", '{"volumes": ["../venous"]}', '{"shape": "big"', "[]"]
)
def test_a_damaged_grid_is_named(text: str, tmp_path: Path) -> None:
    save_volumes(tmp_path, {"venous": CT})
    (tmp_path / GRID_FILE).write_text(text)
    with pytest.raises(InputError, match=r"p1: grid\.json: .* \[E_DAMAGED\]"):
        StoredImages(tmp_path, "p1")


def test_an_image_of_another_shape_than_its_grid_is_refused(tmp_path: Path) -> None:
    save_volumes(tmp_path, {"venous": CT})
    (tmp_path / "other").mkdir()
    save_volumes(
        tmp_path / "other",
        {"venous": Volume(array=CT.array[:2], geometry=OBLIQUE.cropped((0, 0, 0), (2, 4, 5)))},
    )
    (tmp_path / "venous.chunks").write_bytes((tmp_path / "other" / "venous.chunks").read_bytes())
    with pytest.raises(InputError, match=r"p1: venous\.chunks: .* \[E_DAMAGED\]"):
        StoredImages(tmp_path, "p1")["venous"]


def test_label_maps_take_the_smallest_type_that_holds_their_numbers() -> None:
    for most, kind in ((0, np.uint8), (255, np.uint8), (256, np.uint16), (70_000, np.uint32)):
        assert smallest_unsigned(np.array([[[0, most]]], np.int64)).dtype == kind
