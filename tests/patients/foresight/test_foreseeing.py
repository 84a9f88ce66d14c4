"""Room on the disk, memory, and problems that can be raised."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lymphct.attention.bands import PAPER_BANDS
from lymphct.attention.mapping import attention_map
from lymphct.attention.storing import as_bytes
from lymphct.core.errors import (
    EnvironmentProblemError,
    InputError,
    LymphctError,
    ModelError,
    OutputInUseError,
    UsageError,
)
from lymphct.core.geometry import Geometry
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations, lit_locations
from lymphct.io.manifest import Manifest
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.foresight.foreseeing import weak_memory
from lymphct.patients.foresight.outlook import Need
from lymphct.patients.foresight.problems import Problem, found_by
from lymphct.patients.foresight.space import STORED, require_room, room_to_predict, room_to_prepare
from lymphct.patients.prepared.preparation import Preparation
from lymphct.patients.prepared.preparing import cropped
from lymphct.registration.settings import RegistrationSettings

if TYPE_CHECKING:
    from lymphct.core.arrays import AnyArray


def preparation(folder: Path) -> Preparation:
    return Preparation(
        folder=folder, spacing=(3.0, 3.0, 3.0), registration=RegistrationSettings(method="none")
    )


def test_what_is_prepared_takes_room_by_its_images_and_voxels(cohort: Manifest, tmp_path: Path) -> None:
    first, second, *_ = cohort.patients
    voxels = 64 * 64 * 48
    alone = replace(second, arterial=None, tumor=None, nodes=None)
    need = room_to_prepare([first, alone], preparation(tmp_path), tmp_path)
    whole, lacking = 2 * 1.5 + 0.15 + 0.05 + 0.05 + 0.25, 1.5 + 0.15 + 0.25 + 0.2
    assert need.needed == pytest.approx(voxels * (whole + lacking) + 2 * 2_000_000, abs=2)
    assert whole + 0.2 <= 0.45 * 10  # of what a voxel took before
    assert need.free is not None
    assert need.free > 0


@pytest.mark.parametrize("sd", [0.0, 60.0])
def test_no_patient_takes_more_room_than_was_asked_for(sd: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    grid = Geometry(shape=(90, 80, 70), spacing=(0.7, 0.7, 0.8))
    phase = np.clip(rng.normal(40.0, sd, grid.shape), -1024, 3000).astype(np.int16)  # no air to cut away
    masks = np.zeros(grid.shape, np.uint8)
    for number in range(1, 20):  # nineteen structures, many small ones
        place = rng.integers(0, 60, 3)
        masks[tuple(slice(low, low + 12) for low in place)] = number
    arrays: dict[str, AnyArray] = {"venous": phase, "arterial": phase[::-1], "structures": masks}
    arrays["tumor"] = masks // 19
    images = {name: Volume(array=array, geometry=grid) for name, array in arrays.items()}
    images["nodes"] = images["tumor"]
    kept, crop = cropped(images)
    drawn = {name: class_locations(kept[name].array) for name in ("structures", "tumor", "nodes")}
    save_volumes(tmp_path, kept, crop=crop, locations=drawn)
    (tmp_path / "attention").mkdir()
    attention = attention_map(kept["structures"], PAPER_BANDS)
    stored = attention.with_array(as_bytes(attention.array))
    lit = {1: lit_locations(attention.array)}
    save_volumes(tmp_path / "attention", {"attention": stored}, locations={"attention": lit})
    taken = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    asked = STORED.prepared(images, math.prod(grid.shape))
    assert taken <= asked
    assert asked - STORED.tables <= 0.45 * 10 * math.prod(grid.shape)


def test_patients_that_are_prepared_already_take_no_more(cohort: Manifest, tmp_path: Path) -> None:
    how = preparation(tmp_path)
    how.store.place(cohort.patients[0].patient_id).mkdir(parents=True)
    assert room_to_prepare(cohort.patients[:1], how, tmp_path).needed == 0


def test_results_take_room_by_the_voxels_of_the_venous_phase(cohort: Manifest, tmp_path: Path) -> None:
    need = room_to_predict(cohort.patients[:2], tmp_path)
    assert need.needed == 2 * (64 * 64 * 48 * STORED.result + STORED.page)


def test_work_without_room_on_the_disk_is_refused(tmp_path: Path) -> None:
    require_room(Need(needed=5, free=5), tmp_path)
    require_room(Need(needed=5, free=None), tmp_path)
    with pytest.raises(
        EnvironmentProblemError, match=r"out: 3\.0 GB are needed, 2\.0 GB are free .*E_NO_SPACE"
    ):
        require_room(Need(needed=3 * 10**9, free=2 * 10**9), tmp_path / "out")
    with pytest.raises(EnvironmentProblemError, match="out: 65 MB are needed, 6 MB are free"):
        require_room(Need(needed=65 * 10**6, free=6 * 10**6), tmp_path / "out")


def test_memory_that_may_not_suffice_is_noticed() -> None:
    assert weak_memory(Need(needed=10, free=40), 4) == ()
    assert weak_memory(Need(needed=10, free=None), 4) == ()
    (notice,) = weak_memory(Need(needed=10, free=35), 4)
    assert (notice.code, notice.text) == ("memory", "memory suffices for 3 of 4 processes")
    (alone,) = weak_memory(Need(needed=10, free=9), 1)
    assert alone.text == "memory may not suffice"


@pytest.mark.parametrize(
    "kind", [UsageError, InputError, OutputInUseError, EnvironmentProblemError, ModelError, LymphctError]
)
def test_a_problem_becomes_an_error_of_its_kind_again(kind: type[LymphctError]) -> None:
    def refuse() -> None:
        msg = "it is bad"
        raise kind(msg, code="E_X", cure="mend it").at(patient="p1", file="a.nii")

    (problem,) = found_by(refuse)
    again = problem.error()
    assert type(again) is kind
    assert str(again) == str(problem) == "p1: a.nii: it is bad [E_X] - mend it"


def test_a_problem_of_a_line_says_line_and_column() -> None:
    problem = Problem.of(InputError("it is bad", code="E_X").at(patient="p1"), 4, "tumor")
    assert str(problem) == "line 4, column tumor: p1: it is bad [E_X]"
    assert str(problem.error()) == "p1: line 4, column tumor: it is bad [E_X]"
    assert "exit_code" not in problem.record()
    assert found_by(lambda: None) == []
