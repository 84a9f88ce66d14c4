"""What the status network learns from: patches and volumes predicted for unseen patients (METHOD §9)."""

import logging
from dataclasses import dataclass
from pathlib import Path

from lymphct.cascade.alignment import Intensity
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine
from lymphct.cascade.models import load_models
from lymphct.core.arrays import FloatArray
from lymphct.core.errors import LymphctError
from lymphct.core.leakage import require_unseen
from lymphct.core.terms import Phase
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.io.models.bundles import read_bundle
from lymphct.io.processes import map_patients
from lymphct.io.results.fingerprints import code_version, digest_file, fingerprint
from lymphct.io.results.jsonfile import read_json, write_json
from lymphct.io.results.store import DONE_FILE, committed_folder, is_current
from lymphct.io.results.volumes import load_array, save_array
from lymphct.learning.channels import network_channels
from lymphct.learning.devices import chosen_device
from lymphct.metastasis.aggregation import positive_volume
from lymphct.metastasis.prediction import MetastasisSettings
from lymphct.metastasis.sampling import StatusCase
from lymphct.metastasis.slices import tumor_patches
from lymphct.patients.preparation import IMAGES
from lymphct.study.plan import Part, Run

logger = logging.getLogger(__name__)

CASCADE_PARTS = ("structures", "tumor", "nodes", "identification")


def status_cases(run: Run, part: Part, *, device: str, jobs: int = 1) -> list[StatusCase]:
    """Let the trained cascade examine the patients of a part; patients without a tumor found are left out.

    Nothing the patients' annotators drew is used: structures, tumor and nodes are predicted, as they will be
    for new patients.

    Raises:
        LeakageError: the cascade was trained on one of them.

    """
    names = run.plan.ids(part)
    require_unseen(run.plan.ids("train", "validation"), names)
    known = [name for name in names if run.plan.patients[name].n_status is not None]
    cases = []
    for outcome in map_patients(_Examiner(run.folder, device), known, jobs=jobs):
        try:
            folder = outcome.result()
        except LymphctError as error:
            logger.warning("left out of the status training: %s", error.at(patient=outcome.item))
            continue
        status = run.plan.patients[outcome.item].n_status
        found = read_json(folder / "findings.json")
        if found["tumor_found"] and status is not None:  # type: ignore[index,call-overload] # as written below
            cases.append(
                StatusCase(
                    patient=outcome.item,
                    patches=load_array(folder / "patches.npy"),
                    volume=found["volume_mm3"],  # type: ignore[index,call-overload,arg-type] # as written below
                    n_status=status,
                )
            )
        else:
            logger.info("%s: no tumor found, left out of the status training", outcome.item)
    return cases


@dataclass(frozen=True, slots=True)
class _Examiner:
    """Examines one patient of a run and keeps what the status network needs."""

    run_folder: Path
    device: str

    def __call__(self, patient_id: str) -> Path:
        run = Run.open(self.run_folder)
        bundle = read_bundle(run.bundle)
        target = run.folder / "fusion" / patient_id
        origin = fingerprint(
            {"prepared": digest_file(run.prepared / patient_id / IMAGES / DONE_FILE)},
            {
                "metastasis": run.plan.config.metastasis.model_dump(mode="json"),
                "weights": {name: bundle.info.parts[name].sha256 for name in CASCADE_PARTS},  # type: ignore[index] # names of parts
            },
            code_version("core", "imaging", "attention", "learning", "nodes", "anatomy"),
        )
        if is_current(target, origin):
            return target
        models = load_models(bundle, chosen_device(self.device))
        ct = run.patient(patient_id).ct
        found = examine(ct, Given(), models, run.plan.config.attention, Stopwatch())
        with committed_folder(target, origin) as staging:
            seen = bool(found.tumor.array.any())
            volume = positive_volume(found.nodes, run.plan.config.metastasis.volume)
            write_json(staging / "findings.json", {"tumor_found": seen, "volume_mm3": volume})
            if seen:
                patches = status_patches(found, run.plan.config.metastasis, models.intensity)
                save_array(staging / "patches.npy", patches)
        return target


def status_patches(found: Findings, settings: MetastasisSettings, intensity: Intensity) -> FloatArray:
    """Cut the nine tumor patches out of a patient's normalised phases (Sec. III-B)."""
    fill = [
        0.0
        if phase is Phase.ARTERIAL and found.image.arterial is None
        else intensity.get(phase, DEFAULT_INTENSITY).fill
        for phase in (Phase.ARTERIAL, Phase.VENOUS)
    ]
    return tumor_patches(network_channels(found.image), found.tumor, settings.patches, fill=fill)
