"""How a data set lies in its folder: one YAML file says which files are what (decision 0045)."""

import difflib
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lymphct.core.origin import Line, Origin
from lymphct.core.terms import STRUCTURES_BY_NAME, Structure

WORDS: Final = ("patient", "name", "reader")
"""What may stand in braces in a pattern."""
TABLE_COLUMNS: Final = ("age", "sex", "split", "center", "n_status", "pN", "pT", "tumor_location")
"""Columns of a manifest that a table of the data set may fill."""

_CLOSE: Final = 0.6
_BRACES: Final = re.compile(r"\{([^{}]*)\}")

Number = Annotated[int, Field(ge=1, le=65_535)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileRule(_Rule):
    """Where files of one kind lie.

    Attributes:
        files: pattern below the folder; `*` is any part of a name, `**/` any folders, `{patient}` the id,
            `{patient:ABC_*}` one that looks so; a final `/` means the folder itself, such as a DICOM series.
        split: what the column `split` says of patients whose image lies there.
        kind: a word that is recorded of what came from there, such as "manual".

    """

    files: str
    split: Literal["", "train", "test"] = ""
    kind: Annotated[Line, Field(max_length=40)] = ""

    @field_validator("files")
    @classmethod
    def _is_below(cls, pattern: str) -> str:
        if not pattern or pattern.startswith("/") or ".." in pattern.split("/") or "\\" in pattern:
            msg = f"the pattern {pattern[:60]!r} does not lead below the folder"
            raise ValueError(msg)
        for word in _BRACES.findall(pattern):
            name = word.partition(":")[0]
            if name not in WORDS:
                near = difflib.get_close_matches(name, WORDS, n=1, cutoff=_CLOSE)
                hint = f"; did you mean {{{near[0]}}}?" if near else ""
                msg = f"{{{word[:30]}}} in a pattern is none of {', '.join(WORDS)}{hint}"
                raise ValueError(msg)
        if "{patient" not in pattern:
            msg = f"the pattern {pattern[:60]!r} has no {{patient}}"
            raise ValueError(msg)
        return pattern


def _as_rules(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds; pydantic judges it next
    """Take one pattern, or several, as rules."""
    given = value if isinstance(value, list) else [value]
    return [{"files": rule} if isinstance(rule, str) else rule for rule in given]


class _Masks(_Rule):
    files: tuple[FileRule, ...] = Field(min_length=1, max_length=16)
    """The first that is there counts."""

    _listed = field_validator("files", mode="before")(_as_rules)

    def _require_word(self, word: str, why: str) -> None:
        if any(f"{{{word}" not in rule.files for rule in self.files):
            msg = f"each pattern needs {{{word}}}, {why}"
            raise ValueError(msg)


class StructureRule(_Masks):
    """Organs and vessels: a label map with numbers, or a mask per structure with `{name}`.

    Attributes:
        numbers: number in the map → our structure; several numbers may make one.
        names: name of the mask → our structure.

    """

    numbers: dict[Number, str] = Field(default_factory=dict)
    names: dict[str, str] = Field(default_factory=dict)

    @field_validator("numbers", "names")
    @classmethod
    def _are_ours(cls, meant: dict[Any, str]) -> dict[Any, str]:
        for theirs, ours in meant.items():
            if ours not in STRUCTURES_BY_NAME:
                near = difflib.get_close_matches(ours, STRUCTURES_BY_NAME, n=1, cutoff=_CLOSE)
                hint = f"; did you mean {near[0]}?" if near else f": {', '.join(STRUCTURES_BY_NAME)}"
                msg = f"{str(theirs)[:30]} means {ours[:40]!r}, which is none of our structures{hint}"
                raise ValueError(msg)
        return meant

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.numbers) == bool(self.names):
            msg = "say either `numbers` of a label map or `names` of masks"
            raise ValueError(msg)
        if self.names:
            self._require_word("name", "since `names` says which mask is what")
        return self

    @property
    def structures(self) -> tuple[Structure, ...]:
        """Every structure of ours that the data set draws."""
        meant = {*self.numbers.values(), *self.names.values()}
        return tuple(sorted(STRUCTURES_BY_NAME[name] for name in meant))


class TumorRule(_Masks):
    """The tumor: numbers of a label map that are it, masks of some names, or a vote of several readers.

    Attributes:
        numbers: in the map.
        names: of masks that together are the tumor, with `{name}` in the patterns.
        vote: how readers, `{reader}` in the pattern, are joined: tumor is where more than half say so.

    """

    numbers: tuple[Number, ...] = (1,)
    names: tuple[str, ...] = ()
    vote: Literal["", "majority"] = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.names:
            self._require_word("name", "since `names` says which masks are the tumor")
        if self.vote:
            self._require_word("reader", "since readers vote")
        return self


class NodeRule(_Masks):
    """Lymph nodes as an instance map: every number is a node, of no class.

    Attributes:
        place: `file` trusts the mask's own position; `ct` takes that of the CT for voxels whose axes go to
            the left, back and top, where the shape is equal and the nodes lie in soft tissue.
        soft_tissue: HU between which the voxels of nodes must lie, for `ct`.
        share: of the voxels of nodes that must lie there, for `ct`.

    """

    place: Literal["file", "ct"] = "file"
    soft_tissue: tuple[float, float] = (-100.0, 250.0)
    share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.8


class TableRule(_Rule):
    """A table of the data set, a line per patient.

    Attributes:
        file: its name below the folder.
        id: its column that holds the id; several names may be tried, whatever their case.
        columns: our column → theirs, likewise.
        values: our column → their value → ours; a value that is not named stays as it is.
        only_values: our columns in which a value that is not named is left blank.

    """

    file: str
    id: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    only_values: tuple[str, ...] = ()

    @field_validator("id", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:  # noqa: ANN401 - as `_as_rules`
        return [value] if isinstance(value, str) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _several_each(cls, value: Any) -> Any:  # noqa: ANN401 - as `_as_rules`
        if not isinstance(value, dict):
            return value
        return {ours: [theirs] if isinstance(theirs, str) else theirs for ours, theirs in value.items()}

    @field_validator("columns")
    @classmethod
    def _known(cls, columns: dict[str, Any]) -> dict[str, Any]:
        for name in columns:
            if name not in TABLE_COLUMNS:
                near = difflib.get_close_matches(name, TABLE_COLUMNS, n=1, cutoff=_CLOSE)
                hint = f"; did you mean {near[0]}?" if near else f": {', '.join(TABLE_COLUMNS)}"
                msg = f"{name[:40]!r} is no column that a table can fill{hint}"
                raise ValueError(msg)
        return columns


class Layout(_Rule):
    """A data set: its files, what they mean, and under which licence.

    Attributes:
        name, title, licence, non_commercial, citation, url: see `core.origin.Origin`.
        notes: what a user must know of the data, in sentences; they are repeated in `SOURCES.md`.
        images: the CT, read as the venous phase; the first that is there counts.
        arterial: the arterial phase, of data sets that have both.
        structures, tumor, nodes: masks.
        table: age, sex, split and the like.
        person: where one person has several studies: what stands between person and study in the id; further
            studies of a person are excluded.
        ignore: patterns of files that are known and not used.
        patients: how many the data set has; another number is noticed.

    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
    title: Line
    licence: Annotated[Line, Field(min_length=1)]
    non_commercial: bool
    citation: Annotated[Line, Field(min_length=1)]
    url: Line = ""
    notes: tuple[Line, ...] = ()
    images: tuple[FileRule, ...] = Field(min_length=1, max_length=16)
    arterial: tuple[FileRule, ...] = ()
    structures: StructureRule | None = None
    tumor: TumorRule | None = None
    nodes: NodeRule | None = None
    table: TableRule | None = None
    person: Annotated[str, Field(max_length=4)] = ""
    ignore: tuple[str, ...] = ()
    patients: Annotated[int, Field(ge=1)] | None = None

    _listed = field_validator("images", "arterial", mode="before")(_as_rules)

    @property
    def origin(self) -> Origin:
        """Whose data it is."""
        return Origin.model_validate({name: getattr(self, name) for name in Origin.model_fields})

    @property
    def masks(self) -> dict[str, StructureRule | TumorRule | NodeRule]:
        """The rules of masks by column of the manifest."""
        given = {"structures": self.structures, "tumor": self.tumor, "nodes": self.nodes}
        return {name: rule for name, rule in given.items() if rule is not None}
