"""What a label map says of its own numbers: a table in its header, or nnU-Net's `dataset.json` beside it."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NoReturn
from xml.parsers import expat

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.io.images.acquired import ReadImage, Source
from lymphct.io.results.jsonfile import JSON, read_json

DATASET_FILE: Final = "dataset.json"
"""Where nnU-Net keeps the names of labels: beside predicted label maps, above the folder of drawn ones."""

_LARGEST_TABLE: Final = 4_000_000
_MOST_NAMES: Final = 65_536
_LONGEST_NAME: Final = 1000
_DEEPEST: Final = 32
_FRAME: Final = 8
"""Bytes of size and kind before the content of a NIfTI header extension."""

_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NAMELESS: Final = re.compile(r"(segment|label|class|region|roi|mask|structure|object|value)?[\s_\-.]*\d*")
_FILLING: Final = {"and", "gland", "of", "the"}
_SPELLINGS: Final = {"l": "left", "r": "right", "oesophagus": "esophagus", "coeliac": "celiac"}
_IGNORE: Final = "ignore"
_OTHER_NAMES: Final = {
    "portal vein and splenic vein": Structure.PORTAL_AND_SPLENIC_VEIN,
    "gall bladder": Structure.GALLBLADDER,
    "postcava": Structure.INFERIOR_VENA_CAVA,
    "ivc": Structure.INFERIOR_VENA_CAVA,
    "sma": Structure.SUPERIOR_MESENTERIC_ARTERY,
    "smv": Structure.SUPERIOR_MESENTERIC_VEIN,
    "lga": Structure.LEFT_GASTRIC_ARTERY,
}
"""Names that mean exactly one of our structures and do not read like ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelNames:
    """Names of the numbers in a label map, as their author wrote them.

    Attributes:
        names: by number, from 1; names that say nothing ("Segment_1") are left out.
        source: where they were read, for messages.

    """

    names: Mapping[int, str] = field(default_factory=dict)
    source: str = ""

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def ignored(self) -> int | None:
        """Number of the voxels that nobody looked at, which nnU-Net names `ignore`; None without one."""
        return next((n for n, name in self.names.items() if name.strip().casefold() == _IGNORE), None)

    def structure(self, number: int) -> Structure | None:
        """Return the structure that the name of a number means; None for anything else."""
        return structure_named(self.names.get(number, ""))

    def structures(self, present: Collection[int]) -> dict[int, Structure]:
        """Return what the numbers that occur in a map mean by their names; other things are left out.

        Raises:
            InputError: a number has no name, two have the name of one structure, or none is one of ours.

        """
        found: dict[int, Structure] = {}
        for number in sorted(set(present) - {0}):
            if number not in self.names:
                _refuse(f"label number {number} has no name in its {self.source}")
            structure = self.structure(number)
            if structure is None:
                continue
            if structure in found.values():
                _refuse(f"two of its labels are named as the {structure.title}")
            found[number] = structure
        if set(present) - {0} and not found:
            _refuse(f"none of the names in its {self.source} is one of the structures")
        return found


def structure_named(name: str) -> Structure | None:
    """Return the structure a name means, whatever its spelling; None when it means none of ours.

    >>> [structure_named(name) for name in ("kidney_right", "Right kidney", "KidneyR", "kidney", "liver_1")]
    [<Structure.RIGHT_KIDNEY: 12>, <Structure.RIGHT_KIDNEY: 12>, <Structure.RIGHT_KIDNEY: 12>, None, None]
    """
    return _STRUCTURES.get(_words(name))


def _words(name: str) -> frozenset[str]:
    words = _WORD.findall(_CAMEL.sub(" ", name[:_LONGEST_NAME]).casefold())
    return frozenset(_SPELLINGS.get(word, word) for word in words if word not in _FILLING)


_STRUCTURES: Final = {_words(name): structure for name, structure in STRUCTURES_BY_NAME.items()} | {
    _words(name): structure for name, structure in _OTHER_NAMES.items()
}


def same_name(one: str, other: str) -> bool:
    """Tell whether two names mean the same thing, whatever their spelling."""
    return _words(one) == _words(other)


def label_names(image: ReadImage, path: Source) -> LabelNames:
    """Return what is known of the numbers of a label map: by its header, else by the file beside it.

    Raises:
        InputError: a table of names that is damaged, hostile or beyond the limits.

    """
    if image.segments:
        return LabelNames(names=_telling(image.segments), source="header")
    in_header = _telling(names_in_header(image.extension))
    if in_header:
        return LabelNames(names=in_header, source="header")
    beside = dataset_file(path) if isinstance(path, Path) else None
    if beside is None:
        return LabelNames()
    return LabelNames(names=_telling(names_in_dataset(beside)), source=DATASET_FILE)


def _telling(names: Mapping[int, str]) -> dict[int, str]:
    return {
        number: name
        for number, name in names.items()
        if number > 0 and not _NAMELESS.fullmatch(name.strip().casefold())
    }


def dataset_file(path: Path) -> Path | None:
    """Return nnU-Net's `dataset.json` that belongs to a label map; None when there is none.

    It lies in the folder of the map, or above one whose name begins with "labels" (`labelsTr`).
    """
    beside = path.parent / DATASET_FILE
    if beside.is_file():
        return beside
    above = path.absolute().parent.parent / DATASET_FILE
    is_drawn = path.absolute().parent.name.casefold().startswith("labels")
    return above if is_drawn and above.is_file() else None


def names_in_dataset(path: Path) -> dict[int, str]:
    """Return the labels of a `dataset.json` by number: `{"liver": 1}`, in nnU-Net 1 `{"1": "liver"}`.

    Labels of several numbers (regions) name none of them. A file without labels is of another kind.

    Raises:
        InputError: no JSON, or one number with two names.

    """
    content = read_json(path, max_bytes=_LARGEST_TABLE)
    labels = content.get("labels") if isinstance(content, dict) else None
    names: dict[int, str] = {}
    for key, value in labels.items() if isinstance(labels, dict) else ():
        for number, name in _pairs(key, value):
            if names.setdefault(number, name) != name:
                msg = f"it gives number {number} two names"
                raise InputError(msg, code="E_LABELS", cure="correct it").at(file=path.name)
    return names


def _pairs(key: str, value: JSON) -> Iterator[tuple[int, str]]:
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, int) and not isinstance(value, bool):
        yield value, key
    elif isinstance(value, str) and key.isascii() and key.isdigit() and len(key) < 10:
        yield int(key), value


def names_in_header(extension: bytes) -> dict[int, str]:
    """Return the label table of a NIfTI header's extensions (XML of Connectome Workbench), by number.

    Args:
        extension: the bytes between header and voxels, each extension with its size and kind before it.

    Raises:
        InputError: a table that is no XML, declares entities, or is beyond the limits.

    """
    names: dict[int, str] = {}
    for content in _contents(extension):
        # Other tools keep other things there, also as XML: not ours to judge.
        if b"<LabelTable" not in content:
            continue
        if len(content) > _LARGEST_TABLE:
            _refuse(f"the table of names in its header has {len(content)} bytes (limit {_LARGEST_TABLE})")
        names |= _labels(content)
    return names


def _contents(extension: bytes) -> Iterator[bytes]:
    """Yield the content of each extension; sizes are written in the byte order of the file."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        place, contents = 0, []
        while place + _FRAME <= len(extension):
            size = int.from_bytes(extension[place : place + 4], order)
            if not _FRAME < size <= len(extension) - place:
                break
            contents.append(extension[place + _FRAME : place + size])
            place += size
        if contents:
            yield from contents
            return


def _labels(content: bytes) -> dict[int, str]:
    names: dict[int, str] = {}
    stack: list[str] = []
    key, text = -1, ""

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal key, text
        stack.append(name)
        if len(stack) > _DEEPEST or len(names) > _MOST_NAMES:
            _refuse("the table of names in its header is nested too deep or too long")
        number = attributes.get("Key", "")
        key = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1
        text = ""

    def characters(more: str) -> None:
        nonlocal text
        if stack and stack[-1] == "Label" and len(text) < _LONGEST_NAME:
            text += more

    def end(name: str) -> None:
        stack.pop()
        if name == "Label" and key >= 0 and names.setdefault(key, text.strip()) != text.strip():
            _refuse(f"the table of names in its header gives number {key} two names")

    parser = _parser()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = characters
    try:
        parser.Parse(content.strip(b"\0 \t\r\n"), True)  # noqa: FBT003 - expat's way to say that this is all
    except (expat.ExpatError, LookupError, ValueError):
        _refuse("the table of names in its header is no valid XML")
    return names


def _parser() -> expat.XMLParserType:
    """Return a parser that refuses what XML can be made to do: entities, and whatever declares them."""

    def refuse(*_: object) -> NoReturn:
        _refuse("the table of names in its header declares a document type or entities")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    return parser


def _refuse(cause: str) -> NoReturn:
    raise InputError(cause, code="E_LABELS", cure="say how it is numbered: --labels FILE.yaml")
