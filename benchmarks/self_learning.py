"""Dice of a student of structures against its teacher's, on phantoms (Sec. III-A.1, decision 0040).

`python benchmarks/self_learning.py [--size tiny] [--corrected 10] [--taught 20] [--test 12]
[--iterations 1200] [--seeds 1] [--json FILE] [--markdown FILE]
[--maps FILE]`. The teacher is a network of the venous phase
alone that learned from phantoms of its own in which nobody drew the left gastric and the hepatic artery, and
in which the superior mesenteric artery and the celiac trunk with the splenic artery end early. Ten patients
are fully drawn; for all of them and for more patients the teacher gives labels. Told is the Dice on test
phantoms that teach nobody: of the teacher, of a network that learned from the ten alone, and of the students
of one and of two rounds; with 95 % intervals over patients (bootstrap). One thread.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # started as a file, Python knows this folder only

from benchmarks.side_by_side import write_record

from lymphct.anatomy.self_learning import (
    Drawn,
    Overlap,
    TeacherMap,
    cleaned,
    confident,
    incomplete,
    overlaps,
    repeated,
    student_labels,
    without,
)
from lymphct.anatomy.settings import StructureSettings
from lymphct.anatomy.structures import segment_structures, segment_surely
from lymphct.cascade.alignment import align, normalized
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import Learned, fit_learned
from lymphct.cascade.parts import Start
from lymphct.cascade.prepared import PreparedPatient
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.arrays import AnyArray, BoolArray, DoubleArray
from lymphct.core.leakage import Roles
from lymphct.core.patient import Multiphase
from lymphct.core.terms import GUIDING_STRUCTURES, Phases, StageName, Structure
from lymphct.core.volume import Volume
from lymphct.evaluation.segmentation import dice
from lymphct.imaging.preprocess import resample_labels
from lymphct.io.settings import load_config
from lymphct.learning.keeping import Forget
from lymphct.learning.unet import SegmentationNetwork
from lymphct.phantom.patient import generate_patient
from lymphct.phantom.settings import PhantomSettings, SizeName

SEED = 1107
EPOCHS = 5
DRAWS = 10_000
KEPT = 0.4
"""Share of a vessel's length that the teacher's labels show."""
SHORT = (Structure.SUPERIOR_MESENTERIC_ARTERY, Structure.CELIAC_TRUNK_AND_SPLENIC_ARTERY)
LACKING = (Structure.LEFT_GASTRIC_ARTERY, Structure.HEPATIC_ARTERY_COMMON_AND_PROPER)
SMALL = (
    "structures.unet.features=[16,32,64]",
    "structures.unet.strides=[[1,1,1],[2,2,2],[2,2,2]]",
    "structures.sampling.patch_size=[48,48,32]",
    "registration.method=none",  # these phantoms do not breathe
)
"""Smaller than the networks of the shipped bundle, so that four trainings take half an hour."""
GOAL = 0.6
"""Dice that is asked of the structures the teacher lacks."""
TEACHER, ALONE, FIRST, SECOND = "teacher (V)", "the ten alone (A+V)", "student, round 1", "student, round 2"


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, its settings, and what was learned before it."""

    network: SegmentationNetwork
    settings: StructureSettings
    learned: Learned
    structures: tuple[Structure, ...]

    def image(self, patient: PreparedPatient) -> Multiphase:
        """Return a patient as the network sees him."""
        return normalized(patient.ct, self.learned.sight(StageName.STRUCTURES).phases)

    def found(self, patient: PreparedPatient) -> AnyArray:
        """Return the label map of a patient, as `predict` would."""
        return segment_structures(self.network, self.image(patient), self.settings).array

    def told(self, patient: PreparedPatient) -> TeacherMap:
        """Return what the network says as a teacher."""
        labels, confidence = segment_surely(self.network, self.image(patient), self.settings)
        return TeacherMap(labels=labels, structures=self.structures, confidence=confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Phantoms by what they are for."""

    teacher: Mapping[str, PreparedPatient]
    corrected: Mapping[str, PreparedPatient]
    taught: Mapping[str, PreparedPatient]
    test: Sequence[PreparedPatient]


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    config = settings_of(given)
    cohort = phantoms(given, config)
    scores: dict[str, list[DoubleArray]] = {}
    withheld: list[dict[str, object]] = []
    for seed in range(given.seeds):
        for arm, found in arms(cohort, config, seed, withheld, given.maps).items():
            scores.setdefault(arm, []).append(found)
    mean = {arm: np.mean(found, axis=0) for arm, found in scores.items()}
    rows, text = told(mean)
    print(text)
    if given.markdown is not None:
        given.markdown.write_text(text, encoding="utf-8")
    if given.json is not None:
        options = {
            name: value for name, value in vars(given).items() if name not in {"json", "markdown", "maps"}
        }
        write_record(given.json, options=options, rows=[*rows, *withheld])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=("nano", "tiny"), default="tiny")
    parser.add_argument("--teaching", type=int, default=12, help="phantoms that the teacher learns from")
    parser.add_argument("--corrected", type=int, default=10)
    parser.add_argument("--taught", type=int, default=20)
    parser.add_argument("--test", type=int, default=12)
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--maps", type=Path, help="npz of the test phantoms' label maps, for the picture")
    return parser.parse_args()


def settings_of(given: argparse.Namespace) -> Config:
    small = SMALL if given.size == "tiny" else ()
    return load_config(
        f"phantom_{given.size}",
        [
            f"structures.training.epochs={EPOCHS}",
            f"structures.training.iterations_per_epoch={given.iterations // EPOCHS}",
            "structures.sampling.phase_dropout=0",
            "structures.sampling.foreground_fraction=0.9",  # both patches of a batch
            *small,
        ],
    )


def phantoms(given: argparse.Namespace, config: Config) -> Cohort:
    began = time.process_time()
    counts = [given.teaching, given.corrected, given.taught, given.test]
    every = iter([phantom(n, given.size, config) for n in range(sum(counts))])
    groups = [[next(every) for _ in range(count)] for count in counts]
    print(f"{sum(counts)} phantoms: {time.process_time() - began:.0f} CPU-s", flush=True)
    teacher, corrected, taught = ({p.patient_id: p for p in group} for group in groups[:3])
    return Cohort(
        teacher={name: shortened(patient) for name, patient in teacher.items()},
        corrected=corrected,
        taught=taught,
        test=groups[3],
    )


def phantom(index: int, size: SizeName, config: Config) -> PreparedPatient:
    """Return a phantom on the working grid, fully drawn."""
    made = generate_patient(PhantomSettings(size=size, phase_shift=False), seed=SEED, index=index)
    ct = align(made.venous, made.arterial, config.imaging.spacing, config.registration).ct
    whole = [
        None if phase is None else phase.with_array(np.rint(phase.array).astype(np.int16))
        for phase in (ct.venous, ct.arterial)
    ]
    if whole[0] is None:
        raise ValueError(index)
    return PreparedPatient(
        patient_id=f"p{index:03d}",
        ct=Multiphase(venous=whole[0], arterial=whole[1]),
        structures=resample_labels(made.structures, ct.venous.geometry),
    )


def shortened(patient: PreparedPatient) -> PreparedPatient:
    """Return a patient as the teacher's authors drew him: short vessels, two arteries not at all."""
    drawn = structures_of(patient)
    labels = np.where(np.isin(drawn.array, LACKING), 0, drawn.array).astype(np.uint8)
    for vessel in SHORT:
        mask: BoolArray = drawn.array == vessel
        labels[mask & ~proximal(mask, drawn, KEPT)] = 0
    known = tuple(structure for structure in Structure if structure not in LACKING)
    return replace(patient, structures=drawn.with_array(labels), labelled=known)


def proximal(mask: BoolArray, drawn: Volume, share: float) -> BoolArray:
    """Return the part of a vessel within this share of its length, along it from the aorta."""
    aorta = np.argwhere(drawn.array == Structure.AORTA) * drawn.geometry.spacing
    voxels = np.argwhere(mask)
    if not len(voxels) or not len(aorta):
        return mask
    places = voxels * drawn.geometry.spacing
    nearest = min(range(len(places)), key=lambda n: float(np.linalg.norm(aorta - places[n], axis=1).min()))
    steps = {tuple(voxel): -1 for voxel in voxels.tolist()}
    front = [tuple(voxels[nearest].tolist())]
    steps[front[0]] = 0
    shifts = np.argwhere(np.ones((3, 3, 3))) - 1
    while front:
        ahead = []
        for voxel in front:
            for beside in map(tuple, (np.array(voxel) + shifts).tolist()):
                if steps.get(beside) == -1:
                    steps[beside] = steps[voxel] + 1
                    ahead.append(beside)
        front = ahead
    limit = share * max(steps.values())
    kept = np.zeros_like(mask)
    for voxel, step in steps.items():
        kept[voxel] = 0 <= step <= limit
    return kept


def structures_of(patient: PreparedPatient) -> Volume:
    if patient.structures is None:
        raise ValueError(patient.patient_id)
    return patient.structures


def arms(
    cohort: Cohort, config: Config, seed: int, withheld: list[dict[str, object]], maps: Path | None
) -> dict[str, DoubleArray]:
    """Return the Dice of each test patient (rows) and guiding structure, of every way to learn."""
    teacher = trained(TEACHER, cohort.teacher, config, seed, phases="venous")
    networks = {TEACHER: teacher, ALONE: trained(ALONE, cohort.corrected, config, seed)}
    guide = teacher
    for arm in (FIRST, SECOND):
        learners, too_short = learned_by(guide, cohort, config)
        withheld.append({"arm": arm, "seed": seed, "withheld": {s.label: r for s, r in too_short.items()}})
        print(f"{arm}: from drawn maps alone {', '.join(s.label for s in too_short) or '-'}", flush=True)
        networks[arm] = guide = trained(arm, learners, config, seed)
    found = {arm: [network.found(patient) for patient in cohort.test] for arm, network in networks.items()}
    if maps is not None and seed == 0:
        keep_maps(maps, cohort.test, found)
    return {
        arm: np.array(
            [
                [class_dice(labels, patient, structure) for structure in GUIDING_STRUCTURES]
                for labels, patient in zip(each, cohort.test, strict=True)
            ]
        )
        for arm, each in found.items()
    }


def keep_maps(file: Path, test: Sequence[PreparedPatient], found: Mapping[str, Sequence[AnyArray]]) -> None:
    """Write the label maps of the test phantoms, for `benchmarks/self_learning_picture.py`."""
    arrays = {f"{arm}/{n}": labels for arm, each in found.items() for n, labels in enumerate(each)}
    for n, patient in enumerate(test):
        arrays[f"truth/{n}"] = structures_of(patient).array
        arrays[f"arterial/{n}"] = (patient.ct.arterial or patient.ct.venous).array
    np.savez_compressed(file, allow_pickle=False, **arrays)


def learned_by(
    guide: Trained, cohort: Cohort, config: Config
) -> tuple[dict[str, PreparedPatient], dict[Structure, float]]:
    """Return the patients a student learns from, and what it learns from drawn maps alone."""
    settings = config.self_learning
    everybody = {**cohort.corrected, **cohort.taught}
    maps = {name: cleaned(guide.told(patient), settings)[0] for name, patient in everybody.items()}
    pooled: dict[Structure, Overlap] = {}
    for name, patient in cohort.corrected.items():
        measured = overlaps(maps[name].labels, Drawn(labels=structures_of(patient)), guide.structures)
        for structure, overlap in measured.items():
            pooled[structure] = pooled.get(structure, Overlap(0, 0, 0)) + overlap
    too_short = incomplete(pooled, settings)
    learners = dict(cohort.corrected)
    for name, patient in cohort.taught.items():
        labels = student_labels(None, without(confident(maps[name], settings.confidence), too_short))
        if labels is not None:
            learners[name] = replace(patient, structures=labels.labels, labelled=labels.structures)
    return learners, too_short


def trained(
    arm: str,
    learners: Mapping[str, PreparedPatient],
    config: Config,
    seed: int,
    phases: Phases = "both",
) -> Trained:
    """Return the network that learned from everybody; nobody chooses its epoch, the last one counts."""
    began = time.process_time()
    structures = config.structures.model_copy(update={"phases": phases})
    config = config.model_copy(update={"structures": structures})
    learned = fit_learned(learners, list(learners), config)
    stage = STAGES[StageName.STRUCTURES]
    start = Start(config=config, seed=seed)
    drawn = [name for name, patient in learners.items() if patient.labelled is None]
    others = [name for name in learners if name not in drawn]
    sampled = repeated(drawn, others, config.self_learning.drawn_share)
    part = fit_stage(stage, learners, Roles(train=sampled), learned, start, Forget())
    network = stage.build(part.settings)
    network.load_state_dict(dict(part.weights))
    if not isinstance(part.settings, StructureSettings) or not isinstance(network, SegmentationNetwork):
        raise TypeError(part.settings)
    shown = [tuple(Structure) if p.labelled is None else p.labelled for p in learners.values()]
    print(f"{arm}: {len(learners)} patients, {time.process_time() - began:.0f} CPU-s", flush=True)
    known = tuple(sorted(set().union(*shown)))
    return Trained(network.eval(), part.settings, learned, known)


def class_dice(found: AnyArray, patient: PreparedPatient, structure: Structure) -> float:
    """Return the Dice of one structure; NaN where the patient has none."""
    truth = structures_of(patient).array == structure
    return dice(found == structure, truth) if truth.any() else float("nan")


def told(
    scores: Mapping[str, DoubleArray],
) -> tuple[list[dict[str, object]], str]:
    """Return the rows of the record and a Markdown table: mean Dice, difference to the teacher, interval."""
    rng = np.random.default_rng(SEED)
    rows: list[dict[str, object]] = []
    lines = [
        "| structure | " + " | ".join(scores) + " | round 1 − teacher |",
        "|-|" + "-|" * (len(scores) + 1),
    ]
    for column, structure in enumerate(GUIDING_STRUCTURES):
        values = {arm: found[:, column] for arm, found in scores.items()}
        cells = []
        for arm, dices in values.items():
            low, high = interval(dices, rng)
            rows.append(
                {"structure": structure.label, "arm": arm, "dice": float(np.nanmean(dices)), "low": low,
                 "high": high, "patients": int(np.isfinite(dices).sum())}
            )  # fmt: skip
            cells.append(f"{np.nanmean(dices):.3f} ({low:.3f} to {high:.3f})")
        apart = values[FIRST] - values[TEACHER]
        low, high = interval(apart, rng)
        rows.append(
            {"structure": structure.label, "arm": f"{FIRST} - {TEACHER}", "dice": float(np.nanmean(apart)),
             "low": low, "high": high, "patients": int(np.isfinite(apart).sum())}
        )  # fmt: skip
        cells.append(f"{np.nanmean(apart):+.3f} ({low:+.3f} to {high:+.3f})")
        lines.append(f"| {structure.title} | {' | '.join(cells)} |")
    return rows, "\n".join([*lines, "", *goals(scores, rng)]) + "\n"


def goals(scores: Mapping[str, DoubleArray], rng: np.random.Generator) -> list[str]:
    """Say of each student whether it reaches what is asked of it."""
    lines = []
    for arm in (FIRST, SECOND):
        for structure in SHORT:
            apart = scores[arm][:, structure - 1] - scores[TEACHER][:, structure - 1]
            low, _ = interval(apart, rng)
            word = "yes" if low > 0 else "no"
            lines.append(f"- {arm}: better than the teacher in the {structure.title}: {word}")
        for structure in LACKING:
            reached = float(np.nanmean(scores[arm][:, structure - 1]))
            word = "yes" if reached >= GOAL else "no"
            lines.append(f"- {arm}: Dice of the {structure.title} at least {GOAL:g}: {word} ({reached:.3f})")
    return lines


def interval(values: DoubleArray, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of a mean over patients (bootstrap)."""
    there = values[np.isfinite(values)]
    drawn = there[rng.integers(len(there), size=(DRAWS, len(there)))].mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    main()
