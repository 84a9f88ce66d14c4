from pathlib import Path

import numpy as np
import pytest

from lymphct.core.errors import GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.results.volumes import GRID_FILE, load_array, load_volumes, save_volumes

OBLIQUE = Geometry(
    shape=(3, 4, 5),
    spacing=(0.68, 0.7, 0.8),
    origin=(-10.0, 20.5, 3.25),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0)),
)


def test_images_come_back_equal_on_the_same_grid(tmp_path: Path) -> None:
    ct = Volume(array=np.arange(60, dtype=np.int16).reshape(3, 4, 5), geometry=OBLIQUE)
    mask = Volume(array=(ct.array > 30).astype(np.uint8), geometry=OBLIQUE)
    save_volumes(tmp_path, {"venous": ct, "tumor": mask})
    loaded = load_volumes(tmp_path)
    assert set(loaded) == {"venous", "tumor"}
    assert loaded["venous"].geometry == OBLIQUE
    np.testing.assert_array_equal(loaded["venous"].array, ct.array)
    assert loaded["tumor"].array.dtype == np.uint8


def test_images_on_different_grids_are_not_stored_together(tmp_path: Path) -> None:
    ct = Volume(array=np.zeros((3, 4, 5)), geometry=OBLIQUE)
    moved = Volume(array=np.zeros((3, 4, 5)), geometry=OBLIQUE.cropped((1, 0, 0), (3, 4, 5)))
    with pytest.raises(GeometryMismatchError, match="another voxel grid"):
        save_volumes(tmp_path, {"a": ct, "b": moved})


def test_a_damaged_grid_is_named(tmp_path: Path) -> None:
    (tmp_path / GRID_FILE).write_text('{"shape": [1, 2]}')
    with pytest.raises(InputError, match="not a grid of ours"):
        load_volumes(tmp_path)


def test_an_array_of_objects_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="missing or damaged"):
        load_array(tmp_path / "odd.npy")
