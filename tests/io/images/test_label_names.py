"""Names of labels: read where the file or its neighbour has them, never trusted further than text."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.io.images.label_names import (
    LabelNames,
    dataset_file,
    names_in_dataset,
    names_in_header,
    same_name,
    structure_named,
)
from lymphct.io.images.labels import read_labels

Maker = Callable[..., Path]

TABLE = (
    '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <VolumeInformation Index="0"> <LabelTable>'
    "{labels}</LabelTable> </VolumeInformation></CaretExtension>\n   "
)


def table(**names: str) -> bytes:
    rows = (f'<Label Key="{key[1:]}" Red="0.1"><![CDATA[{name}]]></Label>' for key, name in names.items())
    return TABLE.format(labels="\n".join(rows)).encode()


def extension(content: bytes, *, kind: int = 0, order: str = "little") -> bytes:
    size = -(-(len(content) + 8) // 16) * 16
    head = size.to_bytes(4, order) + kind.to_bytes(4, order)  # type: ignore[arg-type] # a byte order
    return head + content.ljust(size - 8, b"\0")


@pytest.fixture
def named(tmp_path: Path) -> Callable[..., Path]:
    """Write a label map with a table of names in its header, as TotalSegmentator does."""

    def make(values: list[int], content: bytes, *, name: str = "total.nii.gz") -> Path:
        image = nib.Nifti1Image(np.array([[values]], np.uint8), np.diag([-4.0, -4.0, 5.0, 1.0]))
        image.header.extensions.append(nib.nifti1.Nifti1Extension(0, content))
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return make


def test_every_structure_is_known_by_its_own_name() -> None:
    for name, structure in STRUCTURES_BY_NAME.items():
        assert structure_named(name) is structure
        assert structure_named(structure.title.upper()) is structure


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("kidney_left", Structure.LEFT_KIDNEY),
        ("Left Kidney", Structure.LEFT_KIDNEY),
        ("kidneyL", Structure.LEFT_KIDNEY),
        ("adrenal_gland_right", Structure.RIGHT_ADRENAL),
        ("portal_vein_and_splenic_vein", Structure.PORTAL_AND_SPLENIC_VEIN),
        ("gall_bladder", Structure.GALLBLADDER),
        ("Oesophagus", Structure.ESOPHAGUS),
        ("postcava", Structure.INFERIOR_VENA_CAVA),
        ("pancreas head", None),
        ("pancreas_2", None),
        ("celiac_trunk", None),
        ("kidney", None),
        ("", None),
    ],
)
def test_names_of_other_tools_are_understood_only_when_they_mean_the_same(
    name: str, structure: Structure | None
) -> None:
    assert structure_named(name) is structure


def test_spelling_is_no_difference() -> None:
    assert same_name("Kidney_Left", "left kidney")
    assert not same_name("tumor", "cyst")


def test_a_map_is_read_by_the_names_in_its_header(named: Callable[..., Path]) -> None:
    path = named([0, 5, 7, 90], table(n5="liver", n7="Pancreas", n90="brain"))
    labels = read_labels(path).array.ravel().tolist()
    assert labels == [0, Structure.LIVER, Structure.PANCREAS, 0]


def test_names_agree_with_the_scheme_they_follow(named: Callable[..., Path]) -> None:
    path = named([0, 5, 90], table(n5="liver", n90="brain"))
    assert read_labels(path, scheme="totalsegmentator").array.ravel().tolist() == [0, Structure.LIVER, 0]


def test_a_scheme_that_contradicts_the_names_is_refused(named: Callable[..., Path], tmp_path: Path) -> None:
    path = named([0, 5], table(n5="liver"))
    with pytest.raises(
        InputError, match=r"total\.nii\.gz: by the names in its header number 5 is the liver, "
        r"by --labels lymphct the pancreas \[E_LABELS\] - leave --labels out",
    ):  # fmt: skip
        read_labels(path, scheme="lymphct")
    with pytest.raises(
        InputError, match=r"number 5 is no structure of ours, by --labels totalseg.* the liver"
    ):
        read_labels(named([0, 5], table(n5="Leber"), name="de.nii.gz"), scheme="totalsegmentator")
    own = tmp_path / "own.yaml"
    own.write_text("spleen: 5\n")
    with pytest.raises(InputError, match=r"number 5 is the liver, by --labels own\.yaml the spleen"):
        read_labels(path, scheme=own)


def test_a_list_of_ones_own_may_know_names_that_we_do_not(named: Callable[..., Path], tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("liver: 5\n")
    path = named([0, 5, 6], table(n5="Leber", n6="spleen"))
    assert read_labels(path, scheme=own).array.ravel().tolist() == [0, Structure.LIVER, 0]


def test_numbers_that_do_not_occur_contradict_nothing(named: Callable[..., Path]) -> None:
    path = named([0, 4], table(n4="aorta", n5="liver"))
    assert read_labels(path, scheme="lymphct").array.ravel().tolist() == [0, Structure.AORTA]


def test_names_that_say_nothing_are_no_names(named: Callable[..., Path]) -> None:
    path = named([0, 4], table(n4="Segment_4", n5="label 5"))
    assert read_labels(path).array.ravel().tolist() == [0, Structure.AORTA]


@pytest.mark.parametrize(
    ("values", "names", "word"),
    [
        ([0, 5, 6], {"n5": "liver"}, "label number 6 has no name in its header"),
        ([0, 5, 6], {"n5": "liver", "n6": "Liver"}, "two of its labels are named as the liver"),
        (
            [0, 26, 27],
            {"n26": "vertebrae_S1", "n27": "vertebrae_L5"},
            "none of the names in its header is one",
        ),
    ],
)
def test_names_that_leave_a_doubt_are_refused(
    named: Callable[..., Path], values: list[int], names: dict[str, str], word: str
) -> None:
    with pytest.raises(InputError, match=f"total.nii.gz: {word}.*--labels FILE.yaml"):
        read_labels(named(values, table(**names)))


def test_an_empty_map_with_names_is_empty(named: Callable[..., Path]) -> None:
    assert not read_labels(named([0, 0], table(n5="liver"))).array.any()


@pytest.mark.parametrize("order", ["little", "big"])
def test_extensions_are_read_in_either_byte_order_and_beside_others(order: str) -> None:
    content = extension(b"a comment", kind=6, order=order) + extension(table(n3="stomach"), order=order)
    assert names_in_header(content) == {3: "stomach"}


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 64, (8).to_bytes(4, "little") * 10])
def test_what_is_no_extension_holds_no_names(content: bytes) -> None:
    assert names_in_header(content) == {}


def test_xml_of_another_kind_is_not_ours_to_judge() -> None:
    assert names_in_header(extension(b'<?xml version="1.0"?><AFNI_attributes broken')) == {}


BOMB = b"".join(
    [
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">',
        *(f'<!ENTITY a{n} "{f"&a{n - 1 or str()};" * 10}">'.encode() for n in range(1, 9)),
        b']><LabelTable><Label Key="1">&a8;</Label></LabelTable>',
    ]
)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (BOMB, "declares a document type or entities"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/hostname"><LabelTable/>', "declares a document type or entities"),
        (b'<LabelTable><Label Key="1">liver</LabelTable>', "is no valid XML"),
        (b'<?xml version="1.0" encoding="latin-77"?><LabelTable/>', "is no valid XML"),
        (b"<a>" * 40 + b"<LabelTable>", "nested too deep"),
        (table(n1="liver") + b" " * 4_000_001, "bytes \\(limit 4000000\\)"),
        (
            b'<LabelTable><Label Key="1">liver</Label><Label Key="1">spleen</Label></LabelTable>',
            "number 1 two names",
        ),
    ],
)
def test_a_hostile_or_damaged_table_is_refused(content: bytes, word: str) -> None:
    with pytest.raises(InputError, match=f"the table of names in its header .*{word}"):
        names_in_header(extension(content))


def test_a_damaged_table_names_its_file(named: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"total\.nii\.gz: the table of names in its header is no valid XML"):
        read_labels(named([0, 1], b"<LabelTable><Label>"))


def test_the_header_of_a_ct_is_not_searched_for_names(named: Callable[..., Path]) -> None:
    from lymphct.io.images.reading import read_volume  # noqa: PLC0415 - the door, beside the label maps

    assert read_volume(named([0, 1], b"<LabelTable><Label>")).array.shape == (1, 1, 2)


def dataset(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dataset.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "labels", [{"background": 0, "liver": 1, "spleen": [2]}, {"0": "background", "1": "liver", "2": "spleen"}]
)
def test_nnunets_file_beside_a_map_names_its_numbers(
    make_nifti: Maker, tmp_path: Path, labels: dict[str, object]
) -> None:
    dataset(tmp_path, {"labels": labels})
    labels_read = read_labels(make_nifti(np.array([[[0, 1, 2]]], np.uint8))).array.ravel().tolist()
    assert labels_read == [0, Structure.LIVER, Structure.SPLEEN]


def test_nnunets_file_lies_above_a_folder_of_drawn_labels(make_nifti: Maker, tmp_path: Path) -> None:
    beside = dataset(tmp_path, {"labels": {"liver": 5}})
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "other").mkdir()
    drawn = make_nifti(np.array([[[0, 5]]], np.uint8), name="labelsTr/case.nii.gz")
    elsewhere = make_nifti(np.array([[[0, 5]]], np.uint8), name="other/case.nii.gz")
    assert dataset_file(drawn) == beside
    assert dataset_file(elsewhere) is None
    assert read_labels(drawn).array.ravel().tolist() == [0, Structure.LIVER]
    with pytest.raises(InputError, match=r"by the names in its dataset\.json number 5 is the liver"):
        read_labels(drawn, scheme="lymphct")


def test_regions_and_foreign_files_name_nothing(tmp_path: Path) -> None:
    regions = {"labels": {"pancreas": [1, 2], "tumor": 2, "flag": True, "x": "y", "9999999999": "far"}}
    assert names_in_dataset(dataset(tmp_path, regions)) == {2: "tumor"}
    assert names_in_dataset(dataset(tmp_path, {"labels": [1]})) == {}
    assert names_in_dataset(dataset(tmp_path, [])) == {}


def test_a_number_with_two_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json: it gives number 1 two names"):
        names_in_dataset(dataset(tmp_path, {"labels": {"liver": 1, "spleen": 1}}))


def test_a_broken_dataset_file_is_refused_by_its_own_name(make_nifti: Maker, tmp_path: Path) -> None:
    dataset(tmp_path, '{"labels": ')
    with pytest.raises(InputError, match=r"^dataset\.json: .*\[E_JSON\]"):
        read_labels(make_nifti(np.array([[[0, 5]]], np.uint8)))


def test_no_names_are_false() -> None:
    assert not LabelNames()
    assert LabelNames(names={1: "liver"})
