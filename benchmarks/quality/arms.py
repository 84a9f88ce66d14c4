"""Stage 1 of one patient in several arms: guided by predicted or true structures, or by no attention at all.

"none" is a network trained without attention, "none + hard gate" the same with its probability set to 0
where the attention is 0. Each arm has the thresholds chosen on its own validation patients.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from benchmarks.quality.subjects import Subject

from lymphct.attention.mapping import attention_map, guided_by, structures_present
from lymphct.attention.settings import AttentionSettings
from lymphct.cascade.examination import Given, Stopwatch
from lymphct.cascade.models import Models
from lymphct.core.patient import NodeMap
from lymphct.core.terms import StageName
from lymphct.core.volume import Volume
from lymphct.evaluation.detection import match_instances
from lymphct.evaluation.segmentation import voxel_counts
from lymphct.io.results.jsonfile import JSON
from lymphct.nodes.instances import find_instances
from lymphct.nodes.segmentation import predict_node_probability
from lymphct.nodes.settings import NodeSegmentationSettings

Source = Literal["predicted", "truth"]
"""Whose structures and tumor guide the attention."""

SWEEP: Final = (*(n / 20 for n in range(1, 20)), 0.98, 0.99)
"""Voxel thresholds at which arms without attention are also measured."""
UNREGISTERED: Final = "attention, predicted, phases not registered"
"""The cascade on phases that lie where the coordinates of the scanner put them."""
BORDERS: Final = AttentionSettings()
"""The attention as `lymphct predict` computes it by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """An attention map, and whether any guiding structure is behind it."""

    attention: Volume
    is_searched: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms:
    """Which arms are measured.

    Attributes:
        models: the bundle.
        other: a bundle whose stage 1 was trained without attention; None leaves its arms out.
        sources: whose structures are wanted.
        with_truth: whether true structures are used on this patient at all.

    """

    models: Models
    other: Models | None
    sources: tuple[Source, ...]
    with_truth: bool

    def measure(
        self, subject: Subject, found: Given, watch: Stopwatch
    ) -> tuple[dict[str, JSON], NodeMap | None]:
        """Return the record of each arm, and the nodes the cascade itself finds (None: none were looked for).

        Args:
            subject: the patient.
            found: predicted structures and tumor, where there are networks for them.
            watch: takes the seconds.

        """
        guides = self._guides(subject, found)
        record: dict[str, JSON] = {}
        nodes = None
        for source, guide in guides.items():
            with watch.stage(f"stage 1, {source}"):
                probability, settings = _probability(self.models, subject, guide.attention)
                called = _nodes_of(probability, settings)
            record[f"attention, {source}"] = _compared(called, subject)
            if source == "predicted" and guide.is_searched:
                nodes = called
        if self.other is not None and guides:
            with watch.stage("stage 1, no attention"):
                record |= _without_attention(self.other, subject, guides)
        return record, nodes

    def _guides(self, subject: Subject, found: Given) -> dict[Source, Guide]:
        candidates: dict[Source, Given] = {"predicted": found}
        if self.with_truth:
            candidates["truth"] = subject.truth
        guides: dict[Source, Guide] = {}
        for source, given in candidates.items():
            if source in self.sources and given.structures is not None and given.tumor is not None:
                guiding = guided_by(given.structures, given.tumor)
                guides[source] = Guide(
                    attention=attention_map(guiding, self.models.bands, BORDERS),
                    is_searched=bool(structures_present(guiding)),
                )
        return guides


def _without_attention(other: Models, subject: Subject, guides: Mapping[Source, Guide]) -> dict[str, JSON]:
    """Run the other network once; take its nodes as they are, and gated by A > 0 afterwards."""
    unused = next(iter(guides.values())).attention  # a network without attention does not look at it
    probability, settings = _probability(other, subject, unused)
    record: dict[str, JSON] = {"none": _with_sweep(probability, subject, settings)}
    for source, guide in guides.items():
        gated = np.where(guide.attention.array > 0, probability.array, np.float32(0.0))
        record[f"none + hard gate, {source}"] = _with_sweep(probability.with_array(gated), subject, settings)
    return record


def _probability(
    models: Models, subject: Subject, attention: Volume
) -> tuple[Volume, NodeSegmentationSettings]:
    if models.nodes is None:
        msg = "arms are measured with bundles that have stage 1"
        raise TypeError(msg)
    settings = models.nodes.settings
    image = models.view(subject.ct, StageName.NODES)
    return predict_node_probability(models.nodes.network, image, attention, settings), settings


def _nodes_of(probability: Volume, settings: NodeSegmentationSettings) -> NodeMap:
    return find_instances(
        probability, threshold=settings.threshold, min_volume=settings.min_volume, growth=settings.growth
    )


def _compared(called: NodeMap, subject: Subject) -> dict[str, JSON]:
    """Return voxel counts and matches of the called nodes with the true ones."""
    found, truth = called.instances.array, subject.nodes.instances.array
    matches, voxels = match_instances(found, truth), voxel_counts(found, truth)
    return {
        "voxels": [voxels.prediction, voxels.truth, voxels.both],
        "pairs": [[pair.prediction, pair.truth, pair.iou] for pair in matches.pairs],
        "prediction_voxels": [[label, size] for label, size in matches.prediction_voxels.items()],
        "truth_voxels": [[label, size] for label, size in matches.truth_voxels.items()],
    }


def _with_sweep(probability: Volume, subject: Subject, settings: NodeSegmentationSettings) -> dict[str, JSON]:
    """Compare at the network's own threshold, and count true and false positives and misses along `SWEEP`."""
    sweep: list[JSON] = []
    for threshold in SWEEP:
        swept = find_instances(
            probability, threshold=threshold, min_volume=settings.min_volume, growth=settings.growth
        )
        m = match_instances(swept.instances.array, subject.nodes.instances.array)
        sweep.append([m.true_positives, m.false_positives, m.false_negatives])
    return {**_compared(_nodes_of(probability, settings), subject), "sweep": sweep}
