"""Operating points of a bundle, moved by whoever predicts: said in every result."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

from lymphct.cascade.description import DEFAULT_PATIENT_THRESHOLD, LARGEST_VOLUME
from lymphct.cascade.models import Models, Trained
from lymphct.core.errors import ModelError, UsageError
from lymphct.core.patient import Notice
from lymphct.core.terms import StageName


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One value that a user may move.

    Attributes:
        stage: whose it is.
        most: largest value; the smallest is 0.
        of: value of the bundle.

    """

    stage: StageName
    most: float
    of: Callable[[Models], float]


def _voxel(models: Models) -> float:
    return 0.0 if models.nodes is None else models.nodes.settings.threshold


def _volume(models: Models) -> float:
    return 0.0 if models.nodes is None else models.nodes.settings.min_volume


def _positive(models: Models) -> float:
    return 0.0 if models.identification is None else models.identification.settings.threshold


def _patient(models: Models) -> float:
    return models.info.thresholds.get("patient", DEFAULT_PATIENT_THRESHOLD)


OPERATING_POINTS: Final[Mapping[str, OperatingPoint]] = {
    "node_voxel": OperatingPoint(stage=StageName.NODES, most=1.0, of=_voxel),
    "node_min_volume_mm3": OperatingPoint(stage=StageName.NODES, most=LARGEST_VOLUME, of=_volume),
    "node_positive": OperatingPoint(stage=StageName.IDENTIFICATION, most=1.0, of=_positive),
    "patient": OperatingPoint(stage=StageName.METASTASIS, most=1.0, of=_patient),
}
"""By the names `bundle.json` gives them."""


def operating_point(text: str) -> tuple[str, float]:
    """Read `name=value`.

    Raises:
        UsageError: another name, no number, or a value out of range.

    >>> operating_point("node_voxel=0.4")
    ('node_voxel', 0.4)
    """
    name, _, value = text.partition("=")
    known = OPERATING_POINTS.get(name.strip())
    if known is None:
        msg = f"there is no operating point {name[:40]!r}"
        raise UsageError(msg, code="E_OPERATING_POINT", cure=f"one of {', '.join(OPERATING_POINTS)}")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= known.most:
        msg = f"the operating point {name.strip()} is {value[:20]!r}, no number from 0 to {known.most:g}"
        raise UsageError(msg, code="E_OPERATING_POINT", cure="for example node_voxel=0.4")
    return name.strip(), number


def moved(models: Models, points: Mapping[str, float]) -> Models:
    """Return the same models at other operating points; they remember which and the bundle's own.

    Args:
        models: of a bundle.
        points: values by the names of `OPERATING_POINTS`.

    Raises:
        ModelError: the bundle lacks the network whose point it is.

    """
    require_stages([stage for stage in StageName if getattr(models, stage) is not None], points)
    own = {name: OPERATING_POINTS[name].of(models) for name in points}
    points = {name: value for name, value in points.items() if value != own[name]}
    if not points:
        return models
    nodes, identification = models.nodes, models.identification
    if nodes is not None:
        values = {"threshold": points.get("node_voxel"), "min_volume": points.get("node_min_volume_mm3")}
        update = {field: value for field, value in values.items() if value is not None}
        nodes = Trained(nodes.network, nodes.settings.model_copy(update=update))
    if identification is not None and "node_positive" in points:
        settings = identification.settings.model_copy(update={"threshold": points["node_positive"]})
        identification = Trained(identification.network, settings)
    thresholds = {**models.info.thresholds, **points}
    return replace(
        models,
        info=models.info.model_copy(update={"thresholds": thresholds}),
        nodes=nodes,
        identification=identification,
        moved_from={name: own[name] for name in points},
    )


def require_stages(parts: Collection[StageName], points: Collection[str]) -> None:
    """Refuse operating points of networks that a bundle lacks.

    Raises:
        ModelError: names the first.

    """
    for name in points:
        stage = OPERATING_POINTS[name].stage
        if stage not in parts:
            msg = f"the operating point {name} has no effect: the bundle has no {stage} network"
            raise ModelError(msg, code="E_PART", cure="leave it out")


def moved_points(models: Models) -> dict[str, float]:
    """Return the operating points that were moved, with the values that hold."""
    return {name: OPERATING_POINTS[name].of(models) for name in models.moved_from}


def operating_point_notices(models: Models) -> list[Notice]:
    """Say where a bundle works at another point than its own."""
    return [
        Notice(
            code="operating_point_changed",
            text=f"operating point {name}: {value:g} instead of the bundle's {models.moved_from[name]:g}",
            value=value,
        )
        for name, value in moved_points(models).items()
    ]
