"""What guides the search beside a prepared patient: what was drawn, and what a bundle's networks add."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from lymphct.attention.bands import PAPER_BANDS, Band
from lymphct.attention.mapping import guiding_attention
from lymphct.attention.settings import AttentionSettings
from lymphct.attention.storing import as_bytes
from lymphct.cascade.examination import Given
from lymphct.cascade.learned import Learned
from lymphct.cascade.models import Models, build_models, new_description
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.core.errors import InputError, ModelError
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Multiphase
from lymphct.core.terms import Phase, Structure
from lymphct.core.volume import Volume
from lymphct.imaging.locations import class_locations, lit_locations
from lymphct.imaging.preprocess import IntensityStatistics
from lymphct.io.results.jsonfile import read_json
from lymphct.io.results.made import Recipe, made
from lymphct.io.results.volumes import save_volumes
from lymphct.patients.prepared import guidance
from lymphct.patients.prepared.dataset import StoredPatient
from lymphct.patients.prepared.guidance import Guidance, guide_patient, guided, guiding_volumes
from lymphct.patients.prepared.preparation import Store

GRID = Geometry(
    shape=(14, 12, 9),
    spacing=(1.9, 2.1, 2.9),
    origin=(-30.0, 12.0, 45.0),
    direction=((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)),
)
BANDS = {Structure.PANCREAS: Band(-5.0, 4.0)}
HOW = Guidance(prior=BANDS, attention=AttentionSettings())
AS_IT_IS = IntensityStatistics(low=-50.0, high=300.0, mean=0.0, sd=2.0)


def box(kind: type[np.generic], value: int, part: Any) -> Volume:
    array = np.zeros(GRID.shape, dtype=kind)
    array[part] = value
    return Volume(array=array, geometry=GRID)


CT = Multiphase(
    venous=box(np.int16, 60, np.s_[2:12, 2:10, :]), arterial=box(np.int16, 90, np.s_[2:12, 2:10, :])
)
STRUCTURES = box(np.uint8, Structure.PANCREAS, np.s_[3:6, 3:6, 2:6])
TUMOR = box(np.uint8, 200, np.s_[5:7, 4:6, 3:5])  # above 0 is inside, whatever the number
FOUND = box(np.uint8, Structure.PANCREAS, np.s_[8:11, 3:6, 2:6])
FOUND_TUMOR = box(np.uint8, 1, np.s_[10:12, 4:6, 3:5])
DRAWN = PreparedPatient(patient_id="p1", ct=CT, structures=STRUCTURES, tumor=TUMOR)


@pytest.fixture(scope="module")
def bare() -> Models:
    """Models without any network."""
    learned = Learned(intensity=dict.fromkeys(Phase, AS_IT_IS), bands=PAPER_BANDS)
    info = new_description("bare", learned, Config(), salt="key of a test", is_phantom=False)
    return build_models(info, {}, torch.device("cpu"))


@dataclass
class Networks:
    """Stands for the networks of a bundle; remembers what it was shown."""

    images: list[Multiphase]
    near: list[Volume | None]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    seen = Networks([], [])

    def find_structures(ct: Multiphase, given: Given, models: Models) -> Volume:
        del models
        seen.images.append(ct)
        return FOUND if given.structures is None else given.structures

    def find_tumor(ct: Multiphase, structures: Volume | None, given: Given, models: Models) -> Volume:
        del models
        assert given.tumor is None
        seen.images.append(ct)
        seen.near.append(structures)
        return FOUND_TUMOR

    monkeypatch.setattr(guidance, "find_structures", find_structures)
    monkeypatch.setattr(guidance, "find_tumor", find_tumor)
    return seen


@pytest.fixture
def whole(bare: Models) -> Models:
    """Models that have, as far as guidance looks, a tumor network."""
    return replace(bare, tumor=object())  # type: ignore[arg-type] # never run


def test_what_was_drawn_guides_with_the_tumor_as_pancreas_outside_every_structure() -> None:
    volumes, record = guided(DRAWN, HOW, None)
    assert set(volumes) == {"structures", "tumor", "attention"}
    assert volumes["structures"] is STRUCTURES
    expected = guiding_attention(STRUCTURES, TUMOR, BANDS)
    assert_array_equal(volumes["attention"].array, expected.array)
    assert np.any(expected.array != guiding_attention(STRUCTURES, None, BANDS).array)
    assert_array_equal(volumes["tumor"].array, (TUMOR.array > 0).astype(np.uint8))
    assert volumes["tumor"].array.dtype == np.uint8
    assert record == {"structures": "drawn", "tumor": "drawn", "structures_used": ["pancreas"]}


def test_without_structures_there_is_nothing_to_map() -> None:
    volumes, record = guided(replace(DRAWN, structures=None), HOW, None)
    assert volumes == {}
    assert record == {"structures": None, "tumor": "drawn", "structures_used": []}
    volumes, record = guided(replace(DRAWN, tumor=None), HOW, None)
    assert set(volumes) == {"structures", "attention"}
    assert record == {"structures": "drawn", "tumor": None, "structures_used": ["pancreas"]}


def test_networks_draw_what_nobody_drew(networks: Networks, whole: Models) -> None:
    volumes, record = guided(replace(DRAWN, structures=None, tumor=None), HOW, whole)
    assert record == {"structures": "model", "tumor": "model", "structures_used": ["pancreas"]}
    assert volumes["structures"] is FOUND
    assert_array_equal(volumes["attention"].array, guiding_attention(FOUND, FOUND_TUMOR, BANDS).array)
    assert networks.near == [FOUND]
    assert networks.images == [CT, CT]  # HU: each network has its own way to see them


@pytest.mark.parametrize("drawn", ["structures", "tumor"])
def test_what_was_drawn_stays_where_a_network_adds_the_other(
    drawn: str, networks: Networks, whole: Models
) -> None:
    other = {"structures": "tumor", "tumor": "structures"}[drawn]
    volumes, record = guided(replace(DRAWN, **{other: None}), HOW, whole)  # type: ignore[arg-type] # a mask
    assert (record[drawn], record[other]) == ("drawn", "model")
    expected = {"structures": (STRUCTURES, FOUND_TUMOR), "tumor": (FOUND, TUMOR)}[drawn]
    assert_array_equal(volumes["attention"].array, guiding_attention(*expected, BANDS).array)
    assert networks.near == ([STRUCTURES] if drawn == "structures" else [])


def test_no_network_is_asked_where_both_were_drawn(networks: Networks, whole: Models) -> None:
    volumes, _ = guided(DRAWN, HOW, whole)
    assert volumes["structures"] is STRUCTURES
    assert not networks.images


def test_a_bundle_without_tumor_network_leaves_the_tumor_out(networks: Networks, bare: Models) -> None:
    volumes, record = guided(replace(DRAWN, structures=None, tumor=None), HOW, bare)
    assert record == {"structures": "model", "tumor": None, "structures_used": ["pancreas"]}
    assert "tumor" not in volumes
    assert networks.near == []


def test_a_bundle_without_structures_network_is_refused_where_it_is_needed(bare: Models) -> None:
    with pytest.raises(ModelError, match="the bundle has no structures network"):
        guided(replace(DRAWN, structures=None), HOW, bare)


def test_a_bundle_that_needs_both_phases_refuses_a_patient_with_one(
    networks: Networks, whole: Models
) -> None:
    alone = replace(DRAWN, ct=Multiphase(venous=CT.venous), tumor=None)
    with pytest.raises(InputError, match=r"p1: the arterial phase is missing .*\[E_ARTERIAL\]"):
        guided(alone, HOW, whole)
    assert not networks.images
    forgiving = replace(whole, info=whole.info.model_copy(update={"phase_dropout": True}))
    assert guided(alone, HOW, forgiving)[1]["tumor"] == "model"
    # Nobody is asked for a second phase where no network runs.
    assert guided(replace(alone, tumor=TUMOR), HOW, whole)[1]["tumor"] == "drawn"


@pytest.fixture
def patient(tmp_path: Path) -> StoredPatient:
    """A patient in a store, without tumor."""
    place = Store(tmp_path / "work", "v").place("p1")
    images = {"venous": CT.venous, "structures": STRUCTURES}
    made(place, Recipe(settings={}, code=("core.terms",)), lambda folder: save_volumes(folder, images))
    return StoredPatient("p1", place)


def test_guidance_lies_beside_the_images_with_a_record_and_a_line_in_the_log(
    patient: StoredPatient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="lymphct.patients.prepared.guidance"):
        record = guide_patient(patient, HOW)
        volumes = guiding_volumes(patient, HOW)
    assert record == {"structures": "drawn", "tumor": None, "structures_used": ["pancreas"]}
    (folder,) = patient.images.parent.glob("attention-*")
    assert read_json(folder / "guidance.json") == record
    assert_array_equal(volumes["attention"].array, guiding_attention(STRUCTURES, None, BANDS).array)
    # Made once, whoever asks first.
    assert [line.getMessage() for line in caplog.records] == ["p1: attention from drawn structures"]


def test_a_patient_without_structures_leaves_a_record_and_no_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Store(tmp_path / "work", "v").place("p2")
    images = {"venous": CT.venous}
    made(place, Recipe(settings={}, code=("core.terms",)), lambda folder: save_volumes(folder, images))
    bare = StoredPatient("p2", place)
    with caplog.at_level(logging.INFO, logger="lymphct.patients.prepared.guidance"):
        assert guiding_volumes(bare, HOW) == {}
    assert guide_patient(bare, HOW)["structures"] is None
    (folder,) = place.parent.glob("attention-*")
    assert sorted(path.name for path in folder.iterdir()) == ["DONE.json", "guidance.json"]
    assert "p2: attention from no structures" in caplog.text


def test_another_bundle_draws_another_guidance_beside(
    patient: StoredPatient, networks: Networks, whole: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = iter(["a" * 64, "a" * 64, "b" * 64])
    forgiving = whole.info.model_copy(update={"phase_dropout": True})

    def models_in(folder: Path, device: str) -> Models:
        assert (folder, device) == (Path("bundle"), "cpu")
        return replace(whole, info=forgiving, digest=next(digests))

    monkeypatch.setattr(guidance, "models_in", models_in)
    with_bundle = replace(HOW, bundle=Path("bundle"), device="cpu")
    assert guide_patient(patient, with_bundle)["tumor"] == "model"
    assert guide_patient(patient, with_bundle)["tumor"] == "model"
    assert len(networks.near) == 1
    assert guide_patient(patient, with_bundle)["tumor"] == "model"
    assert len(networks.near) == 2
    assert guide_patient(patient, HOW)["tumor"] is None
    assert len(list(patient.images.parent.glob("attention-*"))) == 3


@pytest.fixture
def bundled(networks: Networks, whole: Models, monkeypatch: pytest.MonkeyPatch) -> Guidance:
    """Guidance by a bundle of digest "a"."""
    del networks
    forgiving = whole.info.model_copy(update={"phase_dropout": True})
    monkeypatch.setattr(guidance, "models_in", lambda *_: replace(whole, info=forgiving, digest="a" * 64))
    return replace(HOW, bundle=Path("bundle"), device="cpu")


def test_what_a_network_drew_is_kept_and_read_in_boxes_with_its_source(
    patient: StoredPatient, bundled: Guidance
) -> None:
    found = patient.guidance(bundled)
    assert (found.bundle, found.record["structures"], found.record["tumor"]) == ("a" * 64, "drawn", "model")
    assert sorted(path.name for path in found.folder.glob("*.chunks")) == [
        "attention.chunks",
        "attention.locations.chunks",
        "tumor.chunks",
        "tumor.locations.chunks",
    ]  # what was drawn lies with the images
    structures, tumor, attention = found.view("structures"), found.view("tumor"), found.attention
    assert structures is not None
    assert tumor is not None
    assert attention is not None
    box = (slice(8, 13), slice(2, 7), slice(1, 6))
    assert_array_equal(structures.read(box), STRUCTURES.array[box])
    assert_array_equal(tumor.read(box), FOUND_TUMOR.array[box])
    assert_array_equal(found.locations("tumor")[1], class_locations(FOUND_TUMOR.array)[1])
    assert set(found.locations("structures")) == {Structure.PANCREAS}
    exact = guiding_attention(STRUCTURES, FOUND_TUMOR, BANDS).array
    assert_array_equal(attention.read(box), as_bytes(exact[box]))
    assert_array_equal(found.attention_locations, lit_locations(exact))
    volumes = guiding_volumes(patient, bundled)
    assert set(volumes) == {"structures", "tumor", "attention"}
    assert_array_equal(volumes["attention"].array, exact)


def test_the_guidance_of_a_bundle_is_found_without_the_bundle(
    patient: StoredPatient, bundled: Guidance
) -> None:
    assert patient.guidances() == ()
    guide_patient(patient, HOW)
    guide_patient(patient, bundled)
    found = {guided.bundle: guided for guided in patient.guidances()}
    assert set(found) == {"", "a" * 64}
    assert found[""].view("tumor") is None
    assert found[""].locations("tumor") == {}
    tumor = found["a" * 64].view("tumor")
    assert tumor is not None
    assert_array_equal(tumor.whole().array, FOUND_TUMOR.array)
    # Images made anew: what was drawn on the old ones is no longer theirs.
    recipe = Recipe(settings={"new": True}, code=("core.terms",))
    made(patient.images, recipe, lambda folder: save_volumes(folder, {"venous": CT.venous}))
    assert StoredPatient("p1", patient.images).guidances() == ()


def test_without_structures_nothing_guides(tmp_path: Path) -> None:
    place = Store(tmp_path / "work", "v").place("p2")
    recipe = Recipe(settings={}, code=("core.terms",))
    made(place, recipe, lambda folder: save_volumes(folder, {"venous": CT.venous}))
    found = StoredPatient("p2", place).guidance(HOW)
    assert found.view("structures") is found.view("tumor") is found.attention is None
    assert len(found.attention_locations) == 0


def test_a_damaged_mask_of_a_network_is_drawn_again(
    patient: StoredPatient, bundled: Guidance, networks: Networks, caplog: pytest.LogCaptureFixture
) -> None:
    tumor = patient.guidance(bundled).view("tumor")
    assert tumor is not None
    path = patient.guidance(bundled).folder / "tumor.chunks"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"p1: tumor\.chunks: .* \[E_DAMAGED\]"):
        tumor.whole()
    networks.near.clear()
    with caplog.at_level(logging.WARNING, logger="lymphct.io.results.made"):
        again = patient.guidance(bundled).view("tumor")
    assert again is not None
    assert_array_equal(again.whole().array, FOUND_TUMOR.array)
    assert len(networks.near) == 1
    assert f"{path.parent.name} of p1 is damaged and is made again" in caplog.text
