"""Settings of both stages: segmentation (Sec. III-A.1) and identification of lymph nodes (Sec. III-A.2)."""

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from lymphct.core.settings import Edge, Settings
from lymphct.learning.settings import (
    AugmentationSettings,
    ClassifierTrainingSettings,
    Probability,
    SegmentationTrainingSettings,
    UNetSettings,
)

FeatureSetName = Literal["core", "robust"]
"""Ways to measure a node (`nodes.features`)."""


class HeadSettings(Settings):
    """How the attention map enters stage 1; the three switches make the factorial of its parts."""

    use_attention: bool = True
    """Multiply the decoder features with the attention map (Sec. III-A.1); off: the same code with A ≡ 1."""
    extra_block: bool = True
    """1×1×1 convolution, instance norm and LeakyReLU before the last convolution of a head.
    Not stated in the paper; the authors' code has it."""
    attention_channel: bool = False
    """Give the attention map to the network as a further input channel. Not stated in the paper; off."""
    log_prior: NonNegativeFloat = 0.0
    """Add this weight times log A to the logit of a lymph node, A no less than 0.01: attention as a prior
    probability, which the image can outvote. Not stated in the paper; 0 adds nothing."""


class NodeSegmentationSettings(SegmentationTrainingSettings):
    """Stage 1: class-agnostic segmentation of lymph nodes (Sec. III-A.1).

    The weight of positive voxels is `loss.positive_voxel_weight`, informative negatives are
    `sampling.informative_negatives`.
    """

    heads: HeadSettings = HeadSettings()
    """How the attention map enters the network (Sec. III-A.1)."""
    center_on: Literal["voxels", "nodes"] = "voxels"
    """What is equally often the centre of a patch with foreground: every voxel of a lymph node, so that large
    nodes are seen most, or every node. Not stated in the paper; voxels, as nnU-Net does (decision 0076)."""
    hard_gate: bool = False
    """Set the probability to 0 where the attention is 0. Not stated in the paper; off."""
    threshold: Probability = 0.5
    """Probability above which a voxel belongs to a node. Not stated in the paper; ½."""
    min_volume: NonNegativeFloat = 30.0
    """Smaller nodes are dropped, mm³. Not stated in the paper; chosen with the threshold on validation
    patients where a bundle says so."""
    growth: Annotated[float, Field(gt=1)] | None = None
    """A node grows from its peak, which lies above `threshold`, down to peak/growth; None: every voxel above
    `threshold`. Not stated in the paper; None (decision 0050)."""
    choose_operating_point: bool = True
    """Choose threshold and smallest node on validation patients, unless `cascade.choose_thresholds` is off
    for all stages. Not stated in the paper; off in the preset `paper`."""
    candidate_thresholds: Annotated[tuple[Probability, ...], Field(min_length=1)] = (
        0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8,
    )  # fmt: skip
    """Thresholds that validation patients choose from, with `threshold` itself. Not stated in the paper;
    ours."""
    least_recall: Annotated[float, Field(gt=0, le=1)] | None = None
    """Choose the most precise point of at least this recall on validation patients and leave precision to
    a stage 2 of three classes; None: the one of the highest F. Not stated in the paper (decision 0050)."""


class FeatureEnsembleSettings(Settings):
    """Small networks on the node features alone, beside the network of stage 2 (decision 0063).

    Not from the paper; ours.
    """

    members: NonNegativeInt = 0
    """How many, each taught by patients drawn with replacement; 0 = none. Not stated in the paper; off."""
    hidden: PositiveInt = 32
    """Width of both hidden layers. Not stated in the paper."""
    iterations: PositiveInt = 200
    """Steps, each on all training nodes. Not stated in the paper."""
    learning_rate: PositiveFloat = 1e-2
    """Of AdamW at the first step, falling to 0. Not stated in the paper."""
    weight_decay: NonNegativeFloat = 0.1
    """Of AdamW. Not stated in the paper."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the first hidden layer that is left out in a step. Not stated in the paper."""


class IdentificationHeadSettings(Settings):
    """The classifier of stage 2 (Sec. III-A.2)."""

    classes: Literal[2, 3] = 2
    """2: negative, positive (Sec. III-A.2); 3: also "not a lymph node", not from the paper."""
    hidden: PositiveInt = 32
    """Width of the hidden layer. Not stated in the paper but in the authors' code."""
    node_features: bool = True
    """Feed volume and HU statistics of the node's core beside the learned features. Not stated in the paper:
    instance norm discards absolute HU. Off in the preset `paper`."""
    feature_set: FeatureSetName = "core"
    """Which numbers: `core` volume, mean, SD and minimum of the core in both phases; `robust` shape too, and
    density that survives partial volume. Not stated in the paper; ours (decision 0051)."""
    multi_scale: bool = False
    """Average the decoder features of every scale over the box, not of the finest alone.
    Not stated in the paper; the authors' code uses the finest."""
    mask_branch: bool = False
    """Let the mask of the node weigh the decoder features. Not stated in the paper; off."""
    mask_average: bool = False
    """Average the finest decoder features also over the node itself, not over its box alone.
    Not stated in the paper; off."""
    logistic_start: bool = False
    """Add the logit of logistic regression on the node features: fitted on the training nodes, then trained
    on with the network, whose own logits start at 0. Needs `node_features`. Not stated in the paper
    (decision 0020)."""
    ensemble: FeatureEnsembleSettings = FeatureEnsembleSettings()
    """Add the mean logits of small networks on the node features: fitted on the training nodes, then left as
    they are; the network's own logits start at 0. Needs `node_features`. Not stated in the paper (decision
    0063)."""

    slice_pooling: bool = False
    """Average the finest decoder features over the node in each axial slice, too, and take the largest of
    the slices. Not stated in the paper; ours (decision 0061)."""
    place_features: bool = False
    """Add to the node features where the node lies: mm to the tumor and to the nearest guiding structure,
    which structure that is, and HU venous minus arterial. Needs `node_features`. Not stated in the paper;
    ours (decision 0061)."""
    predict_iou: bool = False
    """One more output: the IoU of the mask with the true node it is, 0 for what is none. Needs
    `identification.found.learn`, whose nodes teach it. Not stated in the paper; ours, after LN-DETR
    (decision 0061)."""
    iou_weight: PositiveFloat = 1.0
    """Weight of the loss of `predict_iou` beside that of the classes. Not stated in the paper; ours
    (decision 0061)."""
    scale_by_iou: bool = False
    """Multiply the probability of being positive by the predicted IoU, for threshold and patient alike. Needs
    `predict_iou`. Not stated in the paper; ours, after LN-DETR (decision 0061)."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.place_features and not self.node_features:
            msg = "place_features are added to the node features: set node_features"
            raise ValueError(msg)
        if self.scale_by_iou and not self.predict_iou:
            msg = "scale_by_iou needs an IoU to scale by: set predict_iou"
            raise ValueError(msg)
        if self.ensemble.members and (self.logistic_start or not self.node_features):
            msg = "an ensemble needs node_features, and takes the place of logistic_start"
            raise ValueError(msg)
        return self


class NodeSamplingSettings(Settings):
    """Crops and batches of stage 2 (Sec. III-A.2)."""

    crop_size: tuple[Edge, Edge, Edge] = (96, 96, 80)
    """Voxels along i, j, k around the centre of a node (Sec. IV-A.2)."""
    batch_size: PositiveInt = 8
    """Nodes per batch, half positive and half negative. Not stated in the paper; the halves are those of the
    authors' code."""
    box_jitter: tuple[NonNegativeInt, NonNegativeInt] = (4, 8)
    """Fewest and most voxels by which each side of the box is widened in training.
    Not stated in the paper but in the authors' code."""
    box_margin: NonNegativeInt = 6
    """Voxels by which each side of the box is widened in prediction. Not stated in the paper but in
    the authors' code."""
    phase_dropout: Probability = 0.0
    """How often the arterial phase of a node is hidden, so that patients without it can be predicted.
    Not stated in the paper; 0 is its way."""
    augmentation: AugmentationSettings = AugmentationSettings.preset("flips").model_copy(
        update={"rotation_probability": 0.2, "rotation_degrees": 30.0}
    )
    """Rotation by up to 30° and mirroring. Not stated in the paper but in the authors' code; how often is
    nnU-Net's share. No scaling: size is informative."""

    @model_validator(mode="after")
    def _jitter_is_a_range(self) -> Self:
        if self.box_jitter[0] > self.box_jitter[1]:
            msg = f"box_jitter goes from the fewest to the most voxels, got {self.box_jitter}"
            raise ValueError(msg)
        return self


class FoundNodesSettings(Settings):
    """What stage 2 learns from besides drawn nodes: those that stage 1 finds (decision 0054)."""

    learn: bool = False
    """Let it learn from nodes as stage 1 finds them in training patients, each time by a network that did not
    learn from the patient; with three classes from its false positives, too. Costs `folds` trainings of
    stage 1 more. Not stated in the paper, which learns from drawn nodes; off."""
    folds: Annotated[int, Field(ge=2)] = 2
    """Parts of the training patients, each searched by a network that learned from the others. Not stated in
    the paper; 2 costs least, more give networks that are closer to the final one."""
    iou: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    """IoU from which a found node is a drawn one and has its class; the one that counts a node as found
    (Sec. IV-D)."""


class IdentificationSettings(Settings):
    """Stage 2: identification of positive lymph nodes (Sec. III-A.2)."""

    unet: UNetSettings = UNetSettings()
    """Backbone, the one of stage 1 (Sec. III-A.2)."""
    head: IdentificationHeadSettings = IdentificationHeadSettings()
    """Classifier on the features within the node's box (Sec. III-A.2)."""
    sampling: NodeSamplingSettings = NodeSamplingSettings()
    """Crops and batches (Sec. IV-A.2)."""
    found: FoundNodesSettings = FoundNodesSettings()
    """Nodes that stage 1 finds, beside the drawn ones; not stated in the paper, off."""
    training: ClassifierTrainingSettings = ClassifierTrainingSettings()
    """SGD with Nesterov momentum 0.95, learning rate 5e-4, weight decay 1e-4 (Sec. IV-A.2); 500 × 50
    iterations are not stated in the paper but in the authors' code."""
    threshold: Probability = 0.5
    """Probability from which a node is called positive. Not stated in the paper; chosen on validation
    patients where a bundle says so."""
    rejection_threshold: Probability = 0.5
    """With three classes: probability of "not a lymph node" above which a node is dropped. Not stated
    in the paper, which has two classes; ½."""
    prediction_batch: PositiveInt = 4
    """Nodes per forward pass in prediction. Not stated in the paper; changes speed and memory only."""

    @model_validator(mode="after")
    def _has_masks_to_judge(self) -> Self:
        if self.head.predict_iou and not self.found.learn:
            msg = "head.predict_iou learns from nodes as stage 1 finds them: set found.learn"
            raise ValueError(msg)
        return self
