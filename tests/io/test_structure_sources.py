"""What stands beside merged masks: who gave each structure, and whose licence goes with it."""

import json
from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.io.images.known_sources import known_sources
from lymphct.io.structure_sources import mask_origins, record_beside, structure_sources


def laid(folder: Path, content: object) -> Path:
    """Return where `predict` puts the label map of a patient, with a result that says this."""
    seg = folder / "seg"
    seg.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(content))
    return seg / "structures.nii.gz"


def test_a_result_says_who_gave_each_structure(tmp_path: Path) -> None:
    labels = laid(tmp_path, {"structure_sources": {"aorta": "pants", "spleen": "pants+trace"}})
    assert record_beside(labels) == tmp_path / "result.json"
    assert structure_sources(labels) == {Structure.AORTA: "pants", Structure.SPLEEN: "pants+trace"}
    ((origin),) = mask_origins([labels, None])
    assert (origin.name, origin.non_commercial) == ("pants", True)


def test_a_record_of_traced_arteries_says_it_too(tmp_path: Path) -> None:
    sources = {"aorta": "given", "superior_mesenteric_artery": "trace", "left_gastric_artery": "none"}
    (tmp_path / "trace.json").write_text(json.dumps({"sources": sources}))
    labels = tmp_path / "structures.nii.gz"
    assert structure_sources(labels) == {
        Structure.AORTA: "given",
        Structure.SUPERIOR_MESENTERIC_ARTERY: "trace",
    }
    assert mask_origins([labels]) == ()


def test_masks_of_others_have_no_sources(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}")
    labels = tmp_path / "masks" / "p1.nii.gz"  # a result above any folder is not the result of this map
    labels.parent.mkdir()
    assert record_beside(labels) is None
    assert structure_sources(labels) == {}


@pytest.mark.parametrize("told", [[], "aorta", {"aorta": 4}, {"heart": "pants"}, {"aorta": "x" * 1000}])
def test_a_record_that_is_none_of_ours_is_refused(told: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"result\.json.*does not say a source of each structure"):
        structure_sources(laid(tmp_path, {"structure_sources": told}))


def test_every_tool_has_a_licence_and_what_is_no_tool_has_none() -> None:
    with_origin = {name for name, source in known_sources().items() if source.origin is not None}
    assert with_origin == {"totalsegmentator", "pants", "cads", "vista3d", "panorama"}
