"""Settings of the LN-metastasis status: patches, network, training (Sec. III-B)."""

from typing import Annotated, Literal, Self, cast, get_args

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lymphct.core.errors import UsageError
from lymphct.core.settings import Edge, Settings
from lymphct.learning.settings import AugmentationSettings, ClassifierTrainingSettings, Fraction

VolumeKind = Literal["largest", "mean", "total"]
"""Which volume of the positive lymph nodes stands for the patient."""


class PatchSettings(Settings):
    """How the patches are cut around the tumor (Sec. III-B)."""

    crop_size: Edge = 224
    """Pixels along each side of a patch (Sec. III-B)."""
    crop_extent: PositiveFloat = 152.32
    """Side of an axial patch, mm: 224 pixels of 0.68 mm (Sec. III-B, Sec. IV-A.2); kept at any spacing."""
    isotropic: bool = False
    """Whether sagittal and coronal patches show `crop_extent` along k too. Off as in Sec. III-B, where 224
    voxels of 0.80 mm (179 mm) are cut and shapes appear 15 % shorter along k than they are."""
    slices_per_axis: PositiveInt = 3
    """Slices with the largest tumor area taken in each of the three directions (Sec. III-B)."""
    minimum_gap: NonNegativeFloat = 0.0
    """Smallest distance between two chosen slices of one direction, mm. Not stated in the paper; 0 lets
    neighbours be chosen."""


class StatusNetworkSettings(Settings):
    """The parts of the status network; the ablations of Tab. VI are switches here."""

    input_channels: Literal["arterial venous mask", "arterial venous difference"] = "arterial venous mask"
    """What the three input channels of the ResNet hold. Not stated in the paper but in the authors'
    code: the phases and the tumor mask. `difference` is venous minus arterial in place of the mask."""
    initialization: Literal["imagenet", "random"] = "imagenet"
    """What the ResNet starts from. Not stated in the paper but in the authors' code: ImageNet, whose weights
    `train --imagenet FILE` brings; random where there are none."""
    backbone: Literal["resnet18", "efficientnet_lite0"] = "resnet18"
    """The network before the pooling: ResNet-18 (Sec. III-B), or EfficientNet-Lite0, which has free ImageNet
    weights and is not from the paper (decision 0055)."""
    width: PositiveFloat = 1.0
    """Factor on every feature count: 1 is ResNet-18 (Sec. III-B), 0.25 a small one of 16 to 128 features.
    EfficientNet-Lite0 has one width; of it the factor scales what comes after."""
    mask_branch: bool = True
    """Whether the tumor mask scales the features of Conv1 (Sec. III-B)."""
    global_pooling: bool = True
    """Whether globally averaged features are used (Sec. III-B); off with `texture_encoding` on is DeepTEN
    (Tab. VI)."""
    texture_encoding: bool = True
    """Whether the texture encoding layer is used (Sec. III-B); off is ResNet2D (Tab. VI)."""
    codewords: PositiveInt = 8
    """Codewords of the texture encoding layer (Sec. III-B)."""
    texture_channels: PositiveInt = 64
    """Features after the 1×1 convolution before the encoding, at width 1 (Sec. III-B)."""
    weight_texture_by_mask: bool = False
    """Whether positions count by their share of tumor in the encoding. Not stated in the paper; the
    authors' code weighs them so. Off."""
    volume_fusion: bool = True
    """Whether the volume of positive lymph nodes is added (Eq. 7); off is ClsfromPDAC (Tab. VI)."""
    log_volume: bool = False
    """Whether log(1 + V) replaces V in Eq. 7. Not stated in the paper; off."""
    hidden_features: PositiveInt = 64
    """Features between both layers of the classifier, at width 1. Not stated in the paper; 64."""

    @model_validator(mode="after")
    def _sees_something(self) -> Self:
        if not (self.global_pooling or self.texture_encoding):
            msg = "the status network needs global_pooling, texture_encoding or both"
            raise ValueError(msg)
        return self


class StatusSamplingSettings(Settings):
    """What a training batch of the status network holds."""

    batch_size: Annotated[int, Field(ge=2, multiple_of=2)] = 16
    """Patients per batch, half N+ and half N-. Not stated in the paper; the halves are those of the authors'
    code. Even, and at least 2: the batch norm of the volume needs two."""
    phase_dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of draws whose arterial channel is set to 0, the mean of normalised CT, so that patients without
    that phase can be predicted. Not stated in the paper; 0 as all its patients have both phases."""


class StatusTrainingSettings(ClassifierTrainingSettings):
    """Optimiser of the status network (Sec. IV-A.2): SGD with Nesterov momentum."""

    score_momentum: Fraction = 0.9
    """Share of the past in the moving average of the validation AUC. Not stated in the paper; the authors'
    code takes such an average, the value is nnU-Net's."""


Learned = Literal["node_set", "node_graph"]
"""Networks that judge a patient by all of his nodes."""
Fused = Literal["volume", "max_probability", "noisy_or", "expected_count", "node_set", "node_graph"]
"""Which number of the lymph nodes stands for the patient in Eq. 7."""


class NodeNetworkSettings(Settings):
    """Networks that judge a patient by all nodes: `node_set`, `node_graph`. Not from the paper."""

    hidden_features: PositiveInt = 16
    """Features of a node within the network. Not stated in the paper."""
    rounds: PositiveInt = 2
    """Rounds of messages of the graph. Not stated in the paper."""
    reach: PositiveFloat = 30.0
    """mm over which the tie between two nodes, or of a node to the tumor, falls to 1/e. Not stated in the
    paper."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the features that are left out in training. Not stated in the paper."""
    iterations: PositiveInt = 200
    """Steps, each on all training patients. Not stated in the paper."""
    learning_rate: PositiveFloat = 5e-3
    """Of AdamW. Not stated in the paper."""
    weight_decay: NonNegativeFloat = 0.1
    """Of AdamW. Not stated in the paper."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Where such a network gives the number that is fused: parts of the training patients that are each left
    out once, so that nobody is fused with a number of a network that learned from him; where there are fewer
    patients, one part each. Not stated in the paper; ours (decision 0060)."""


class ScoreCalibrationSettings(Settings):
    """What the score of a patient is worth (decision 0052). Not from the paper."""

    patients: Literal["none", "validation", "out_of_fold"] = "none"
    """Whose scores tell it. Not stated in the paper; none. `validation`: those who choose the epoch.
    `out_of_fold`: all patients of the status network, each by a network of the same settings that is trained
    without him, which takes as many trainings as `folds`."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Networks that are trained for `out_of_fold`. Not stated in the paper, which has five folds."""
    error: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the patients of each class whose set of outcomes may lack their own. Not stated in the
    paper."""
    sensitivity: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """Share of the N+ that the guaranteed threshold finds at least. Not stated in the paper."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """In that sensitivity. Not stated in the paper."""


class MetastasisSettings(Settings):
    """The LN-metastasis status of a patient (Sec. III-B)."""

    patches: PatchSettings = PatchSettings()
    """How the tumor patches are cut (Sec. III-B)."""
    volume: VolumeKind = "largest"
    """Which volume of the positive nodes is fused: that of the largest (Eq. 7); the paper also evaluates the
    mean and the total."""
    fused: Fused = "volume"
    """Which number of the nodes is fused: `volume`, of the positive ones (Eq. 7). Not stated in the paper:
    the highest probability, 1 − Π(1 − p), or Σp of all nodes; `node_set`, `node_graph`: the probability of N+
    that such a network gives them (decision 0060)."""
    nodes: NodeNetworkSettings = NodeNetworkSettings()
    """Of networks that judge by all nodes. Not stated in the paper."""
    network: StatusNetworkSettings = StatusNetworkSettings()
    """Parts and sizes of the network (Sec. III-B)."""
    sampling: StatusSamplingSettings = StatusSamplingSettings()
    """What a training batch holds. Not stated in the paper."""
    augmentation: AugmentationSettings = AugmentationSettings(low_resolution_probability=0.0)
    """How training patches vary. Not stated in the paper; the ranges of nnU-Net as for the other networks
    (decision 0005), without low resolution, which would hide the texture."""
    training: StatusTrainingSettings = StatusTrainingSettings()
    """Optimiser and length (Sec. IV-A.2)."""
    calibration: ScoreCalibrationSettings = ScoreCalibrationSettings()
    """What the score is worth. Not stated in the paper; off."""

    @property
    def learned_number(self) -> Learned | None:
        """Return which network gives the number that is fused; None where it is not learned, or not fused."""
        learned = self.fused in get_args(Learned) and self.network.volume_fusion
        return cast("Learned", self.fused) if learned else None


def require_start(settings: MetastasisSettings, *, given: bool) -> None:
    """Refuse to train a network that starts from ImageNet when no weights are given.

    Raises:
        UsageError: that is so.

    """
    if settings.network.initialization == "imagenet" and not given:
        msg = "the status network starts from ImageNet weights, and none were given"
        cure = (
            "give --imagenet FILE (Getting started says which and how), or --random-init to start without; "
            "a recipe can say metastasis.network.initialization: random"
        )
        raise UsageError(msg, code="E_PRETRAINED", cure=cure)
