"""A scene of 3D Slicer (`.mrml`): a CT in the window of the abdomen, with segmentations over it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

WINDOW: Final = 350.0
"""HU from black to white; the usual one of the abdomen."""
LEVEL: Final = 40.0
"""HU of medium gray; the same."""

_VIEWS: Final = ("Red", "Yellow", "Green")
_VOLUME: Final = "vtkMRMLScalarVolumeNode1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A segmentation of a scene.

    Attributes:
        file: beside the scene.
        name: in the lists of 3D Slicer.
        fill: opacity of what is filled in the slices, 0 to 1.

    """

    file: str
    name: str
    fill: float


def scene(volume: str, segmentations: Sequence[Shown]) -> bytes:
    """Return the text of a scene; files are named relative to it.

    Elements and attributes are those that 3D Slicer itself writes for such nodes; what is left out has its
    default. Saving the scene saves each segmentation into its file.

    Args:
        volume: file of the CT.
        segmentations: the topmost first.

    """
    nodes = [*_volume(volume)]
    for number, shown in enumerate(segmentations, start=1):
        nodes += _segmentation(number, shown)
    lines = ['<MRML version="Slicer5" userTags="">', *nodes, "</MRML>"]
    return ("\n".join(lines) + "\n").encode("utf-8")


def _volume(file: str) -> Iterable[str]:
    display, storage = "vtkMRMLScalarVolumeDisplayNode1", "vtkMRMLVolumeArchetypeStorageNode1"
    selection = {
        "id": "vtkMRMLSelectionNodeSingleton",
        "name": "Selection",
        "singletonTag": "Singleton",
        "activeVolumeID": _VOLUME,
    }
    yield _node("Selection", selection)
    for view in _VIEWS:
        composite = {
            "id": f"vtkMRMLSliceCompositeNode{view}",
            "name": "SliceComposite",
            "singletonTag": view,
            "layoutName": view,
            "backgroundVolumeID": _VOLUME,
        }
        yield _node("SliceComposite", composite)
    yield _node(
        "VolumeDisplay",
        {
            "id": display,
            "name": "VolumeDisplay",
            "colorNodeID": "vtkMRMLColorTableNodeGrey",
            "window": f"{WINDOW:g}",
            "level": f"{LEVEL:g}",
            "interpolate": "1",
            "autoWindowLevel": "0",
            "applyThreshold": "0",
            "autoThreshold": "0",
        },
    )
    stored = {"id": storage, "name": "VolumeArchetypeStorage", "fileName": file, "useCompression": "1"}
    yield _node("VolumeArchetypeStorage", {**stored, "defaultWriteFileExtension": "nii.gz"})
    yield _node("Volume", {"id": _VOLUME, "name": "venous phase", **_references(display, storage)})


def _segmentation(number: int, shown: Shown) -> Iterable[str]:
    display, storage = (
        f"vtkMRMLSegmentationDisplayNode{number}",
        f"vtkMRMLSegmentationStorageNode{number}",
    )
    yield _node(
        "SegmentationDisplay",
        {
            "id": display,
            "name": "SegmentationDisplay",
            "visibility": "true",
            "PreferredDisplayRepresentationName2D": "Binary labelmap",
            "Visibility2DFill": "true",
            "Visibility2DOutline": "true",
            "Opacity2DFill": f"{shown.fill:g}",
            "Opacity2DOutline": "1",
        },
    )
    stored = {"id": storage, "name": "SegmentationStorage", "fileName": shown.file, "useCompression": "1"}
    yield _node("SegmentationStorage", stored)
    references = _references(display, storage, f"referenceImageGeometryRef:{_VOLUME};")
    yield _node("Segmentation", {"id": f"vtkMRMLSegmentationNode{number}", "name": shown.name, **references})


def _references(display: str, storage: str, more: str = "") -> dict[str, str]:
    return {"references": f"display:{display};{more}storage:{storage};"}


def _node(kind: str, attributes: Mapping[str, str]) -> str:
    told = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return f" <{kind} {told}></{kind}>"
