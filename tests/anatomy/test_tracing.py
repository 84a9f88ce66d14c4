"""Arteries are found where they run, and withheld where they cannot be seen."""

import os
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lymphct.anatomy.tracing import Traced, trace_arteries, with_traced
from lymphct.anatomy.tracing.plausibility import judged
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.anatomy.tracing.vessels import Centreline
from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.images.reading import read_volume
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings

SHARED = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[3] / "shared" / "data"))
REAL = SHARED / "open_totalseg_arterial_ct"
FREE = (1, 2, 3, 4, 5, 6, 11)
SMA = Structure.SUPERIOR_MESENTERIC_ARTERY
TRUNK = Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY
HEPATIC = Structure.HEPATIC_ARTERY_COMMON_AND_PROPER


@pytest.fixture(scope="module")
def patient() -> PhantomPatient:
    return generate_patient(PhantomSettings(size="tiny", phase_shift=False), seed=5, index=1)


def only(structures: Volume, kept: tuple[int, ...]) -> Volume:
    labels = structures.array
    return structures.with_array(np.where(np.isin(labels, kept), labels, 0).astype(np.uint8))


@pytest.fixture(scope="module")
def traced(patient: PhantomPatient) -> Traced:
    return trace_arteries(patient.arterial, only(patient.structures, FREE))


@pytest.mark.parametrize("structure", [SMA, TRUNK, HEPATIC])
def test_an_artery_covers_the_true_one_within_3_mm(
    patient: PhantomPatient, traced: Traced, structure: Structure
) -> None:
    spacing = patient.structures.geometry.spacing
    apart = ndimage.distance_transform_edt(traced.structures.array != structure, sampling=spacing)
    truth = patient.structures.array == structure
    assert (apart[truth] <= 3.0).mean() >= 0.9
    away = ndimage.distance_transform_edt(~truth, sampling=spacing)
    assert (away[traced.structures.array == structure] <= 5.0).mean() >= 0.9
    assert 0.3 <= traced.confidence[structure] <= 1.0


def test_traced_arteries_take_voxels_of_the_pancreas_alone(patient: PhantomPatient, traced: Traced) -> None:
    free = only(patient.structures, FREE)
    both = with_traced(free, traced.structures)
    changed = both.array != free.array
    assert changed.any()
    assert set(np.unique(free.array[changed]).tolist()) <= {0, int(Structure.PANCREAS)}


def test_an_artery_of_the_given_map_is_left_alone(patient: PhantomPatient) -> None:
    found = trace_arteries(patient.arterial, only(patient.structures, (*FREE, SMA)))
    assert SMA not in found.arteries
    assert not (found.structures.array == SMA).any()


def test_with_the_aorta_alone_both_trunks_begin_and_nothing_leads_to_the_liver(
    patient: PhantomPatient,
) -> None:
    found = trace_arteries(patient.arterial, only(patient.structures, (Structure.AORTA,)))
    assert {SMA, TRUNK} <= set(found.confidence)
    assert found.confidence[TRUNK] <= 0.5
    assert found.withheld[HEPATIC] == "no liver to which it could lead"


def test_without_an_aorta_nothing_is_traced(patient: PhantomPatient) -> None:
    with pytest.raises(InputError, match="holds no aorta"):
        trace_arteries(patient.arterial, only(patient.structures, (1, 11)))


def test_a_phase_without_arterial_contrast_is_refused(patient: PhantomPatient) -> None:
    dull = patient.arterial.with_array(np.minimum(patient.arterial.array, 110))
    with pytest.raises(InputError, match=r"no arterial enhancement: the aorta has 1[01]\d HU"):
        trace_arteries(dull, only(patient.structures, FREE))


def test_a_pancreas_as_bright_as_the_aorta_is_refused(patient: PhantomPatient) -> None:
    free = only(patient.structures, FREE)
    bright = np.where(free.array == Structure.PANCREAS, 300, patient.arterial.array)
    with pytest.raises(InputError, match="hardly stands out of the pancreas"):
        trace_arteries(patient.arterial.with_array(bright), free)


def test_where_the_openings_are_dark_both_trunks_are_withheld(patient: PhantomPatient) -> None:
    aorta = patient.structures.array == Structure.AORTA
    inside = np.where(aorta, patient.arterial.array, np.minimum(patient.arterial.array, 60))
    found = trace_arteries(patient.arterial.with_array(inside), only(patient.structures, FREE))
    assert found.confidence == {}
    assert "no opening of the SMA" in found.withheld[SMA]
    assert not found.structures.array.any()


def straight(way: tuple[float, float, float], count: int, brightness: float = 1.0) -> Centreline:
    points = np.linspace(0, 1, count)[:, None] * np.asarray(way)
    ones = np.ones(count, dtype=np.float32)
    return Centreline(points, 3 * ones, brightness * ones, 300 * ones)


def test_a_path_that_is_too_short_leads_astray_or_goes_dark_is_withheld() -> None:
    settings = TracingSettings()
    assert judged(straight((0, -20, -80), 80), SMA, settings).confidence == 1.0
    assert "is 10 mm long" in judged(straight((0, 0, -10), 11), SMA, settings).note
    assert judged(straight((0, 0, 80), 80), SMA, settings).note == "the path does not lead down"
    dark = straight((0, -20, -80), 80)
    dark.brightness[20:40] = 0.0
    assert "no blood shows along" in judged(dark, SMA, settings).note
    assert judged(straight((0, 0, -80), 80), SMA, settings, is_whole=False).confidence == 0.5
    dim = TracingSettings(least_confidence=0.9)
    assert judged(straight((0, 0, -80), 80, 0.5), SMA, dim).note == "confidence 0.71 (0.9 wanted)"


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the shared data folder is not here (set LYMPHCT_DATA)")
def test_of_a_real_ct_the_aorta_alone_gives_both_trunks_within_2_mm() -> None:
    ct = read_volume(REAL / "arterial_ct.nii.gz")
    masks = {
        name: resample_labels(read_volume(REAL / f"crop_{name}.nii.gz"), ct.geometry).array > 0
        for name in ("aorta", "celiac_trunk", "superior_mesenteric_artery")
    }
    labels = np.where(masks["aorta"], Structure.AORTA, 0).astype(np.uint8)
    found = trace_arteries(ct, ct.with_array(labels))
    for name, structure in (("celiac_trunk", TRUNK), ("superior_mesenteric_artery", SMA)):
        apart = ndimage.distance_transform_edt(
            found.structures.array != structure, sampling=ct.geometry.spacing
        )
        assert (apart[masks[name]] <= 2.0).mean() >= 0.8, name
