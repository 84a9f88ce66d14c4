"""A scene is XML whose nodes refer to one another as those of 3D Slicer do."""

from xml.etree import ElementTree as ET

from lymphct.io.segmentations.scene import LEVEL, WINDOW, Shown, scene


def test_every_reference_of_a_scene_leads_to_a_node_and_every_file_is_named() -> None:
    text = scene("a & b.nii.gz", [Shown(file="x.seg.nrrd", name="nodes", fill=0.4)])
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == "MRML"
    nodes = {node.attrib["id"]: node for node in root}
    assert len(nodes) == len(root)
    for node in root:
        for part in filter(None, node.attrib.get("references", "").split(";")):
            assert part.partition(":")[2] in nodes
        for role in ("activeVolumeID", "backgroundVolumeID"):
            assert node.attrib.get(role, "vtkMRMLScalarVolumeNode1") in nodes
    files = {node.tag: node.attrib["fileName"] for node in root if "fileName" in node.attrib}
    assert files == {"VolumeArchetypeStorage": "a & b.nii.gz", "SegmentationStorage": "x.seg.nrrd"}
    (display,) = root.iter("VolumeDisplay")
    assert (float(display.attrib["window"]), float(display.attrib["level"])) == (WINDOW, LEVEL)
    assert display.attrib["autoWindowLevel"] == "0"
    assert [node.attrib["layoutName"] for node in root.iter("SliceComposite")] == ["Red", "Yellow", "Green"]


def test_equal_scenes_have_equal_bytes() -> None:
    shown = [Shown(file="x.seg.nrrd", name="nodes", fill=0.4)]
    assert scene("a.nii.gz", shown) == scene("a.nii.gz", shown)
