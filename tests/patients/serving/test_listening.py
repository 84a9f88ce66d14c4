"""What is sent by DICOM is done like what is dropped."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from tests.serving_studies import dataset

from lymphct.io.receiving import ReceivingSettings, receiving

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from lymphct.patients.serving.serving import Service

    Serving = Callable[..., AbstractContextManager[Service]]


def test_a_study_that_was_sent_becomes_a_result(serving: "Serving", inbox: Path, outbox: Path) -> None:
    pynetdicom: Any = pytest.importorskip("pynetdicom")
    entity = pynetdicom.AE()
    entity.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian])
    with serving() as running:
        settings = ReceivingSettings(port=0, free_bytes=0)
        with receiving(inbox, running.pseudonyms, settings) as port:
            association = entity.associate("127.0.0.1", port, ae_title="LYMPHCT")
            for number in range(3):
                association.send_c_store(dataset(7, 1, number))
            association.release()
            line = running.step().line
    assert line is not None
    assert (line["state"], line["files"]) == ("done", 3)
    assert [path.name for path in inbox.glob("study-*")] == [line["study"]]  # one name in both folders
    assert (outbox / str(line["study"]) / "DONE.json").is_file()
