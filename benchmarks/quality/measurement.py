"""One unseen patient through the cascade: what every part finds against the truth, as one record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Final

import numpy as np
import torch
from benchmarks.quality.arms import BORDERS, UNREGISTERED, Arms, Source
from benchmarks.quality.subjects import Cohort, Record, Subject, kept_record, measuring_recipe, models_of

from lymphct.attention.mapping import guided_by
from lymphct.cascade.evidence import evidence_of, status_patches
from lymphct.cascade.examination import Findings, Given, Stopwatch, examine, find_structures, find_tumor
from lymphct.cascade.models import Models
from lymphct.cascade.score import predict_score
from lymphct.core.terms import NodeClass, StageName, Structure
from lymphct.evaluation.calibration_record import calibration_of
from lymphct.evaluation.segmentation import VoxelCounts, label_counts, voxel_counts
from lymphct.io.results.jsonfile import JSON
from lymphct.learning.channels import network_channels
from lymphct.learning.inference_settings import Precision
from lymphct.metastasis.fusing import fused_number
from lymphct.metastasis.prediction import predict_status
from lymphct.metastasis.settings import Fused, MetastasisSettings, PatchSettings
from lymphct.nodes.calling import positive_scores, predict_nodes
from lymphct.nodes.crops import identification_case
from lymphct.nodes.features import feature_set_of, node_features
from lymphct.nodes.found import told_apart
from lymphct.nodes.measurement import measure_nodes

PARTS: Final = ("structures", "tumor", "nodes", "identification", "metastasis")
SHARED: Final = (StageName.STRUCTURES, StageName.TUMOR, StageName.NODES)
"""Networks that a bundle has in common with its rival."""
PLAIN_NUMBERS: Final[tuple[Fused, ...]] = ("volume", "max_probability", "noisy_or", "expected_count")
"""Numbers of a patient's nodes in which nothing is learned."""
SAME: Final = 0.3
"""IoU from which a found node is a true one (Sec. IV-D)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What is measured, on whom; called with the index of a patient.

    Attributes:
        bundle: folder of the bundle.
        without_attention: folder of a bundle whose stage 1 was trained without attention; None leaves it out.
        rivals: folders of bundles of the same structures, tumor and nodes, whose other networks judge what
            these find as well.
        cohort: the patients, none of whom the bundles have seen.
        parts: networks to measure, all of them in the bundle.
        sources: whose structures guide stage 1.
        arm_patients: on the first so many, stage 1 is also run with true structures, without attention and
            without registration.
        precision: of the sliding windows; None as the bundle says.
        device: on which the networks run.
        work: folder of the records.

    """

    bundle: Path
    without_attention: Path | None = None
    rivals: tuple[Path, ...] = ()
    cohort: Cohort
    parts: tuple[str, ...] = PARTS
    sources: tuple[Source, ...] = ("predicted", "truth")
    arm_patients: int = 0
    precision: Precision | None = None
    device: str = "cpu"
    work: Path

    def __call__(self, index: int) -> Record:
        """Return the record of a patient, measured now or before.

        Raises:
            LeakageError: the bundle was fitted on this patient.

        """
        with_arms = index < self.arm_patients
        other = None
        if with_arms and self.without_attention is not None:
            other = models_of(self.without_attention, self.precision, self.device)
        models = models_of(self.bundle, self.precision, self.device)
        rivals = [models_of(rival, self.precision, self.device) for rival in self.rivals]
        settings: dict[str, JSON] = {
            "phantoms": self.cohort.phantoms.model_dump(mode="json"),
            "seed": self.cohort.seed,
            "registration": self.cohort.registration,
            "parts": list(self.parts),
            "sources": list(self.sources),
            "with_arms": with_arms,
            "precision": self.precision,
        }
        inputs = {f"rival {number}": rival.digest for number, rival in enumerate(rivals)}
        inputs |= {} if other is None else {"without_attention": other.digest}
        recipe = measuring_recipe(settings, inputs, models.digest)
        arms = Arms(models=models, other=other, sources=self.sources, with_truth=with_arms)
        return kept_record(self.work, recipe, index, lambda: self._measured(index, models, rivals, arms))

    def _measured(self, index: int, models: Models, rivals: Sequence[Models], arms: Arms) -> dict[str, JSON]:
        torch.set_num_threads(1)
        watch, began = Stopwatch(), process_time()
        with watch.stage("phantom"):
            subject = self.cohort.subject(index, models.spacing)
        models.require_unseen(subject.patient_id)
        record: dict[str, JSON] = {"patient": subject.patient_id, "n_status": subject.n_status}
        found = self._anatomy(subject, models, watch)
        record |= _against_truth(found, subject.truth)
        if "nodes" in self.parts:
            stage1, nodes = arms.measure(subject, found, watch)
            record["stage1"] = stage1
            found = replace(found, nodes=nodes)
            if arms.with_truth and self.cohort.registration != "none" and nodes is not None:
                stage1[UNREGISTERED] = self._unregistered(index, models, watch)
        record |= self._judged(subject, found, models, watch)
        judged: list[JSON] = []
        for rival in rivals:
            rival.require_unseen(subject.patient_id)
            judged.append(self._judged(subject, found, rival, Stopwatch()))
        record["rivals"] = judged
        record["seconds"] = {**watch.seconds, "CPU": round(process_time() - began, 3)}
        return record

    def _judged(self, subject: Subject, found: Given, models: Models, watch: Stopwatch) -> dict[str, JSON]:
        """Return what stage 2 says of true and of found nodes, and the scores of the patient."""
        record: dict[str, JSON] = {}
        if "identification" in self.parts:
            with watch.stage("stage 2, true nodes"):
                record["stage2"] = _stage2(subject, models)
        if set(PARTS[:4]) <= set(self.parts):
            with watch.stage("stage 2, status"):
                findings = examine(subject.ct, found, models, BORDERS, Stopwatch())
                record["found"] = {
                    "class": list(told_apart(findings.nodes, subject.nodes, iou=SAME).classes),
                    "probability": [node.probability for node in findings.nodes.nodes],
                }
                record["status"] = _status(findings, models, with_score="metastasis" in self.parts)
        return record

    def _unregistered(self, index: int, models: Models, watch: Stopwatch) -> JSON:
        """Return what stage 1 finds, guided by predicted structures, without registration of the phases."""
        with watch.stage("phases not registered"):
            subject = replace(self.cohort, registration="none").subject(index, models.spacing)
            given = self._anatomy(subject, models, Stopwatch())
            arms = Arms(models=models, other=None, sources=("predicted",), with_truth=False)
            return arms.measure(subject, given, Stopwatch())[0]["attention, predicted"]

    def _anatomy(self, subject: Subject, models: Models, watch: Stopwatch) -> Given:
        structures = tumor = None
        if "structures" in self.parts:
            with watch.stage("structures"):
                structures = find_structures(subject.ct, Given(), models)
        if "tumor" in self.parts:
            with watch.stage("tumor"):
                tumor = find_tumor(subject.ct, structures, Given(), models)
        return Given(structures=structures, tumor=tumor)


def _against_truth(found: Given, truth: Given) -> dict[str, JSON]:
    record: dict[str, JSON] = {}
    if found.structures is not None and truth.structures is not None:
        counts = label_counts(found.structures.array, truth.structures.array, Structure)
        record["structures"] = {Structure(n).label: _three(c) for n, c in counts.items()}
    if found.tumor is not None and truth.tumor is not None:
        record["tumor"] = _three(voxel_counts(found.tumor.array, truth.tumor.array))
    return record


def _three(counts: VoxelCounts) -> list[JSON]:
    return [counts.prediction, counts.truth, counts.both]


def _stage2(subject: Subject, models: Models) -> dict[str, JSON]:
    """Return class, probability of being positive and features of each true node (Sec. III-A.2)."""
    if models.identification is None:
        return {}
    network, settings = models.identification.network, models.identification.settings
    image = models.view(subject.ct, StageName.IDENTIFICATION)
    feature_set, nodes = feature_set_of(settings.head), subject.nodes
    truth = subject.truth
    if feature_set.place and truth.structures is not None:
        guiding = guided_by(truth.structures, truth.tumor)
        nodes = measure_nodes(nodes, subject.ct, guiding, truth.tumor)
    case = identification_case(
        subject.patient_id, network_channels(image), nodes, subject.ct, feature_set=feature_set
    )
    share = positive_scores(predict_nodes(network, case, settings), settings.head)
    return {
        "positive": [node.node_class is NodeClass.POSITIVE for node in subject.nodes.nodes],
        "probability": share.tolist(),
        "volume_mm3": [node.volume for node in subject.nodes.nodes],
        "features": node_features(subject.nodes, subject.ct).tolist(),
    }


def _status(found: Findings, models: Models, *, with_score: bool) -> dict[str, JSON]:
    """Return the scores of the patient: combined, lymph nodes alone, tumor alone, and two controls."""
    record: dict[str, JSON] = {
        "nodes": len(found.nodes.nodes),
        "tumor_mm3": float(found.tumor.array.sum(dtype=np.int64)) * found.tumor.geometry.voxel_volume,
    }
    if models.identification is not None:
        judged = evidence_of(found, models, PatchSettings())
        record["numbers"] = {
            number: fused_number(judged, MetastasisSettings(fused=number)) for number in PLAIN_NUMBERS
        }
    if models.metastasis is None or not with_score:
        return record
    network, settings = models.metastasis.network, models.metastasis.settings
    record["nodes_alone"] = fused_number(evidence_of(found, models, settings.patches), settings, network)
    score = predict_score(found, models)
    record["probability"] = score.probability
    worth = calibration_of(models.info.calibration or {})
    if worth is not None and score.probability is not None:
        record["calibrated"] = worth.of(score.probability).probability
    record["withheld"] = None if score.reason is None else score.reason.code
    if score.probability is not None:
        patches = status_patches(found, settings.patches, models.intensity(StageName.METASTASIS))
        # With the volume hidden: what the fused network makes of the tumor alone.
        record["probability_tumor"] = predict_status(network, patches, 0.0)
    return record
