"""The column `structures_labelled` of a manifest: which structures were drawn in a patient's label map."""

import difflib
import re
from typing import Final

from lymphct.core.errors import InputError
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure
from lymphct.io.images.label_names import structure_named

LABELLED_COLUMN: Final = "structures_labelled"
EVERYTHING: Final = "all"
"""What the column says where each of the nineteen was drawn, whatever the map itself names."""


def labelled_structures(text: str) -> tuple[Structure, ...] | None:
    """Return the structures that a cell of the column lists, in the order of their numbers; None when blank.

    Names are separated by commas or semicolons, without those by spaces.

    Raises:
        InputError: `E_LABELLED`, a name that is none of the nineteen; the cure names the nearest.

    >>> [structure.label for structure in labelled_structures("Left kidney, aorta")]
    ['aorta', 'left_kidney']
    >>> labelled_structures("spleen aorta") == labelled_structures("aorta;spleen")
    True
    """
    if text.strip().casefold() == EVERYTHING:
        return tuple(Structure)
    names = re.split(r"[,;]" if re.search(r"[,;]", text) else r"\s+", text)
    found = set()
    for name in filter(None, map(str.strip, names)):
        structure = structure_named(name)
        if structure is None:
            msg = f"{LABELLED_COLUMN} names {name[:40]!r}, which is none of the structures"
            near = difflib.get_close_matches(name.casefold().replace(" ", "_"), STRUCTURES_BY_NAME, n=1)
            cure = f"write {near[0]}; " if near else f"write {EVERYTHING} or some of their names; "
            cure += "`lymphct structures --list` has all"
            raise InputError(msg, code="E_LABELLED", cure=cure)
        found.add(structure)
    return tuple(sorted(found)) or None
