"""Room on the disk, memory, and problems that can be raised."""

from dataclasses import replace
from pathlib import Path

import pytest

from lymphct.core.errors import (
    EnvironmentProblemError,
    InputError,
    LymphctError,
    ModelError,
    OutputInUseError,
    UsageError,
)
from lymphct.io.manifest import Manifest
from lymphct.patients.foresight import weak_memory
from lymphct.patients.outlook import Need
from lymphct.patients.preparation import Preparation
from lymphct.patients.problems import Problem, found_by
from lymphct.patients.space import STORED, require_room, room_to_predict, room_to_prepare
from lymphct.registration.settings import RegistrationSettings


def preparation(folder: Path) -> Preparation:
    return Preparation(
        folder=folder, spacing=(3.0, 3.0, 3.0), registration=RegistrationSettings(method="none")
    )


def test_what_is_prepared_takes_exactly_the_bytes_of_its_voxels(cohort: Manifest, tmp_path: Path) -> None:
    first, second, *_ = cohort.patients
    voxels = 64 * 64 * 48
    alone = replace(second, arterial=None, tumor=None, nodes=None)
    need = room_to_prepare([first, alone], preparation(tmp_path), tmp_path)
    assert need.needed == voxels * (2 + 2 + 1 + 1 + 4 + 6) + voxels * (2 + 1 + 6)
    assert need.free is not None
    assert need.free > 0


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
