"""A cohort of three with results, made without a network, and its export."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.dicom_exports import ct_volume, some_nodes, write_made_result

from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume
from lymphct.io.manifest import Manifest, read_manifest, write_manifest
from lymphct.patients.annotation.exporting import Export
from lymphct.patients.annotation.handing_out import hand_out


@dataclass(frozen=True)
class Loop:
    """Folders of a cohort in the loop; `p2` has no lymph nodes."""

    cohort: Manifest
    results: Path
    readers: Path
    ct: Volume

    @property
    def corrected(self) -> Path:
        return self.readers.with_name("corrected")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loop")
    rows = []
    for number in range(3):
        name = f"p{number}"
        ct = ct_volume()
        array = ct.array.copy()
        array[0, 0, 0] = -900 - number  # two patients never share an image
        ct = ct.with_array(array)
        venous = folder / "images" / f"{name}.nii.gz"
        write_volume(venous, ct)
        nodes = some_nodes(ct.geometry, 0 if number == 2 else 4, seed=number)
        write_made_result(folder / "results" / name, ct, nodes, venous=venous)
        rows.append({"patient_id": name, "venous": venous, "n_status": number % 2})
    write_manifest(folder / "cohort.csv", rows)
    cohort = read_manifest(folder / "cohort.csv")
    hand_out(cohort, Export(out=folder / "readers", results=folder / "results"))
    return folder


@pytest.fixture
def loop(made_once: Path, tmp_path: Path) -> Loop:
    """A copy nobody else writes into."""
    folder = tmp_path / "loop"
    shutil.copytree(made_once, folder)
    return Loop(
        cohort=read_manifest(folder / "cohort.csv"),
        results=folder / "results",
        readers=folder / "readers",
        ct=ct_volume(),
    )
