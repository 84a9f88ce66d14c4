"""Structures of several sources: whose voxels win, what is added, what is said of it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import EnvironmentProblemError, GeometryMismatchError, InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import PatientInput
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.io.images.reading import write_volume
from lymphct.io.nnunet_child import NnunetLimits
from lymphct.patients.sources import merging
from lymphct.patients.sources.merging import Sourcing, source_files, with_sources
from lymphct.patients.sources.naming import named_sources
from lymphct.registration.settings import RegistrationSettings

AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
GRID = Geometry(shape=(12, 10, 8), spacing=(3.0, 3.0, 4.0), origin=(0, 0, 0), direction=AXES)
NOWHERE = RegistrationSettings(method="none")


def labels(**boxes: tuple[int, int]) -> Volume:
    """Return a label map with a slab along the first axis for each structure."""
    array = np.zeros(GRID.shape, np.uint8)
    for name, (begin, end) in boxes.items():
        array[begin:end] = Structure[name.upper()]
    return Volume(array=array, geometry=GRID)


def numbered(number: int, slab: tuple[int, int]) -> Volume:
    """Return a label map with one slab of this number, whoever's it is."""
    array = np.zeros(GRID.shape, np.uint8)
    array[slice(*slab)] = number
    return Volume(array=array, geometry=GRID)


@pytest.fixture(autouse=True)
def _anything_is_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "require_plausible", lambda *_: None)


@pytest.fixture
def patient() -> PatientInput:
    noise = np.random.default_rng(3).normal(40, 5, GRID.shape).astype(np.float32)
    return PatientInput(
        patient_id="p1",
        venous=Volume(array=noise, geometry=GRID),
        arterial=Volume(array=noise + 60, geometry=GRID),
    )


@pytest.fixture
def bringing(tmp_path: Path) -> Callable[..., Sourcing]:
    """Return a function that writes label maps and names them as sources, in this order."""

    def made(*maps: tuple[str, Volume], more: str = "", **options: Any) -> Sourcing:
        parts = []
        for number, (name, volume) in enumerate(maps):
            write_volume(tmp_path / f"{number}_p1.nii.gz", volume)
            prefix = "" if name == "files" else f"{name}:"
            parts.append(f"{prefix}{tmp_path}/{number}_{{patient}}.nii.gz")
        sources = named_sources(",".join([*parts, *([more] if more else [])]))
        return Sourcing(sources=sources, device="cpu", registration=NOWHERE, **options)

    return made


def test_the_first_source_wins_and_later_ones_add_what_it_lacks(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    trusted, other = labels(spleen=(0, 4)), labels(spleen=(1, 5), aorta=(5, 7), liver=(2, 3))
    found = with_sources(patient, bringing(("files", trusted), ("files", other)))
    assert found.structures is not None
    column = found.structures.array[:, 0, 0].tolist()
    assert column == [1, 1, 1, 1, 0, 4, 4, 0, 0, 0, 0, 0]
    assert {s.label: name for s, name in found.structure_sources.items()} == {
        "spleen": "files",
        "aorta": "files",
        "liver": "files",
    }


def test_what_the_manifest_gives_is_trusted_before_every_source(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    given = replace(patient, structures=labels(aorta=(0, 2)))
    how = bringing(("cads", labels(spleen=(0, 3), portal_and_splenic_vein=(1, 4))))
    found = with_sources(given, how)  # 1 and 16 of ours: spleen and a lung lobe of theirs
    assert {s.label: name for s, name in found.structure_sources.items()} == {
        "aorta": "files",
        "spleen": "cads",
    }
    assert found.structures is not None
    assert found.structures.array[:, 0, 0].tolist()[:3] == [4, 4, 0]


def test_a_part_of_a_structure_is_completed_by_the_next_source(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    pants = numbered(5, (2, 4))  # coeliac artery
    whole = labels(celiac_trunk_and_splenic_artery=(3, 8))
    found = with_sources(patient, bringing(("pants", pants), ("files", whole)))
    assert found.structures is not None
    assert found.structures.array[:, 0, 0].tolist() == [0, 0, 8, 8, 8, 8, 8, 8, 0, 0, 0, 0]
    assert found.structure_sources[Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY] == "pants+files"
    assert not found.notices


def test_two_sources_that_disagree_are_noticed_below_the_limit_alone(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    maps = ("files", labels(spleen=(0, 4))), ("files", labels(spleen=(3, 7)))
    (notice,) = with_sources(patient, bringing(*maps)).notices
    assert (notice.code, notice.value) == ("sources_disagree", "spleen 0.25")
    assert "files 11.5 mL, files 11.5 mL, Dice 0.25 (below 0.5)" in notice.text
    assert not with_sources(patient, bringing(*maps, agreement=0.2)).notices


def test_an_organ_in_two_places_is_refused_a_vessel_is_not(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    organs = ("files", labels(spleen=(0, 2))), ("files", labels(spleen=(8, 9)))
    with pytest.raises(InputError, match=r"^p1: .*show the spleen in two places") as caught:
        with_sources(patient, bringing(*organs))
    assert caught.value.code == "E_SOURCES_CONTRADICT"
    vessel = "superior_mesenteric_artery"
    vessels = ("files", labels(**{vessel: (0, 2)})), ("files", labels(**{vessel: (8, 9)}))
    assert [n.code for n in with_sources(patient, bringing(*vessels)).notices] == ["sources_disagree"]


def test_a_mask_on_another_lattice_names_source_and_file(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    moved = Geometry(shape=GRID.shape, spacing=GRID.spacing, origin=(9, 0, 0), direction=AXES)
    with pytest.raises(GeometryMismatchError, match=r"^p1: files: 0_p1\.nii\.gz: "):
        with_sources(patient, bringing(("files", Volume(array=labels(spleen=(0, 2)).array, geometry=moved))))


def test_voxels_nobody_looked_at_are_left_to_the_next_source(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    array = labels(spleen=(0, 2)).array.copy()
    array[2:6] = 255
    found = with_sources(
        patient, bringing(("files", Volume(array=array, geometry=GRID)), ("files", labels(liver=(4, 6))))
    )
    assert found.structures is not None
    assert found.structures.array[:, 0, 0].tolist() == [1, 1, 0, 0, 11, 11, 0, 0, 0, 0, 0, 0]


@dataclass
class FakeTraced:
    structures: Volume
    withheld: dict[Structure, str] = field(default_factory=dict)
    confidence: dict[Structure, float] = field(default_factory=dict)


def test_trace_sees_the_arterial_phase_and_the_organs_before_it(
    patient: PatientInput, bringing: Callable[..., Sourcing], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Volume] = []

    def trace_arteries(arterial: Volume, structures: Volume, _settings: object) -> FakeTraced:
        seen.extend([arterial, structures])
        why = {Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: "no contrast"}
        sure = {Structure.SUPERIOR_MESENTERIC_ARTERY: 0.875}
        return FakeTraced(labels(superior_mesenteric_artery=(9, 10)), why, sure)

    monkeypatch.setattr(merging, "trace_arteries", trace_arteries)
    found = with_sources(patient, bringing(("files", labels(aorta=(0, 2))), more="trace"))
    assert found.structure_sources[Structure.SUPERIOR_MESENTERIC_ARTERY] == "trace"
    assert found.structure_confidence == {Structure.SUPERIOR_MESENTERIC_ARTERY: 0.875}
    assert float(seen[0].array.mean()) == pytest.approx(100, abs=1)
    assert seen[1].array.max() == Structure.AORTA
    assert [(n.code, n.value) for n in found.notices] == [
        ("trace_withheld", "hepatic_artery_common_and_proper")
    ]


def test_a_traced_artery_runs_through_the_pancreas_and_through_no_other_organ(
    patient: PatientInput, bringing: Callable[..., Sourcing], monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = labels(celiac_trunk_and_splenic_artery=(4, 9))
    monkeypatch.setattr(merging, "trace_arteries", lambda *_: FakeTraced(traced))
    organs = labels(aorta=(0, 2), pancreas=(3, 6), spleen=(8, 10))
    found = with_sources(patient, bringing(("files", organs), more="trace")).structures
    assert found is not None
    artery = Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY
    aorta, pancreas, spleen = Structure.AORTA, Structure.PANCREAS, Structure.SPLEEN
    along = found.array.max(axis=(1, 2))[:10].tolist()
    assert along == [aorta, aorta, 0, pancreas, artery, artery, artery, artery, spleen, spleen]


def test_trace_needs_an_aorta_and_an_arterial_phase(
    patient: PatientInput, bringing: Callable[..., Sourcing]
) -> None:
    organs = ("files", labels(spleen=(0, 2)))
    with pytest.raises(InputError, match="trace needs the aorta"):
        with_sources(patient, bringing(organs, more="trace"))
    with pytest.raises(InputError, match="trace needs the arterial phase"):
        with_sources(replace(patient, arterial=None), bringing(organs, more="trace"))


def test_an_nnunet_is_fed_by_its_channels_and_read_by_its_names(
    patient: PatientInput,
    bringing: Callable[..., Sourcing],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder, asked = tmp_path / "model", []
    folder.mkdir()
    text = '{"channel_names": {"0": "A", "1": "V"}, "labels": {"background": 0, "SMA": 1}}'
    (folder / "dataset.json").write_text(text)

    def predict_by_nnunet(place: Path, images: list[Path], out: Path, *, limits: NnunetLimits) -> Path:
        assert limits.device == "cpu"  # as the patient's networks
        asked.append((place, len(images), all(image.is_file() for image in images)))
        write_volume(out, labels(spleen=(0, 1)))
        return out

    monkeypatch.setattr(merging, "predict_by_nnunet", predict_by_nnunet)
    found = with_sources(patient, bringing(more=f"nnunet:{folder}"))
    assert asked == [(folder, 2, True)]
    assert found.structure_sources == {Structure.SUPERIOR_MESENTERIC_ARTERY: "nnunet"}
    with pytest.raises(InputError, match="no arterial one"):
        with_sources(replace(patient, arterial=None), bringing(more=f"nnunet:{folder}"))
    (folder / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"holds no dataset\.json"):
        with_sources(patient, bringing(more=f"nnunet:{folder}"))


PROGRAM = """#!{python}
import pathlib, shutil, sys
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
{act}
"""


def install(folder: Path, act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = folder / "TotalSegmentator"
    program.write_text(PROGRAM.format(python=sys.executable, act=act))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_totalsegmentator_runs_as_the_users_own_program(
    patient: PatientInput,
    bringing: Callable[..., Sourcing],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    made = tmp_path / "made.nii.gz"
    write_volume(made, numbered(52, (0, 2)))
    install(tmp_path, f"shutil.copy({str(made)!r}, arguments['-o'])", monkeypatch)
    found = with_sources(patient, bringing(more="totalsegmentator"))
    assert found.structure_sources == {Structure.AORTA: "totalsegmentator"}


@pytest.mark.parametrize(
    "failing",
    [
        ("print('no licence'); sys.exit(3)", "it ended with code 3: no licence"),
        ("pass", "it wrote no label map"),
    ],
)
def test_a_program_that_fails_says_why(
    patient: PatientInput,
    bringing: Callable[..., Sourcing],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    failing: tuple[str, str],
) -> None:
    act, words = failing
    install(tmp_path, act, monkeypatch)
    with pytest.raises(EnvironmentProblemError, match=words):
        with_sources(patient, bringing(more="totalsegmentator"))


def test_without_the_program_the_cure_is_named(
    patient: PatientInput,
    bringing: Callable[..., Sourcing],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblemError, match=r"not on PATH.*pip install TotalSegmentator"):
        with_sources(patient, bringing(more="totalsegmentator"))


def test_files_and_folders_that_are_missing_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "p1.nii.gz").touch()
    sources = named_sources(f"cads:{tmp_path}/{{patient}}.nii.gz,bundle:{tmp_path},bundle,trace")
    files = source_files(sources, "p1")
    assert files == {"structures_0": tmp_path / "p1.nii.gz", "structures_1": tmp_path}
    with pytest.raises(InputError, match="has no file of this patient"):
        source_files(sources, "p2")
    with pytest.raises(InputError, match="has no such folder"):
        source_files(named_sources("bundle:nowhere"), "p1")
