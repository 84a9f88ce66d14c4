"""How fast an export is read: files a second by their heads, and how many series they are.

    python benchmarks/pacs_import.py --files 20000 --out build/pacs-import.json

Writes a folder of slices of 512×512 with a header of about 110 elements and three sequences, whose pixels are
a hole on the disk: the files are as long as real ones and quick to make. All heads are read once to warm up
(the system then has them in memory), then as often as asked, by one process and by several; the middle of the
runs counts. Processor seconds stand beside those of the clock: other work lengthens the latter alone.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from joblib.externals.loky import get_reusable_executor
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lymphct.io.pseudonyms import Pseudonyms
from lymphct.patients.exports.files import files_below, read_heads
from lymphct.patients.exports.grouping import series_of_heads

PIXELS: Final = 512 * 512 * 2
IN_A_SERIES: Final = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lymphct-pacs-") as name:
        write_export(Path(name), arguments.files)
        rows = [measured(Path(name), jobs, arguments.runs) for jobs in (1, arguments.jobs)]
    for row in rows:
        print(
            f"{row['jobs']} processes: {row['files_per_second']:.0f} files/s by the clock, "
            f"{row['files_per_processor_second']:.0f} a processor second, {row['series']} series"
        )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"files": arguments.files, "rows": rows}, indent=1) + "\n")


def measured(folder: Path, jobs: int, runs: int) -> dict[str, Any]:
    """Read the heads of all files, and sort them into series."""
    names = Pseudonyms(b"benchmark" + bytes(23))
    clock, series, used = [], 0, processor_seconds()
    for _ in range(runs + 1):
        begun = time.perf_counter()
        heads = read_heads(files_below(folder), names, jobs=jobs)
        series = len(series_of_heads(heads, names))
        clock.append(time.perf_counter() - begun)
    count = len(heads)
    get_reusable_executor().shutdown()  # its processes count once they have ended
    return {
        "jobs": jobs,
        "series": series,
        "files_per_second": count / statistics.median(clock[1:]),
        # Of all runs together, the start of the processes with them.
        "files_per_processor_second": count * len(clock) / (processor_seconds() - used),
    }


def processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def write_export(folder: Path, files: int) -> None:
    """Write slices; those of a series differ in what slices of a series differ in."""
    for number in range(0, files, IN_A_SERIES):
        place = folder / f"{number // 1000:04d}" / f"{number:06d}"
        place.mkdir(parents=True)
        dataset = header(number)
        for k in range(min(IN_A_SERIES, files - number)):
            dataset.SOPInstanceUID = generate_uid()
            dataset.ImagePositionPatient = [-250.0, -250.0, float(k)]
            dataset.InstanceNumber = k + 1
            path = place / f"{k:05d}"
            dataset.save_as(path, enforce_file_format=True)
            with path.open("ab") as stream:
                stream.write(b"\xe0\x7f\x10\x00OW\x00\x00" + PIXELS.to_bytes(4, "little"))
                stream.flush()
                os.truncate(stream.fileno(), stream.tell() + PIXELS)


def header(number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID, dataset.PatientName = f"{number // 1000}", "NAME^OF"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{number // 1000 + 1}", generate_uid()
    dataset.FrameOfReferenceUID = generate_uid()
    dataset.SeriesDescription, dataset.SeriesNumber = "ABDOMEN PV 1.0", number
    dataset.AcquisitionDate, dataset.AcquisitionTime = "20240206", "101530.25"
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    dataset.Rows = dataset.Columns = 512
    dataset.BitsAllocated, dataset.PixelRepresentation = 16, 1
    for keyword in ("RequestAttributesSequence", "ProcedureCodeSequence", "ReferencedImageSequence"):
        item = Dataset()
        item.CodeMeaning, item.CodeValue, item.CodingSchemeDesignator = "CT abdomen", "CTABD", "L"
        setattr(dataset, keyword, Sequence([item]))
        dataset[keyword].is_undefined_length = keyword.startswith("R")
    block = dataset.private_block(0x0029, "LYMPHCT", create=True)
    for element in range(60):
        block.add_new(element, "LO", f"private value {element}")
    return dataset


if __name__ == "__main__":
    main()
