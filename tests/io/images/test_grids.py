from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lymphct.core.arrays import AnyArray
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.io.images.grids import read_grid
from lymphct.io.images.reading import read_volume, write_volume

TURNED = Geometry(
    shape=(9, 7, 5),
    spacing=(0.68, 0.68, 0.8),
    origin=(3.0, -5.0, 8.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0)),
)


def test_the_grid_of_a_file_is_that_of_the_image_in_it(tmp_path: Path) -> None:
    path = tmp_path / "image.nii.gz"
    write_volume(path, Volume(array=np.zeros(TURNED.shape, np.int16), geometry=TURNED))
    assert read_grid(path).matches(TURNED)
    assert read_grid(path) == read_volume(path).geometry


def test_the_voxels_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    nib.save(nib.Nifti1Image(np.zeros((6, 5, 4), np.int16), np.diag([-2.0, -2.0, 2.5, 1.0])), path)
    path.write_bytes(path.read_bytes()[:600])
    assert read_grid(path).shape == (6, 5, 4)


def test_the_grid_of_a_dicom_folder_is_that_of_its_series(
    make_series: Callable[..., Path], body: AnyArray
) -> None:
    folder = make_series(body)
    assert read_grid(folder) == read_volume(folder).geometry


def test_what_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^none\.nii: .*\[E_MISSING\]"):
        read_grid(tmp_path / "none.nii")
    (tmp_path / "page.nii").write_text("<html>" * 200)
    with pytest.raises(InputError, match=r"^page\.nii: "):
        read_grid(tmp_path / "page.nii")
