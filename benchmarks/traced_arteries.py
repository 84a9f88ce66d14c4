"""How well arteries are traced on phantoms: centre lines, attention map, seconds.

Plaque is painted into the walls of the arteries (share of the wall, 900 HU), breathing is on, and the phases
are registered by DEEDS as `lymphct trace` does.
Usage: python benchmarks/traced_arteries.py [--patients 20] [--size tiny] [--registration deeds]
"""

import argparse
import time

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lymphct.anatomy.tracing import trace_arteries, with_traced
from lymphct.anatomy.tracing.settings import TracingSettings
from lymphct.attention import attention_map
from lymphct.cascade.alignment import align
from lymphct.core.arrays import BoolArray, DoubleArray
from lymphct.core.terms import Structure
from lymphct.core.volume import Volume
from lymphct.phantom import atlas
from lymphct.phantom.deformation import draw_build
from lymphct.phantom.hidden import patient_streams
from lymphct.phantom.patient import PhantomPatient, generate_patient
from lymphct.phantom.settings import PhantomSettings
from lymphct.registration.settings import RegistrationSettings

FREE = (1, 2, 3, 4, 5, 6, 11)
PLAQUE = 900.0
PLAQUE_SHARE = 0.15
LINES = {
    Structure.SUPERIOR_MESENTERIC_ARTERY: (atlas.SUPERIOR_MESENTERIC_ARTERY,),
    Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY: (atlas.CELIAC_TRUNK, atlas.SPLENIC_ARTERY),
    Structure.HEPATIC_ARTERY_COMMON_AND_PROPER: (atlas.HEPATIC_ARTERY,),
    Structure.LEFT_GASTRIC_ARTERY: (atlas.LEFT_GASTRIC_ARTERY,),
}


def true_lines(patient: PhantomPatient, seed: int, index: int) -> dict[Structure, DoubleArray]:
    """Return the centre lines in the patient, mm: the atlas's, through the inverse of his build."""
    build = draw_build(patient_streams(seed, index)["build"])
    grid = patient.structures.geometry
    found = {}
    for structure, tubes in LINES.items():
        wanted = np.concatenate([t.path[:, :3] for t in tubes]).astype(np.float32)
        points = wanted.copy()
        for _ in range(50):
            points += wanted - build.to_atlas(points[:, None, None])[:, 0, 0]
        places = np.rint(grid.index(points)).astype(int)
        inside = ((places >= 0) & (places < grid.shape)).all(axis=1)
        points, places = points[inside], places[inside]
        outside_aorta = patient.structures.array[tuple(places.T)] != Structure.AORTA
        found[structure] = points[outside_aorta].astype(np.float64)
    return found


def with_plaque(patient: PhantomPatient, rng: np.random.Generator) -> Volume:
    """Return the arterial phase with plaque in the walls of arteries, where breathing moved them."""
    structures = patient.structures
    arteries: BoolArray = np.isin(structures.array, (4, *(int(s) for s in LINES)))
    wall = arteries & ~ndimage.binary_erosion(arteries)
    patches = ndimage.gaussian_filter(rng.standard_normal(wall.shape), 1.5)
    hard = wall & (patches > np.quantile(patches[wall], 1.0 - PLAQUE_SHARE))
    places = np.argwhere(hard)
    world = structures.geometry.world(places) + patient.field.array[hard]
    index = np.rint(structures.geometry.index(world)).astype(int)
    index = index[((index >= 0) & (index < wall.shape)).all(axis=1)]
    hu = patient.arterial.array.copy()
    hu[tuple(index.T)] = PLAQUE
    return patient.arterial.with_array(hu)


def _recall(found: DoubleArray, truth: DoubleArray) -> float:
    """Return the share of the true points within 3 mm of the line that was found."""
    return float((np.asarray(cKDTree(found).query(truth)[0]) <= 3.0).mean())


def main() -> None:
    """Print recall per structure, errors of the attention map, and CPU seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--patients", type=int, default=20)
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--registration", default="deeds")
    parser.add_argument("--seed", type=int, default=1203)
    parser.add_argument("--noise", type=float, default=12.0)
    parser.add_argument("--left-gastric", action="store_true")
    given = parser.parse_args()
    settings = TracingSettings(left_gastric_artery=given.left_gastric)
    recalls: dict[Structure, list[float]] = {s: [] for s in LINES}
    errors: dict[str, list[float]] = {"traced": [], "not traced": []}
    withheld, seconds = 0, []
    for index in range(given.patients):
        kind = PhantomSettings.model_validate({"size": given.size, "noise_arterial": given.noise})
        patient = generate_patient(kind, seed=given.seed, index=index)
        arterial = with_plaque(patient, np.random.default_rng([given.seed, index]))
        how = RegistrationSettings(method=given.registration)
        spacing = patient.venous.geometry.spacing
        early = align(patient.venous, arterial, spacing, how).ct.arterial or arterial
        labels = patient.structures.array
        free = patient.structures.with_array(np.where(np.isin(labels, FREE), labels, 0).astype(np.uint8))
        before = time.process_time()
        traced = trace_arteries(early, free, settings)
        seconds.append(time.process_time() - before)
        for structure, line in true_lines(patient, given.seed, index).items():
            artery = traced.arteries.get(structure)
            if artery is None:
                continue
            withheld += not artery.is_traced
            found = 0.0 if artery.line is None else _recall(artery.line.points, line)
            recalls[structure].append(found)
        body = patient.venous.array > -500
        truth = attention_map(patient.structures).array[body]
        maps = {"traced": with_traced(free, traced.structures), "not traced": free}
        for name, volume in maps.items():
            errors[name].append(float(np.abs(attention_map(volume).array[body] - truth).mean()))
        print(index, {s.label[:8]: round(r[-1], 2) for s, r in recalls.items() if r}, flush=True)
    for structure, values in recalls.items():
        if values:
            print(f"{structure.label}: recall mean {np.mean(values):.3f}, least {min(values):.2f}")
    print({name: f"MAE mean {np.mean(v):.4f}, largest {max(v):.4f}" for name, v in errors.items()})
    print(f"withheld {withheld}; CPU seconds median {np.median(seconds):.2f}, largest {max(seconds[1:]):.2f}")


if __name__ == "__main__":
    main()
