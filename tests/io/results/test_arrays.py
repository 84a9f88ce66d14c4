from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError
from lymphct.io.results.arrays import StoredArray, load_array, save_array


def test_an_array_is_read_whole_or_piece_by_piece(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    save_array(tmp_path / "a.npy", array)
    assert_array_equal(load_array(tmp_path / "a.npy"), array)
    stored = StoredArray.open(tmp_path / "a.npy")
    assert (len(stored), stored.shape, stored.ndim) == (4, (4, 3, 2), 3)
    assert_array_equal(stored[2], array[2])
    assert_array_equal(np.asarray(stored), array)


def test_an_array_of_objects_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "odd.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="missing or damaged"):
        load_array(tmp_path / "odd.npy")
