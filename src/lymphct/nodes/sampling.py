"""The batches stage 2 learns from: the classes take turns (Sec. III-A.2)."""

from collections.abc import Sequence

import numpy as np

from lymphct.core.arrays import DoubleArray
from lymphct.core.errors import InputError
from lymphct.learning.augmentation import change_intensity, draw_spatial
from lymphct.nodes.crops import (
    NOT_A_NODE,
    UNKNOWN,
    Crop,
    IdentificationCase,
    NodeBatch,
    collate,
    cut_crop,
)
from lymphct.nodes.settings import NodeSamplingSettings


class NodeSampler:
    """Draws batches with equal shares of the classes; `batch(n)` depends on the seed and n alone."""

    def __init__(
        self,
        cases: Sequence[IdentificationCase],
        sampling: NodeSamplingSettings,
        classes: int,
        seed: int,
        *,
        learns_iou: bool = False,
    ) -> None:
        """Sort the nodes by class, whatever the order of the cases; those of unknown class are not drawn.

        Where the network learns the IoU of a mask, those of unknown class whose IoU is known take their turn
        after the classes, if there are any.

        Raises:
            InputError: a class has no node, or what is no lymph node meets a network of two classes.

        """
        self.sampling, self.seed = sampling, seed
        self.cases = tuple(sorted(cases, key=lambda case: case.patient))
        everything = [(c, n) for c, case in enumerate(self.cases) for n in range(len(case.labels))]
        self.members = [
            [(c, n) for c, n in everything if self.cases[c].classes[n] == number]
            for number in range(NOT_A_NODE + 1)
        ]
        masks = [(c, n) for c, n in everything if self._teaches_iou_alone(c, n)] if learns_iou else []
        self.turns = [*self.members[:classes], *([masks] if masks else [])]
        if classes == 2 and self.members[NOT_A_NODE]:
            patient = self.cases[self.members[NOT_A_NODE][0][0]].patient
            msg = f"{len(self.members[NOT_A_NODE])} parts are no lymph nodes, which two classes cannot say"
            cure = "leave them out, or train three classes"
            raise InputError(msg, code="E_CLASS", cure=cure).at(patient=patient)
        counts = [len(nodes) for nodes in self.members[:classes]]
        if min(counts) == 0:
            names = ("negative", "positive", "not a lymph node")
            told = ", ".join(f"{count} {name}" for count, name in zip(counts, names, strict=False))
            msg = f"identification learns from examples of every class, got {told}"
            cure = "train on patients with nodes of every class"
            if classes > 2 and not counts[NOT_A_NODE]:
                cure = "let stage 2 learn from what stage 1 finds (identification.found.learn)"
            raise InputError(msg, code="E_ONE_CLASS", cure=cure)

    def _teaches_iou_alone(self, case: int, number: int) -> bool:
        found = self.cases[case]
        return found.classes[number] == UNKNOWN and bool(np.isfinite(found.ious[number]))

    def batch(self, iteration: int) -> NodeBatch:
        """Return the batch of an iteration: the classes take turns, nodes of a class are drawn evenly."""
        rng = np.random.default_rng((self.seed, iteration))
        crops, features, classes, ious = [], [], [], []
        for place in range(self.sampling.batch_size):
            members = self.turns[(iteration + place) % len(self.turns)]
            c, n = members[int(rng.integers(len(members)))]
            case = self.cases[c]
            crop, row = self._draw(case, n, rng)
            crops.append(crop)
            features.append(row)
            classes.append(case.classes[n])
            ious.append(case.ious[n])
        return collate(crops, np.stack(features), classes, ious)

    def _draw(
        self, case: IdentificationCase, number: int, rng: np.random.Generator
    ) -> tuple[Crop, DoubleArray]:
        sampling = self.sampling
        margins = rng.integers(sampling.box_jitter[0], sampling.box_jitter[1] + 1, size=(2, 3))
        transform = draw_spatial(sampling.augmentation, rng)
        crop = cut_crop(case, number, sampling.crop_size, transform, margins)
        image = np.ascontiguousarray(change_intensity(crop.image, sampling.augmentation, rng))
        features = case.features[number].copy()
        if len(image) > 1 and rng.random() < sampling.phase_dropout:
            image[0] = 0.0  # the mean of a z-scored arterial phase
            features[list(case.feature_set.arterial)] = np.nan
        return Crop(image, np.ascontiguousarray(crop.mask), crop.box), features
