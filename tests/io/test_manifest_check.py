import os
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.manifest import Manifest, read_manifest
from lymphct.io.manifest_check import manifest_problems, require_usable
from lymphct.io.results.fingerprints import digest_file


def manifest(tmp_path: Path, *lines: str, columns: str = "patient_id,venous,arterial,n_status") -> Manifest:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.nii").write_text(name)
    (tmp_path / "a2.nii").write_text("a")
    path = tmp_path / "cohort.csv"
    path.write_text("\n".join((columns, *lines)) + "\n")
    return read_manifest(path)


def test_a_good_manifest_has_no_problems(tmp_path: Path) -> None:
    good = manifest(tmp_path, "p1,a.nii,b.nii,0", "P-2.x_y,c.nii,,1")
    assert manifest_problems(good) == []
    assert require_usable(good) == {}


def test_every_problem_is_told_at_once_with_its_line_and_cure(tmp_path: Path) -> None:
    problems = manifest_problems(
        manifest(tmp_path, "../evil,a.nii,,0", "p1,missing.nii,,yes", "p2,,,", "P1,b.nii,b.nii,"),
        needs=["n_status"],
    )
    assert [str(problem) for problem in problems] == [
        (
            "line 2: the patient_id '../evil' is not allowed [E_PATIENT_ID] - use 1 to 64 letters, digits, "
            "dots, hyphens or underscores, a letter or digit first"
        ),
        "line 3: p1: n_status is 'yes' [E_LABELS] - write 0 (no metastasis), 1 (metastasis) or nothing",
        (
            "line 3: p1: missing.nii: venous: no such file: missing.nii (looked for at "
            f"{tmp_path / 'missing.nii'}) [E_MISSING] - check the path"
        ),
        "line 4: p2: venous is missing [E_MISSING] - fill in venous",
        "line 4: p2: n_status is missing [E_MISSING] - fill in n_status",
        (
            "line 5: P1: the patient_id P1 stands in line 3 already (case does not count) [E_PATIENT_ID] - "
            "give each patient one line and one id"
        ),
        "line 5: P1: n_status is missing [E_MISSING] - fill in n_status",
        (
            "line 5: P1: arterial and venous phase are the same file [E_SAME_FILE] - give both phases, or "
            "leave arterial blank"
        ),
    ]
    assert [problem.scope for problem in problems if problem.line == 3] == ["cohort", "patient"]


@pytest.mark.parametrize(
    "name",
    ["", "../x", "a/b", ".hidden", "a b", "Müller", "x" * 65, "a\x1b[31m", "=1+1", "CON", "nul.txt", "-p"],
)
def test_an_id_that_is_no_plain_folder_name_forbids_any_work(tmp_path: Path, name: str) -> None:
    (problem,) = manifest_problems(manifest(tmp_path, f"{name},a.nii,,"))
    assert problem.scope == "cohort"
    assert problem.error.code == "E_PATIENT_ID"
    assert "Müller" not in str(problem)


def test_a_control_character_in_a_path_forbids_any_work(tmp_path: Path) -> None:
    (problem,) = manifest_problems(manifest(tmp_path, "p1,a\x1b.nii,,"))
    assert (problem.scope, problem.error.code) == ("cohort", "E_PATH")
    assert "\x1b" not in str(problem)


@pytest.mark.parametrize("word", ["holdout", "val", "testing", "0", "train/test"])
def test_another_word_than_train_or_test_in_split_forbids_any_work(tmp_path: Path, word: str) -> None:
    lines = (f"p1,a.nii,,0,{word}", "p2,b.nii,,1, Test", "p3,c.nii,,1,TRAIN")
    (problem,) = manifest_problems(
        manifest(tmp_path, *lines, columns="patient_id,venous,arterial,n_status,split")
    )
    assert str(problem) == f"line 2: p1: split is {word!r} [E_SPLIT] - write train, test or nothing"
    assert problem.scope == "cohort"


def test_an_excluded_patient_needs_no_files(tmp_path: Path) -> None:
    columns = "patient_id,venous,arterial,n_status,exclude_reason"
    assert (
        manifest_problems(manifest(tmp_path, "p1,missing.nii,,,motion", columns=columns), needs=["n_status"])
        == []
    )


def test_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (problem,) = manifest_problems(manifest(tmp_path, "p1,pipe,,"))
    assert "no regular file" in str(problem)


def test_an_image_of_two_patients_is_found_by_path_and_by_content(tmp_path: Path) -> None:
    (tmp_path / "link.nii").symlink_to("b.nii")
    problems = manifest_problems(
        manifest(tmp_path, "p1,a.nii,b.nii,", "p2,a2.nii,,", "p3,link.nii,,", "p4,c.nii,,")
    )
    assert [(problem.patient_id, problem.error.cause) for problem in problems] == [
        ("p2", "the image has the same content as that of the patient in line 2"),
        ("p3", "the image is also that of the patient in line 2"),
    ]
    assert {problem.scope for problem in problems} == {"patient"}


def test_images_of_one_size_are_read_whole_only_where_samples_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lymphct.io.manifest_check as module  # noqa: PLC0415 - patched here alone

    lines = [f"p{n},{n}.nii,," for n in range(4)]
    good = manifest(tmp_path, *lines)
    for n in range(4):
        content = bytearray(600_000)
        content[300_000] = n // 2  # sampled: two pairs
        content[310_000] = n  # between the samples
        (tmp_path / f"{n}.nii").write_bytes(content)
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(module, "digest_file", counted)
    assert manifest_problems(good) == []
    assert sorted(hashed) == ["0.nii", "1.nii", "2.nii", "3.nii"]
    content = bytearray(600_000)
    content[300_000] = 77
    (tmp_path / "0.nii").write_bytes(content)
    hashed.clear()
    assert manifest_problems(good) == []
    assert sorted(hashed) == ["2.nii", "3.nii"]


def test_unreadable_images_are_not_taken_for_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lymphct.io.manifest_check as module  # noqa: PLC0415 - patched here alone

    def refuse(_: Path) -> str:
        msg = "no"
        raise InputError(msg)

    monkeypatch.setattr(module, "digest_file", refuse)
    assert manifest_problems(manifest(tmp_path, "p1,a.nii,,", "p2,b.nii,,")) == []


def test_single_failing_patients_are_named_and_the_others_stay(tmp_path: Path) -> None:
    failing = require_usable(manifest(tmp_path, "p1,missing.nii,,", "p2,a.nii,,"))
    assert {name: error.code for name, error in failing.items()} == {"p1": "E_MISSING"}


def test_a_manifest_that_forbids_work_is_refused_with_its_first_problem(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cohort\.csv: line 2: n_status is '7' \(and 1 more problems"):
        require_usable(manifest(tmp_path, "p1,a.nii,,7", "../p,b.nii,,"))


def test_a_path_the_system_refuses_is_a_missing_file(tmp_path: Path) -> None:
    (problem,) = manifest_problems(manifest(tmp_path, f"p1,{'x' * 300},,"))
    assert problem.error.code == "E_MISSING"


def test_a_refused_id_is_shown_escaped_and_shortened(tmp_path: Path) -> None:
    (problem,) = manifest_problems(manifest(tmp_path, f"J\u00e9\x1b[31m {'x' * 500},a.nii,,0"))
    assert r"the patient_id 'J\xe9\x1b[31m xxxxxxxxxxxxxxxx'… is not allowed" in str(problem)
    assert len(str(problem)) <= 200
    assert problem.error.patient == ""
