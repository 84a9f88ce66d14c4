"""Teachers by the names of the table of sources: what each tells of a patient, and what it does not know."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from lymphct.anatomy.self_learning import TeacherMap, combined
from lymphct.core.errors import EnvironmentProblemError, InputError, UsageError
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Structure
from lymphct.core.unjudged import UNJUDGED
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume
from lymphct.io.manifest import PatientRecord
from lymphct.io.nnunet_child import NnunetLimits
from lymphct.patients.sources import merging, named_teachers
from lymphct.patients.sources.named_teachers import ProgramSource, TracedSource, teachers_named
from lymphct.patients.sources.teachers import FileSource, maps_of
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings

if TYPE_CHECKING:
    from lymphct.cascade.prepared import Prepared

AORTA, PANCREAS = Structure.AORTA, Structure.PANCREAS
SMA, TRUNK = Structure.SUPERIOR_MESENTERIC_ARTERY, Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY
FREE = (1, 2, 3, 4, 5, 6, 11)
ONE_ARTERY, LUNGS = '{"background": 0, "SMA": 1}', '{"background": 0, "lung tumor": 1}'


class Case:
    """The images of a patient, as a source sees them."""

    def __init__(self, ct: Multiphase) -> None:
        self.ct = ct


@pytest.fixture(scope="module")
def phantom() -> tuple[Case, Volume]:
    """A patient of size tiny and all his structures, on one grid."""
    made = generate_patient(PhantomSettings(size="tiny", phase_shift=False), seed=5, index=1)
    return Case(Multiphase(venous=made.venous, arterial=made.arterial)), made.structures


@pytest.fixture
def record(tmp_path: Path, phantom: tuple[Case, Volume]) -> PatientRecord:
    venous = tmp_path / "venous.nii.gz"
    write_volume(venous, phantom[0].ct.venous)
    return PatientRecord(patient_id="p1", line=2, venous=venous, arterial=venous)


def test_files_of_a_tool_are_read_by_its_numbers_and_parts_are_not_told(
    tmp_path: Path, record: PatientRecord, phantom: tuple[Case, Volume]
) -> None:
    case, truth = phantom
    theirs = np.zeros(truth.array.shape, np.uint8)
    theirs[truth.array == AORTA], theirs[truth.array == TRUNK] = 3, 5  # aorta, coeliac artery
    write_volume(tmp_path / "p1.nii.gz", truth.with_array(theirs))
    (source,) = teachers_named(f"pants:{tmp_path}")
    assert isinstance(source, FileSource)
    assert source.name == f"pants:{tmp_path.parent.name}/{tmp_path.name}"
    told = maps_of((source,), record, cast("Prepared", case), truth.geometry)[source.name]
    assert AORTA in told.structures
    assert TRUNK not in told.structures  # without the splenic artery: its silence is no background
    assert (told.labels.array[truth.array == TRUNK] == UNJUDGED).all()
    assert (told.labels.array[truth.array == AORTA] == AORTA).all()
    assert Structure.ESOPHAGUS not in told.structures  # the tool has none
    ((name, is_closed),) = [(origin.name, origin.non_commercial) for origin in source.origins]
    assert (name, is_closed) == ("pants", True)  # what learns from them stays so


def test_a_program_is_shown_the_prepared_phases(
    tmp_path: Path, record: PatientRecord, phantom: tuple[Case, Volume], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, truth = phantom
    write_volume(tmp_path / "made.nii.gz", truth.with_array(np.where(truth.array == AORTA, 52, 0)))
    program = tmp_path / "TotalSegmentator"
    act = f"shutil.copy({str(tmp_path / 'made.nii.gz')!r}, sys.argv[sys.argv.index('-o') + 1])"
    program.write_text(f"#!{sys.executable}\nimport shutil, sys\n{act}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(merging, "require_plausible", lambda *_: None)
    (source,) = teachers_named("totalsegmentator")
    told = maps_of((source,), record, cast("Prepared", case), truth.geometry)["totalsegmentator"]
    assert {AORTA, Structure.LIVER} <= set(told.structures)
    assert SMA not in told.structures
    assert ((told.labels.array == AORTA) == (truth.array == AORTA)).all()


@pytest.mark.parametrize(
    ("says", "key"), [("print('2.11.0')", "totalsegmentator 2.11.0"), ("sys.exit(2)", "totalsegmentator")]
)
def test_another_version_of_the_program_draws_anew(
    tmp_path: Path, record: PatientRecord, monkeypatch: pytest.MonkeyPatch, says: str, key: str
) -> None:
    program = tmp_path / "TotalSegmentator"
    program.write_text(f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['--version']\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (source,) = teachers_named("totalsegmentator")
    assert source.key(record) == key


def test_a_program_that_is_missing_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentProblemError, match="not on PATH"):
        teachers_named("totalsegmentator")


@pytest.fixture
def nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that lays the folder of a model with two channels and these labels."""
    monkeypatch.setattr(named_teachers, "nnunet_program", lambda: ["nnUNetv2_predict"])

    def laid(labels: str) -> Path:
        folder = tmp_path / "results" / "model"
        folder.mkdir(parents=True)
        (folder / "dataset.json").write_text(
            f'{{"channel_names": {{"0": "A", "1": "V"}}, "labels": {labels}}}'
        )
        return folder

    return laid


def test_an_nnunet_tells_what_its_labels_are_named_after(
    record: PatientRecord,
    phantom: tuple[Case, Volume],
    nnunet: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case, truth = phantom
    folder = nnunet('{"background": 0, "SMA": 1, "aorta": 2}')

    def predict(_: Path, images: list[Path], out: Path, *, limits: NnunetLimits) -> Path:
        assert (len(images), limits.device) == (2, "cpu")
        write_volume(out, truth.with_array(np.where(truth.array == SMA, 1, 0).astype(np.uint8)))
        return out

    monkeypatch.setattr(merging, "predict_by_nnunet", predict)
    (source,) = teachers_named(f"nnunet:{folder}", device="cpu")
    assert source.name == "nnunet:results/model"
    told = maps_of((source,), record, cast("Prepared", case), truth.geometry)[source.name]
    assert told.structures == (AORTA, SMA)
    assert ((told.labels.array == SMA) == (truth.array == SMA)).all()
    before = source.key(record)
    (folder / "dataset.json").write_text('{"channel_names": {"0": "A", "1": "V"}, "labels": {"SMA": 2}}')
    assert ProgramSource(source.source, "cpu").key(record) != before  # type: ignore[attr-defined]


def test_an_nnunet_of_two_channels_says_nothing_of_a_patient_with_one_phase(
    record: PatientRecord, phantom: tuple[Case, Volume], nnunet: Callable[[str], Path]
) -> None:
    case, truth = phantom
    (source,) = teachers_named(f"nnunet:{nnunet(ONE_ARTERY)}", device="cpu")
    alone = replace(record, arterial=None)
    assert source.key(alone) == ""
    assert maps_of((source,), alone, cast("Prepared", case), truth.geometry) == {}


def test_an_nnunet_of_something_else_does_not_teach(nnunet: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match="none of the labels"):
        teachers_named(f"nnunet:{nnunet(LUNGS)}")


def test_arteries_are_traced_between_the_organs_of_sources_before(
    tmp_path: Path, record: PatientRecord, phantom: tuple[Case, Volume]
) -> None:
    case, truth = phantom
    organs = np.where(np.isin(truth.array, FREE), truth.array, 0).astype(np.uint8)
    write_volume(tmp_path / "p1.nii.gz", truth.with_array(organs))
    sources = teachers_named(f"cads:{tmp_path}/none_{{patient}}.nii.gz,{tmp_path},trace")
    assert isinstance(sources[-1], TracedSource)
    maps = maps_of(sources, record, cast("Prepared", case), truth.geometry)
    assert list(maps) == [sources[1].name, "trace"]
    assert {SMA, TRUNK} <= set(maps["trace"].structures)
    files = replace(maps[sources[1].name], structures=tuple(Structure(number) for number in FREE))
    both = combined([files, maps["trace"]])
    assert {SMA, TRUNK, AORTA} <= set(both.structures)
    traced = maps["trace"].labels.array
    in_pancreas = (traced == TRUNK) & (organs == PANCREAS)
    assert in_pancreas.any()  # the splenic artery runs in it
    assert (both.labels.array[in_pancreas] == TRUNK).all()
    assert (both.labels.array[organs == AORTA] == AORTA).all()


def test_nothing_is_traced_without_contrast_organs_or_the_arterial_phase(
    record: PatientRecord, phantom: tuple[Case, Volume], caplog: pytest.LogCaptureFixture
) -> None:
    case, truth = phantom
    source = TracedSource()
    assert source.key(replace(record, arterial=None)) == ""
    assert source.told(record, cast("Prepared", case), {}) is None
    venous_alone = Case(Multiphase(venous=case.ct.venous))
    known = {"files": TeacherMap(labels=truth, structures=tuple(Structure))}
    assert source.told(record, cast("Prepared", venous_alone), known) is None
    plain = case.ct.venous.with_array(np.full(truth.array.shape, 40, np.int16))
    dark = Case(Multiphase(venous=plain, arterial=plain))
    assert source.told(record, cast("Prepared", dark), known) is None
    assert "p1: no artery was traced" in caplog.text


def test_trace_alone_has_nothing_to_go_by() -> None:
    with pytest.raises(UsageError, match="needs the aorta"):
        teachers_named("trace,masks/{patient}")
