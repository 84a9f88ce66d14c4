"""A patient of boxes and balls on an anisotropic, turned grid; the file has its axes in another order."""

import math

import numpy as np
import pytest

from lymphct.core.arrays import AnyArray, BoolArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.orientation import AxisOrder
from lymphct.core.patient import Multiphase, Node, NodeMap, Notice, Prediction, SearchState
from lymphct.core.terms import GUIDING_STRUCTURES, NodeClass, Structure
from lymphct.core.volume import Volume
from lymphct.report.context import ReportContext

COS, SIN = math.cos(math.radians(8)), math.sin(math.radians(8))
WORKING = Geometry(
    shape=(60, 50, 40),
    spacing=(1.6, 2.0, 2.5),
    origin=(-48.0, -40.0, -30.0),
    direction=((COS, -SIN, 0.0), (SIN, COS, 0.0), (0.0, 0.0, 1.0)),
)
AS_FILED = AxisOrder(axes=(2, 0, 1), flipped=(True, False, True))
BALLS: tuple[tuple[Index3, float], ...] = (((20, 20, 15), 5.0), ((40, 30, 25), 6.0), ((30, 36, 10), 4.0))
"""Center (voxels of the working grid) and radius (mm) of each node."""


def ball(center: Index3, radius: float) -> BoolArray:
    steps = (np.indices(WORKING.shape).T - center) * np.asarray(WORKING.spacing)
    distance: AnyArray = np.linalg.norm(steps, axis=-1).T
    return distance <= radius


def filed(array: AnyArray) -> Volume:
    return AS_FILED.apply(Volume(array=array, geometry=WORKING))


@pytest.fixture(scope="session")
def ct() -> Multiphase:
    rng = np.random.default_rng(5)
    hu = rng.normal(-100, 8, WORKING.shape)
    hu[ball((30, 22, 20), 30.0)] += 140
    hu[~ball((30, 25, 20), 46.0)] = -1000
    for center, radius in BALLS:
        hu[ball(center, radius)] = 80
    venous = filed(np.round(hu).astype(np.int16))
    return Multiphase(venous=venous, arterial=filed(np.round(hu - 20).astype(np.int16)))


@pytest.fixture(scope="session")
def nodes() -> NodeMap:
    """Node 1 predicted negative, 2 and 3 predicted positive; 3 is more probable."""
    instances = np.zeros(WORKING.shape, dtype=np.int32)
    records = []
    calls = (
        (NodeClass.NEGATIVE, 0.2, "8a"),
        (NodeClass.POSITIVE, 0.71, "13"),
        (NodeClass.POSITIVE, 0.93, ""),
    )
    for label, ((center, radius), (node_class, probability, station)) in enumerate(
        zip(BALLS, calls, strict=True), start=1
    ):
        mask = ball(center, radius)
        instances[mask] = label
        x, y, z = WORKING.world(center).tolist()
        records.append(
            Node(
                label=label,
                volume=float(mask.sum() * WORKING.voxel_volume),
                center=(x, y, z),
                node_class=node_class,
                probability=probability,
                short_axis=2 * radius,
                nearest_structure=Structure.PANCREAS,
                distance=-0.001 if label == 1 else 7.25,
                station=station,
                hu_arterial=60.04,
                hu_venous=80.0,
            )
        )
    return NodeMap(instances=filed(instances), nodes=tuple(records))


@pytest.fixture(scope="session")
def prediction(nodes: NodeMap) -> Prediction:
    structures = np.zeros(WORKING.shape, dtype=np.uint8)
    structures[10:30, 10:25, 8:30] = Structure.PANCREAS
    structures[35:45, 10:20, 5:35] = Structure.AORTA
    structures[45:56, 20:40, 20:38] = Structure.LEFT_KIDNEY
    attention = np.clip(1.2 - np.indices(WORKING.shape)[0] / 50, 0, 1).astype(np.float32)
    return Prediction(
        probability=0.684,
        threshold=0.47,
        nodes=nodes,
        search=SearchState.SEARCHED,
        structures=filed(structures),
        tumor=filed(ball((24, 18, 18), 9.0).astype(np.uint8)),
        attention=filed(attention),
        structures_used=tuple(s for s in GUIDING_STRUCTURES if s is not Structure.LEFT_GASTRIC_ARTERY),
        notices=(
            Notice(code="structures_missing", text="one structure is missing", value=1.0),
            Notice(code="padding_clipped", text="values below −1024 HU were set to −1024", value=-2000.0),
        ),
        seconds={"structures": 4.21, "nodes": 5.0},
    )


@pytest.fixture(scope="session")
def context() -> ReportContext:
    return ReportContext(
        patient_id="case-7",
        bundle={"name": "trained_here", "sha256": "ab" * 32, "is_phantom": False, "notice": ""},
        versions={"lymphct": "0.1.0", "numpy": "2.4"},
        checks=[
            {"name": "hounsfield", "passed": True, "value": -1003.0, "text": "air is near -1000 HU"},
            {
                "name": "phase_order",
                "passed": False,
                "value": 12.5,
                "text": "aorta brighter by 50 HU expected",
            },
            {"name": "registration", "passed": None, "value": None, "text": "not run"},
        ],
    )
