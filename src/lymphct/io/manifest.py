"""The manifest of a cohort: one line per patient, read as a whole and judged before any work starts."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from lymphct.core.errors import InputError
from lymphct.core.terms import Structure
from lymphct.io.column_names import near_misses
from lymphct.io.labelled_structures import LABELLED_COLUMN, labelled_structures
from lymphct.io.results.disk import read_bounded, replace_file

COLUMNS: Final = (
    "patient_id", "center", "arterial", "venous", "structures", "structures_labelled", "tumor", "nodes",
    "n_status", "pN", "pT", "age", "sex", "tumor_size_cm", "tumor_location", "ct_reported_n", "split",
    "exclude_reason",
)  # fmt: skip
"""Columns with a meaning; others are kept as they are."""

REQUIRED_COLUMNS: Final = ("patient_id", "venous")

SPLITS: Final = ("train", "test")
"""What the column `split` may say besides nothing, whatever its case: patients of `test` teach nobody."""

SYNTHETIC_COLUMN: Final = "synthetic"
"""Column of ours that holds 1 for phantoms, so that models trained on them say so."""

KNOWN_COLUMNS: Final = (*COLUMNS, SYNTHETIC_COLUMN)

# Stands for a blank cell, so that reading it fails as a missing file and never as the current folder.
_NO_VENOUS: Final = Path("no-venous-image-given")
_SEPARATORS: Final = (",", ";", "\t")
_LARGEST_MANIFEST: Final = 20_000_000
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientRecord:
    """One line of a manifest.

    Attributes:
        patient_id: pseudonym; a valid name of a folder once the manifest is checked.
        venous, arterial, structures, tumor, nodes: files or folders; None when blank (`venous`: a path
            where no file is, which `manifest_problems` reports).
        n_status: 1 with lymph node metastasis, 0 without; None when blank or unreadable.
        center: where the CT was made; empty when unknown.
        line: number of the line in the file, from 1 for the heading; 0 when there is no file.
        cells: every cell of the line by column, also those above and those without a meaning to us.

    """

    patient_id: str
    venous: Path
    arterial: Path | None = None
    structures: Path | None = None
    tumor: Path | None = None
    nodes: Path | None = None
    n_status: int | None = None
    center: str = ""
    line: int = 0
    cells: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_excluded(self) -> bool:
        """Tell whether the manifest gives a reason to leave the patient out."""
        return bool(self.cells.get("exclude_reason"))

    @property
    def split(self) -> str:
        """Return what the column `split` says, in small letters: one of `SPLITS` once it is checked."""
        return self.cells.get("split", "").strip().casefold()

    @property
    def may_teach(self) -> bool:
        """Tell whether trainings may use the patient: neither excluded nor kept for the test."""
        return self.split in {"", "train"} and not self.is_excluded

    @property
    def is_synthetic(self) -> bool:
        """Tell whether the patient is a phantom."""
        return self.cells.get(SYNTHETIC_COLUMN) == "1"

    @property
    def labelled(self) -> tuple[Structure, ...] | None:
        """Return the structures that were drawn, as the manifest lists them; None when blank or unreadable.

        Without a list the label map itself says which it tells apart.
        """
        try:
            return labelled_structures(self.cells.get(LABELLED_COLUMN, ""))
        except InputError:
            return None

    @property
    def tumor_location(self) -> str:
        """Return the part of the pancreas that holds the tumor; empty when unknown."""
        return self.cells.get("tumor_location", "")

    @property
    def paths(self) -> dict[str, Path]:
        """Return the paths that were given, by column."""
        named = {
            "venous": None if self.venous == _NO_VENOUS else self.venous,
            "arterial": self.arterial,
            "structures": self.structures,
            "tumor": self.tumor,
            "nodes": self.nodes,
        }
        return {column: path for column, path in named.items() if path is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All lines of a manifest, in its order.

    Attributes:
        path: the manifest.
        columns: its columns, in its order.
        patients: one record per line.

    """

    path: Path
    columns: tuple[str, ...]
    patients: tuple[PatientRecord, ...]

    @property
    def near_misses(self) -> dict[str, str]:
        """Return columns without a meaning that are nearly one with a meaning, and that one."""
        return near_misses(self.columns, KNOWN_COLUMNS)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest: a table in UTF-8, paths relative to it. Its lines are judged by `manifest_problems`.

    Cells are separated by commas, semicolons or tabs: by which of them the heading has most of our columns.

    Raises:
        InputError: not a table, or without the required columns.

    """
    try:
        rows = _rows(_decoded(read_bounded(path, _LARGEST_MANIFEST)))
        if not rows:
            _refuse("it has no heading")
        columns = tuple(name.strip() for name in rows[0][1])
        _check_columns(columns)
        patients = []
        for line, cells in rows[1:]:
            if len(cells) > len(columns):
                _refuse(f"line {line} has {len(cells)} cells, the heading {len(columns)}")
            filled = [cell.strip() for cell in cells] + [""] * (len(columns) - len(cells))
            patients.append(_record(line, dict(zip(columns, filled, strict=True)), path.parent))
        if not patients:
            _refuse("it has no patients")
    except InputError as error:
        # A path that leads nowhere is told as it was written.
        raise error.at(file=str(path) if error.code == "E_MISSING" else path.name) from None
    return Manifest(path=path, columns=columns, patients=tuple(patients))


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 text (byte {error.start})"
        raise InputError(msg, code="E_ENCODING", cure="save it as CSV UTF-8") from None
    if "\0" in text:
        _refuse("it holds binary zeros")
    return text


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the lines that are not blank, each with its number."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
    rows: list[tuple[int, list[str]]] = []
    try:
        rows.extend((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        _refuse(f"line {reader.line_num}: {error}")
    return rows


def _separator(text: str) -> str:
    """Return what separates the cells of the heading; a comma where nothing tells."""
    heading = next((line for line in text.splitlines() if line.strip()), "")

    def known(separator: str) -> int:
        cells = next(csv.reader([heading], delimiter=separator), [])
        return len({cell.strip() for cell in cells} & set(COLUMNS))

    return max(_SEPARATORS, key=known)  # the first of equals


def _check_columns(columns: Sequence[str]) -> None:
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        _refuse("its cells are not separated by commas, semicolons or tabs")
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        _refuse(f"the column {twice[0][:40]!r} stands twice")
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        near = {meant: written for written, meant in near_misses(columns, KNOWN_COLUMNS).items()}
        renamed = f" (is it the column {near[missing[0]][:40]!r}?)" if missing[0] in near else ""
        _refuse(f"the column {missing[0]!r} is missing{renamed}")


def _record(line: int, cells: Mapping[str, str], folder: Path) -> PatientRecord:
    def path(column: str) -> Path | None:
        return folder / cells[column] if cells.get(column) else None

    status = {"0": 0, "1": 1}.get(cells.get("n_status", ""))
    return PatientRecord(
        line=line,
        patient_id=cells["patient_id"],
        center=cells.get("center", ""),
        venous=path("venous") or _NO_VENOUS,
        arterial=path("arterial"),
        structures=path("structures"),
        tumor=path("tumor"),
        nodes=path("nodes"),
        n_status=status,
        cells=dict(cells),
    )


def _refuse(cause: str) -> NoReturn:
    msg = f"the manifest cannot be used: {cause}"
    cure = f"write a CSV with the columns {', '.join(REQUIRED_COLUMNS)} and one line per patient"
    raise InputError(msg, code="E_MANIFEST", cure=cure)


def write_manifest(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write a manifest: one mapping from column to value per patient, None for blank.

    Columns of `COLUMNS` come first, then others as they appear. Paths below the manifest's folder are
    written relative to it. Text that a spreadsheet would take for a formula gets a leading apostrophe.

    Raises:
        EnvironmentProblemError: it cannot be written.

    """
    records = [dict(row) for row in rows]
    named = {name: None for record in records for name in record} | dict.fromkeys(REQUIRED_COLUMNS)
    columns = [name for name in COLUMNS if name in named] + [name for name in named if name not in COLUMNS]
    write_rows(path, columns, records)


def write_rows(path: Path, columns: Sequence[str], records: Iterable[Mapping[str, object]]) -> None:
    """Write a table of one mapping from column to value per line, as `write_manifest` writes its cells.

    Raises:
        EnvironmentProblemError: it cannot be written.

    """
    replace_file(path, rows_as_csv(columns, records, path.parent))


def rows_as_csv(columns: Sequence[str], records: Iterable[Mapping[str, object]], folder: Path) -> bytes:
    """Return the text of such a table; paths below `folder` become relative to it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow(_cell(record.get(name), folder) for name in columns)
    return text.getvalue().encode("utf-8")


def _cell(value: object, folder: Path) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Path):
        value = value.relative_to(folder).as_posix() if value.is_relative_to(folder) else value.as_posix()
    text = str(value)
    return "'" + text if text.startswith(_FORMULA_STARTS) else text
