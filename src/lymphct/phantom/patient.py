"""One synthetic patient with everything that is known of it."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lymphct.core.arrays import FloatArray, Index3
from lymphct.core.geometry import Geometry
from lymphct.core.patient import Node, NodeMap
from lymphct.core.volume import Volume
from lymphct.phantom.acquisition import add_noise, blur, displaced
from lymphct.phantom.bowel import paint_bowel, paint_unlabelled_vessels
from lymphct.phantom.canvas import Box, Canvas, Tissue
from lymphct.phantom.deformation import draw_build, draw_phase_shift, positions
from lymphct.phantom.hidden import patient_streams, tumor_of
from lymphct.phantom.lookalikes import place_lookalikes
from lymphct.phantom.nodes import LOOKS, plan_nodes
from lymphct.phantom.organs import paint_gut_and_pancreas, paint_solid_organs
from lymphct.phantom.placement import Placed, Placer
from lymphct.phantom.record import Record, draw_record
from lymphct.phantom.settings import PhantomSettings
from lymphct.phantom.surroundings import find_surroundings
from lymphct.phantom.tissues import draw_tissues
from lymphct.phantom.torso import paint_torso
from lymphct.phantom.tumor import Tumor, TumorSite, paint_duct, paint_tumor
from lymphct.phantom.vessels import place_stubs

HIDDEN_SLICES_MM: Final = 16.0
"""Anatomy painted above and below the field of view: breathing moves it in."""


@dataclass(frozen=True, kw_only=True)
class PhantomPatient:
    """A synthetic patient; all images lie on one grid (working axes, world = mm from the celiac trunk).

    Attributes:
        patient_id: pseudonymous.
        venous: HU, int16.
        arterial: HU, int16, as acquired: moved by breathing when the settings say so.
        structures: numbers of `Structure`, uint8; the tumor within the pancreas counts as pancreas.
        tumor: 0/1, uint8.
        nodes: instances (int32) with class, station, volume and center.
        field: pull-back displacement u, mm, LPS+, float32 (…, 3): aligned(x) = arterial(x + u(x)).
        record: what the chart says.
        drawn_tumor: site, diameter and texture as drawn.

    """

    patient_id: str
    venous: Volume
    arterial: Volume
    structures: Volume
    tumor: Volume
    nodes: NodeMap
    field: Volume
    record: Record
    drawn_tumor: Tumor

    @property
    def n_status(self) -> int:
        """Return 1 for N+, 0 for N-."""
        return self.record.n_status

    @property
    def tumor_location(self) -> str:
        """Return `head/uncinate` or `body/tail`."""
        return self.drawn_tumor.site

    @property
    def tumor_diameter_mm(self) -> float:
        """Return the mean diameter as drawn, mm."""
        return self.drawn_tumor.diameter

    @property
    def ct_reported_n(self) -> int:
        """Return the N status a radiologist read from the CT."""
        return self.record.ct_reported_n

    @property
    def age(self) -> int:
        """Return the age in years."""
        return self.record.age

    @property
    def sex(self) -> str:
        """Return F or M."""
        return self.record.sex

    @property
    def pT(self) -> str:  # noqa: N802 - the name everyone knows
        """Return the T stage."""
        return self.record.pT

    @property
    def pN(self) -> str:  # noqa: N802 - the name everyone knows
        """Return the N stage."""
        return self.record.pN


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is settled before nodes are placed; `view` is the field of view within the painted canvas."""

    view: Box
    structures: Volume
    tumor: Volume
    site: TumorSite
    is_positive: bool


def generate_patient(settings: PhantomSettings, *, seed: int, index: int) -> PhantomPatient:
    """Make patient `index` of the cohort `seed`; the same three always give the same patient."""
    rng = patient_streams(seed, index)
    is_positive = bool(rng["record"].random() < settings.positive_share)
    tissues = draw_tissues(rng["tissues"])
    canvas = _paint_anatomy(settings, tissues, rng)
    tumor = tumor_of(settings, rng, is_positive=is_positive)
    paint_duct(canvas, tumor, tissues["fluid"])
    grid = settings.grid
    view = _view(canvas.grid, grid)
    tumor_mask = paint_tumor(canvas, tumor, tissues["tumor"])[view].astype(np.uint8)
    scene = Scene(
        view=view,
        structures=Volume(array=canvas.labels[view].copy(), geometry=grid),
        tumor=Volume(array=tumor_mask, geometry=grid),
        site=tumor.site,
        is_positive=is_positive,
    )
    nodes = _place_small_things(settings, canvas, scene, rng)
    field, venous, arterial = _acquire(settings, canvas, view, rng)
    return PhantomPatient(
        patient_id=f"{settings.center}-{index:04d}",
        venous=Volume(array=venous, geometry=grid),
        arterial=Volume(array=arterial, geometry=grid),
        structures=scene.structures,
        tumor=scene.tumor,
        nodes=_node_map(nodes, grid),
        field=Volume(array=field, geometry=grid),
        record=draw_record(rng["record"], n_status=int(is_positive), diameter=tumor.diameter),
        drawn_tumor=tumor,
    )


def patient_truth(patient: PhantomPatient) -> dict[str, Any]:
    """Return the patient's entry of truth.json."""
    tumor = patient.drawn_tumor
    return {
        "n_status": patient.n_status,
        "nodes": [
            {
                "label": node.label,
                "class": node.node_class.label if node.node_class is not None else None,
                "station": node.station,
                "volume_mm3": round(node.volume, 3),
                "center_mm": [round(c, 3) for c in node.center],
            }
            for node in patient.nodes.nodes
        ],
        "tumor": {
            "location": tumor.site,
            "diameter_mm": round(tumor.diameter, 3),
            "volume_mm3": round(float(patient.tumor.array.sum()) * patient.tumor.geometry.voxel_volume, 3),
            "texture": round(tumor.texture, 6),
        },
    }


def _paint_anatomy(
    settings: PhantomSettings, tissues: dict[str, Tissue], rng: dict[str, np.random.Generator]
) -> Canvas:
    hidden = int(np.ceil(HIDDEN_SLICES_MM / settings.grid.spacing[2]))
    n_i, n_j, n_k = settings.grid.shape
    grid = settings.grid.cropped((0, 0, -hidden), (n_i, n_j, n_k + 2 * hidden))
    world = positions(grid)
    canvas = Canvas(grid, world, draw_build(rng["build"]).to_atlas(world))
    cavity = paint_torso(canvas, tissues, rng["anatomy"])
    paint_solid_organs(canvas, tissues, cavity, rng["anatomy"])
    paint_bowel(canvas, tissues, rng["anatomy"])
    paint_unlabelled_vessels(canvas, tissues)
    paint_gut_and_pancreas(canvas, tissues, rng["anatomy"])
    return canvas


def _view(painted: Geometry, grid: Geometry) -> Box:
    hidden = (painted.shape[2] - grid.shape[2]) // 2
    return (slice(None), slice(None), slice(hidden, hidden + grid.shape[2]))


def _place_small_things(
    settings: PhantomSettings, canvas: Canvas, scene: Scene, rng: dict[str, np.random.Generator]
) -> list[Placed]:
    """Place and paint nodes, look-alikes and vessel stubs; return the nodes."""
    surroundings = find_surroundings(canvas, scene.view, scene.structures, scene.tumor)
    looks = LOOKS[settings.nodes_look]
    plans = plan_nodes(rng["nodes"], settings, is_positive=scene.is_positive)
    placer = Placer(rng["nodes"], surroundings, looks, touching=settings.difficulty.touching)
    nodes = placer.nodes(plans, scene.site)
    other = rng["distractors"]
    blobs = Placer(other, surroundings, looks).distractors(int(other.poisson(settings.distractors)))
    stubs = place_stubs(other, int(other.poisson(settings.vessel_stubs)), surroundings)
    alike = place_lookalikes(rng["lookalikes"], settings, looks, surroundings)
    for body in (*nodes, *blobs, *stubs, *alike):
        _paint_body(canvas, scene.view, body)
    return nodes


def _paint_body(canvas: Canvas, view: Box, body: Placed) -> None:
    box = _box(body.start, body.sculpture.share.shape)
    share = body.sculpture.share
    for image, look in (
        (canvas.arterial, body.sculpture.arterial),
        (canvas.venous, body.sculpture.venous),
    ):
        part = image[view][box]
        inside = _overlap(body.start, share.shape, image[view].shape)
        part += share[inside] * (look[inside] - part)


def _box(start: Index3, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(s, 0), s + n) for s, n in zip(start, shape, strict=True))


def _overlap(start: Index3, shape: tuple[int, ...], whole: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(-s, 0), min(n, size - s)) for s, n, size in zip(start, shape, whole, strict=True))


def _node_map(nodes: list[Placed], grid: Geometry) -> NodeMap:
    """Number the nodes; volume and center are measured on their voxels."""
    instances = np.zeros(grid.shape, dtype=np.int32)
    records = []
    for label, body in enumerate(nodes, start=1):
        voxels = np.argwhere(body.sculpture.mask) + np.asarray(body.start)
        instances[tuple(voxels.T)] = label
        x, y, z = grid.world(voxels).mean(axis=0).tolist()
        records.append(
            Node(
                label=label,
                volume=len(voxels) * grid.voxel_volume,
                center=(x, y, z),
                node_class=body.node_class,
                station=body.station,
            )
        )
    return NodeMap(instances=Volume(array=instances, geometry=grid), nodes=tuple(records))


def _acquire(
    settings: PhantomSettings,
    canvas: Canvas,
    view: Box,
    rng: dict[str, np.random.Generator],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the true field and both phases as the scanner delivers them."""
    spacing = canvas.grid.spacing
    venous = blur(canvas.venous[view], spacing, settings.point_spread)
    arterial = blur(canvas.arterial, spacing, settings.point_spread)
    field = np.zeros((*settings.grid.shape, 3), dtype=np.float32)
    shift = draw_phase_shift(rng["shift"], settings.shift_sd, settings.local_shift_sd)
    if settings.phase_shift:
        arterial = displaced(arterial, canvas.grid, shift.push(canvas.world))
        field = shift.pull_back(canvas.world[view])
    arterial = add_noise(rng["noise"], arterial[view], spacing, settings.noise_arterial)
    venous = add_noise(rng["noise"], venous, spacing, settings.noise_venous)
    return field, venous, arterial
