"""A store is a mapping from ids to patients: opened when asked for, the last few stay open."""

import os
import pickle  # noqa: TID251 - how a cohort travels to another process
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.config import Config
from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Clinical
from lymphct.core.terms import NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations, lit_locations
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.results.chunks import ChunkedArray
from lymphct.io.results.jsonfile import write_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.volumes import load_volumes, save_volumes
from lymphct.patients.prepared import dataset, guidance
from lymphct.patients.prepared.dataset import (
    PreparedCohort,
    StoredPatient,
    clinical_of,
    prepared_cohort,
)
from lymphct.patients.prepared.files import NODES_FILE
from lymphct.patients.prepared.preparation import Preparation, Store, prepare_patient

GRID = Geometry(
    shape=(14, 12, 9),
    spacing=(1.9, 2.1, 2.9),
    origin=(-30.0, 12.0, 45.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)),
)
BANDS = {Structure.PANCREAS: Band(-5.0, 4.0)}
SETTINGS = AttentionSettings()


def box(kind: type[np.generic], value: int, part: Any) -> Volume:
    array = np.zeros(GRID.shape, dtype=kind)
    array[part] = value
    return Volume(array=array, geometry=GRID)


VOLUMES = {
    "venous": box(np.int16, 60, np.s_[2:12, 2:10, :]),
    "arterial": box(np.int16, 90, np.s_[2:12, 2:10, :]),
    "structures": box(np.uint8, Structure.PANCREAS, np.s_[3:6, 3:6, 2:6]),
    "tumor": box(np.uint8, 1, np.s_[5:7, 4:6, 3:5]),
    "nodes": box(np.int32, 7, np.s_[8:10, 4:7, 3:5]),
}


def stored(store: Store, name: str, *without: str, origin: int = 0) -> Path:
    """Commit a patient without some of its images."""

    def write(folder: Path) -> None:
        save_volumes(folder, {key: volume for key, volume in VOLUMES.items() if key not in without})
        known = [] if "nodes" in without else [{"label": 7, "class": "negative", "station": "8a"}]
        write_json(folder / NODES_FILE, known)  # type: ignore[arg-type] # a list of tables

    return made(store.place(name), Recipe(settings={"origin": origin}, code=("core.terms",)), write)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "work", "v")


def cohort_of(store: Store, names: Sequence[str], *without: str) -> PreparedCohort:
    for name in names:
        stored(store, name, *without)
    return PreparedCohort(store, {name: Clinical(center=name) for name in names})


def open_files(folder: Path) -> int:
    """Files of a folder this process has open or mapped."""
    mapped = Path("/proc/self/maps").read_text().splitlines()
    handles = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return sum(f"{folder}/" in line for line in [*mapped, *handles])


def test_patients_come_in_the_order_of_their_ids(store: Store) -> None:
    cohort = cohort_of(store, ["p2", "p10", "p1"])
    assert list(cohort) == ["p1", "p10", "p2"]
    assert len(cohort) == 3
    assert "p1" in cohort
    assert "p3" not in cohort
    assert [patient.patient_id for patient in cohort.values()] == ["p1", "p10", "p2"]
    assert cohort["p2"].clinical == Clinical(center="p2")


def test_nobody_of_an_id_is_a_key_error_even_when_the_store_holds_him(store: Store) -> None:
    cohort = cohort_of(store, ["p1"])
    stored(store, "p2")
    with pytest.raises(KeyError, match="p2"):
        cohort["p2"]
    assert cohort.get("p2") is None


def test_a_patient_who_is_not_prepared_is_named_with_the_cure(store: Store) -> None:
    cohort = PreparedCohort(store, {"p1": Clinical()})
    assert "p1" in list(cohort)
    with pytest.raises(InputError, match=r"p1: the patient is not prepared \[E_NOT_PREPARED\]") as caught:
        cohort["p1"]
    assert caught.value.cure == "run lymphct prepare"
    stored(Store(store.folder, "another"), "p1")  # prepared with other settings
    with pytest.raises(InputError, match="not prepared"):
        cohort["p1"]
    stored(store, "p1")
    assert cohort["p1"].ct.venous.array.any()


def test_images_come_back_as_they_were_stored_on_their_grid(store: Store) -> None:
    patient = cohort_of(store, ["p1"])["p1"]
    assert patient.ct.arterial is not None
    images = (patient.ct.venous, patient.ct.arterial, patient.structures, patient.tumor, patient.instances)
    for volume, name in zip(images, ("venous", "arterial", "structures", "tumor", "nodes"), strict=True):
        assert volume is not None
        assert_array_equal(volume.array, VOLUMES[name].array)
        assert volume.array.dtype == VOLUMES[name].array.dtype
        assert volume.geometry == GRID
        assert not volume.array.flags.writeable


def test_what_nobody_drew_or_acquired_is_none(store: Store) -> None:
    patient = cohort_of(store, ["p1"], "arterial", "structures", "tumor", "nodes")["p1"]
    assert patient.ct.arterial is None
    assert (patient.structures, patient.tumor, patient.instances, patient.nodes) == (None,) * 4
    assert patient.attention(PAPER_BANDS, SETTINGS) is None


def test_nothing_is_read_before_it_is_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = cohort_of(store, ["p1"])
    read: list[str] = []
    opened = ChunkedArray._opened

    def counted(array: ChunkedArray, **how: Any) -> int:
        read.append(array.path.name)
        return opened(array, **how)

    monkeypatch.setattr(ChunkedArray, "_opened", counted)
    patient = cohort["p1"]
    assert patient.digest
    assert patient.node_classes
    assert not read
    assert patient.view("tumor") is not None
    assert patient.ct.venous is not None
    assert set(read) == {"tumor.chunks", "venous.chunks", "arterial.chunks"}


def test_drawn_nodes_are_measured_with_class_and_station_as_said(store: Store) -> None:
    nodes = cohort_of(store, ["p1"])["p1"].nodes
    assert nodes is not None
    (node,) = nodes.nodes
    assert (node.label, node.node_class, node.station) == (7, NodeClass.NEGATIVE, "8a")
    assert node.volume == pytest.approx(12 * GRID.voxel_volume)
    assert node.center == pytest.approx(tuple(GRID.world((8.5, 5.0, 3.5))))
    assert (node.hu_arterial, node.hu_venous) == (90.0, 60.0)
    assert node.nearest_structure is Structure.PANCREAS


def test_nodes_without_structures_are_measured_and_near_none(store: Store) -> None:
    nodes = cohort_of(store, ["p1"], "structures", "arterial")["p1"].nodes
    assert nodes is not None
    (node,) = nodes.nodes
    assert (node.nearest_structure, node.distance, node.hu_arterial) == (None, None, None)
    assert node.volume == pytest.approx(12 * GRID.voxel_volume)


def test_only_the_last_patients_are_remembered_and_no_file_stays_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "OPEN_PATIENTS", 8)
    names = [f"p{n:02}" for n in range(11)]
    cohort = cohort_of(store, names, "structures", "tumor", "nodes", "arterial")
    first, second = cohort["p00"], cohort["p01"]
    for name in names[2:8]:
        assert cohort[name].ct.venous.array.any()
    assert cohort["p00"] is first  # asked for again, it is not the one unused for longest
    for name in names[8:]:
        assert cohort[name].ct.venous.array.any()
    assert cohort["p00"] is first
    assert cohort["p01"] is not second
    assert open_files(store.folder) == 0


def test_a_cohort_travels_without_its_open_files(store: Store) -> None:
    cohort = cohort_of(store, ["p1", "p2"])
    assert cohort["p1"].attention(BANDS, SETTINGS) is not None
    content = pickle.dumps(cohort)
    assert len(content) < 1000  # ids and paths, no voxel
    arrived: PreparedCohort = pickle.loads(content)  # noqa: S301 - made two lines above
    assert list(arrived) == ["p1", "p2"]
    assert_array_equal(arrived["p1"].ct.venous.array, cohort["p1"].ct.venous.array)
    assert arrived["p1"] is not cohort["p1"]
    assert arrived["p2"].clinical == Clinical(center="p2")
    assert cohort["p1"] is cohort["p1"]  # the one that stayed keeps what it had open


def test_the_attention_is_exact_as_a_whole_and_kept_in_the_store_as_bytes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = cohort_of(store, ["p1"])
    found = cohort["p1"].attention(BANDS, SETTINGS)
    assert found is not None
    expected = guiding_attention(VOLUMES["structures"], VOLUMES["tumor"], BANDS, SETTINGS)
    assert expected.array.any()
    assert_array_equal(found.array, expected.array)
    assert found.geometry == GRID
    assert not list((store.folder / "p1").glob("attention-*"))
    view = cohort["p1"].attention_view(BANDS, SETTINGS)
    assert view is not None
    assert cohort["p1"].attention_view(dict(BANDS), AttentionSettings()) is view
    (folder,) = (store.folder / "p1").glob("attention-*")
    assert_array_equal(load_volumes(folder)["attention"].array, as_bytes(expected.array))

    monkeypatch.setattr(guidance, "prior_map", lambda *_: pytest.fail("mapped again"))
    again = PreparedCohort(store, {"p1": Clinical()})["p1"]
    kept = again.attention_view(BANDS, SETTINGS)
    assert kept is not None
    assert kept.geometry == GRID
    box = (slice(2, 9), slice(3, 8), slice(0, 7))
    assert_array_equal(kept.read(box), as_bytes(expected.array[box]))
    assert_array_equal(again.attention_locations(BANDS, SETTINGS), lit_locations(expected.array))


def test_other_bands_or_settings_are_another_attention_beside(store: Store) -> None:
    patient = cohort_of(store, ["p1"])["p1"]
    maps = [
        patient.attention_view(bands, settings)
        for bands in (BANDS, PAPER_BANDS)
        for settings in (SETTINGS, AttentionSettings(border=1.0))
    ]
    assert len(list((store.folder / "p1").glob("attention-*"))) == 4
    sums = [int(found.whole().array.sum()) for found in maps if found is not None]
    assert len(set(sums)) == 4


def test_images_made_anew_give_another_digest_and_attention(store: Store) -> None:
    stored(store, "p1", "tumor")
    first = StoredPatient("p1", store.place("p1"))
    before, digest = first.attention_view(BANDS, SETTINGS), first.digest
    assert before is not None
    dark = before.whole().array
    stored(store, "p1", origin=1)
    second = StoredPatient("p1", store.place("p1"))
    after = second.attention_view(BANDS, SETTINGS)
    assert second.digest != digest
    assert after is not None
    assert np.any(after.whole().array != dark)  # the tumor guides too
    assert len(list((store.folder / "p1").glob("attention-*"))) == 1


def test_the_digest_follows_every_file_a_patient_was_prepared_from(
    cohort: Manifest, config: Config, tmp_path: Path
) -> None:
    preparation = Preparation(
        folder=tmp_path, spacing=config.imaging.spacing, registration=config.registration
    )
    record, other = cohort.patients[:2]

    def digest(changed: PatientRecord) -> str:
        prepare_patient(changed, preparation)
        return prepared_cohort(preparation, [changed])[changed.patient_id].digest

    first = digest(record)
    assert digest(record) == first
    # Another patient's files under this one's id: as if a file had been exchanged.
    exchanged = digest(replace(other, patient_id=record.patient_id))
    undrawn = digest(replace(record, nodes=None))
    assert len({first, exchanged, undrawn}) == 3
    assert digest(record) == first


def test_the_manifest_says_status_report_place_and_center() -> None:
    record = PatientRecord(
        patient_id="p1",
        venous=Path("v.nii.gz"),
        n_status=1,
        center="B",
        cells={"tumor_location": "head", "ct_reported_n": "0"},
    )
    assert clinical_of(record) == Clinical(n_status=1, ct_reported_n=0, tumor_location="head", center="B")
    bare = clinical_of(PatientRecord(patient_id="p1", venous=Path("v.nii.gz")))
    assert bare == Clinical()
    for text, value in (("1", 1), ("", None), ("N1", None)):
        assert clinical_of(replace(record, cells={"ct_reported_n": text})).ct_reported_n == value


def test_who_is_excluded_takes_no_part(store: Store, config: Config) -> None:
    records = [
        PatientRecord(patient_id="b", venous=Path("v"), n_status=0),
        PatientRecord(patient_id="c", venous=Path("v"), cells={"exclude_reason": "no consent"}),
        PatientRecord(patient_id="a", venous=Path("v")),
    ]
    preparation = Preparation(
        folder=store.folder, spacing=config.imaging.spacing, registration=config.registration
    )
    found = prepared_cohort(preparation, records)
    assert list(found) == ["a", "b"]
    assert found.clinical["b"].n_status == 0
    assert found.store == preparation.store


def test_locations_that_were_not_stored_are_found_anew(store: Store) -> None:
    patient = cohort_of(store, ["p1"], "tumor")["p1"]
    assert patient.locations("tumor") == {}
    found = patient.locations("structures")
    assert list(found) == [Structure.PANCREAS]
    assert_array_equal(found[5], class_locations(VOLUMES["structures"].array)[5])
    assert patient.crop is None
