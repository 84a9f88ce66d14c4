"""Masks that say where nobody looked: 255, a named number, or a number of the JSON file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lymphct.core.errors import InputError
from lymphct.core.geometry import Geometry
from lymphct.core.terms import TOTALSEGMENTATOR_LABELS, NodeClass, Structure
from lymphct.io.images.labels import read_labels, read_partial_labels
from lymphct.io.images.masks import read_mask, read_partial_mask
from lymphct.io.images.node_masks import read_nodes, read_partial_nodes, sidecar

Maker = Callable[..., Path]
GRID = Geometry(shape=(4, 5, 6), spacing=(4.0, 4.5, 5.0))


def line(*values: int) -> Any:
    return np.array(values, np.uint16).reshape(-1, 1, 1)


def test_255_in_a_mask_is_neither_inside_nor_outside(make_nifti: Maker) -> None:
    mask, unjudged = read_partial_mask(make_nifti(line(0, 1, 255)))
    assert mask.array.ravel().tolist() == [0, 1, 0]
    assert unjudged is not None
    assert unjudged.ravel().tolist() == [False, False, True]
    assert read_partial_mask(make_nifti(line(0, 1, 1)))[1] is None


def test_a_mask_of_0_and_255_may_mean_the_thing_itself_and_is_refused(make_nifti: Maker) -> None:
    with pytest.raises(InputError, match=r"values from 0 to 255, only 0 and 1.*beside those of 1"):
        read_partial_mask(make_nifti(line(0, 255)))


@pytest.mark.parametrize("values", [(0, 1, 2, 255), (0, 1, 254), (0, 1, 256)])
def test_other_values_beside_it_are_refused(make_nifti: Maker, values: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="only 0 and 1"):
        read_partial_mask(make_nifti(line(*values)))


def test_where_a_whole_mask_is_needed_a_partial_one_is_refused(make_nifti: Maker) -> None:
    path = make_nifti(line(0, 1, 2, 255))
    with pytest.raises(InputError, match=r"nobody looked at.*in a manifest"):
        read_labels(path)
    with pytest.raises(InputError, match="nobody looked at: it is not a whole one"):
        read_nodes(path)
    with pytest.raises(InputError, match="only 0 and 1"):
        read_mask(make_nifti(line(0, 1, 255)))


def test_255_in_a_label_map_is_where_nobody_looked(make_nifti: Maker) -> None:
    for scheme in ("auto", "lymphct"):
        labels = read_partial_labels(make_nifti(line(0, 1, 19, 255)), scheme=scheme)
        assert labels.volume.array.ravel().tolist() == [0, 1, 19, 0]
        assert labels.unjudged is not None
        assert labels.unjudged.ravel().tolist() == [False, False, False, True]
        assert labels.labelled is None
    assert read_partial_labels(make_nifti(line(0, 1))).unjudged is None


def test_a_label_map_in_which_nobody_looked_anywhere_is_refused(make_nifti: Maker) -> None:
    with pytest.raises(InputError, match=r"holds no number but 255.*leave it out"):
        read_partial_labels(make_nifti(line(0, 255)))


def test_totalsegmentator_tells_14_structures_apart(make_nifti: Maker) -> None:
    labels = read_partial_labels(make_nifti(line(0, 1, 117, 255)), scheme="totalsegmentator")
    assert labels.labelled == tuple(sorted(TOTALSEGMENTATOR_LABELS.values()))
    assert Structure.SUPERIOR_MESENTERIC_ARTERY not in labels.labelled
    assert labels.unjudged is not None
    assert labels.unjudged.sum() == 1


def test_a_list_of_the_users_own_says_what_is_drawn_and_may_give_255_a_meaning(
    make_nifti: Maker, tmp_path: Path
) -> None:
    names = tmp_path / "labels.yaml"
    names.write_text("aorta: 255\nspleen: 3\n")
    labels = read_partial_labels(make_nifti(line(0, 3, 255)), scheme=names)
    assert labels.volume.array.ravel().tolist() == [0, Structure.SPLEEN, Structure.AORTA]
    assert labels.labelled == (Structure.SPLEEN, Structure.AORTA)
    assert labels.unjudged is None
    names.write_text("spleen: 3\n")
    assert read_partial_labels(make_nifti(line(0, 3, 255)), scheme=names).unjudged is not None


def test_the_names_of_a_map_say_what_is_drawn(make_nifti: Maker, tmp_path: Path) -> None:
    names: dict[str, int] = {"background": 0, "liver": 1, "spleen": 2, "thyroid": 3}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}))
    labels = read_partial_labels(make_nifti(line(0, 1, 3, 255)))
    assert labels.volume.array.ravel().tolist() == [0, Structure.LIVER, 0, 0]
    assert labels.labelled == (Structure.SPLEEN, Structure.LIVER)  # also where no voxel of it is there
    assert labels.unjudged is not None
    assert labels.unjudged.ravel().tolist() == [False, False, False, True]


def test_the_number_that_nnunet_names_ignore_was_looked_at_by_nobody(
    make_nifti: Maker, tmp_path: Path
) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1, "ignore": 2}}))
    labels = read_partial_labels(make_nifti(line(0, 1, 2)))
    assert labels.unjudged is not None
    assert labels.unjudged.ravel().tolist() == [False, False, True]
    assert labels.labelled == (Structure.LIVER,)


def test_a_folder_shows_the_structures_it_has_files_of(make_nifti: Maker, tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for name, values in (("liver", (0, 1, 255, 255)), ("aorta", (0, 0, 1, 0)), ("spleen", (0, 0, 0, 0))):
        make_nifti(line(*values)).rename(folder / f"{name}.nii.gz")
    labels = read_partial_labels(folder)
    assert labels.volume.array.ravel().tolist() == [0, Structure.LIVER, Structure.AORTA, 0]
    assert labels.labelled == (Structure.SPLEEN, Structure.AORTA, Structure.LIVER)
    assert labels.unjudged is not None
    # What is the aorta is known, although nobody looked for the liver there.
    assert labels.unjudged.ravel().tolist() == [False, False, False, True]


def test_255_beside_nodes_of_a_class_map_is_where_nobody_looked(make_nifti: Maker) -> None:
    nodes, unjudged = read_partial_nodes(make_nifti(line(0, 2, 0, 255)))
    assert [(node.label, node.node_class) for node in nodes.nodes] == [(1, NodeClass.NEGATIVE)]
    assert nodes.instances.array.ravel().tolist() == [0, 1, 0, 0]
    assert unjudged is not None
    assert unjudged.ravel().tolist() == [False, False, False, True]
    with pytest.raises(InputError, match=r"values up to 255, a class map only 1 and 2.*beside nodes"):
        read_partial_nodes(make_nifti(line(0, 255)))


def instance_map(make_nifti: Maker, content: object) -> Path:
    path = make_nifti(line(0, 7, 255, 255), name="nodes.nii.gz")
    sidecar(path).write_text(json.dumps(content))
    return path


def test_instance_255_is_an_instance(make_nifti: Maker) -> None:
    nodes, unjudged = read_partial_nodes(instance_map(make_nifti, {"instances": {"255": {}}}))
    assert [node.label for node in nodes.nodes] == [7, 255]
    assert unjudged is None


def test_the_json_beside_an_instance_map_names_the_number_of_where_nobody_looked(make_nifti: Maker) -> None:
    path = instance_map(make_nifti, {"instances": {"7": {"class": "positive"}}, "unjudged": 255})
    nodes, unjudged = read_partial_nodes(path)
    assert [node.label for node in nodes.nodes] == [7]
    assert_array_equal(nodes.instances.array.ravel(), [0, 7, 0, 0])
    assert unjudged is not None
    assert unjudged.ravel().tolist() == [False, False, True, True]
    with pytest.raises(InputError, match="not a whole one"):
        read_nodes(path)


@pytest.mark.parametrize("number", [7, 0, -3, "255", True, 2.0])
def test_a_number_that_is_taken_or_none_is_refused(make_nifti: Maker, number: object) -> None:
    path = instance_map(make_nifti, {"instances": {"7": {}}, "unjudged": number})
    with pytest.raises(InputError, match=r'nodes\.json: "unjudged" is .*no number that is free') as caught:
        read_partial_nodes(path)
    assert caught.value.code == "E_NODES"
