"""A DICOM receiver (C-STORE SCP): CT that is sent to it lies in a folder before it says so.

What is sent, slices and enhanced CT alike, is written as it came, without being decoded, under names made of
hashes: nothing a sender writes becomes a path. An instance is complete, on the disk and in its place before
the sender is told of success; what a sender was not told of it sends again. Until then it lies in memory,
which has a limit for all senders together.
"""

import itertools
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from lymphct.core.errors import EnvironmentProblemError
from lymphct.core.settings import Settings
from lymphct.core.system import move, sync
from lymphct.io.images.dicom.elements import BIG_ENDIAN
from lymphct.io.images.dicom.file_head import FileHead
from lymphct.io.images.dicom.files import SYNTAXES
from lymphct.io.images.dicom.heads import read_head
from lymphct.io.images.dicom.kinds import CT_IMAGE, ENHANCED
from lymphct.io.images.limits import DicomLimits
from lymphct.io.pseudonyms import Pseudonyms
from lymphct.io.results.disk import environment_errors, write_synced
from lymphct.io.results.locks import exclusive_lock
from lymphct.io.results.usable import free_space

logger = logging.getLogger(__name__)

PARTS_FOLDER: Final = ".receiving"
"""In the folder that is filled: what is not complete yet."""
DONE: Final = 0x0000
NO_RESOURCES: Final = 0xA700
ANOTHER: Final = 0xA900
NOT_UNDERSTOOD: Final = 0xC000
"""Status codes of C-STORE (DICOM PS3.4, table B.2-1)."""
_PIECE: Final = 1 << 20


class ReceivingSettings(Settings):
    """What a DICOM receiver is and what it may take; options of `lymphct serve --listen`."""

    host: str = "127.0.0.1"
    """Address it listens on. Not stated in the paper; this machine alone, DICOM knows no passwords."""
    port: int = Field(default=11112, ge=0, le=65535)
    """Port. Not stated in the paper; the one registered for DICOM. 0 takes any that is free."""
    title: str = Field(default="LYMPHCT", pattern=r"^[!-\[\]-~]{1,16}$")
    """Application entity title by which senders must call it. Not stated in the paper."""
    associations: PositiveInt = 10
    """Senders at the same time. Not stated in the paper; what a PACS opens at most."""
    seconds: PositiveFloat = 60.0
    """Silence after which a sender is given up. Not stated in the paper."""
    memory_bytes: PositiveInt = 2_000_000_000
    """What has come of all instances that are under way may take. Not stated in the paper; one of the largest
    enhanced CTs, or four usual ones."""
    study_files: PositiveInt = 20_000
    """Instances of one study. Not stated in the paper; ten usual series of 2000 slices."""
    free_bytes: NonNegativeInt = 2_000_000_000
    """What stays free on the disk. Not stated in the paper; a result and the copy of a study."""


class Receiver:
    """Takes CT from senders; `receiving` runs one.

    Safe for the threads of several senders.
    """

    def __init__(self, folder: Path, pseudonyms: Pseudonyms, settings: ReceivingSettings) -> None:
        self._folder = folder
        self._pseudonyms = pseudonyms
        self._settings = settings
        self._numbers = itertools.count()
        self._commits = threading.Lock()
        self._stored: Counter[str] = Counter()

    def store(self, event: Any) -> int:  # noqa: ANN401 - an event of pynetdicom
        """Put an instance into the folder; return the status for its sender. Nothing is raised."""
        part = self._folder / PARTS_FOLDER / f".{next(self._numbers)}.part"
        try:
            with environment_errors():
                status = self._put(event, part)
        except EnvironmentProblemError as error:
            logger.error("an instance could not be stored: %s", error)  # noqa: TRY400 - one line, no traceback
            status = NO_RESOURCES
        except Exception as bug:  # noqa: BLE001 - whatever a sender causes costs its instance alone
            logger.error("an instance was refused: unexpected %s", type(bug).__name__)  # noqa: TRY400 - the same
            status = NOT_UNDERSTOOD
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return status

    def _put(self, event: Any, part: Path) -> int:  # noqa: ANN401 - the same
        header, dataset = _content_of(event)
        size = len(header) + len(dataset)
        if size > _longest(event.request):
            return NOT_UNDERSTOOD
        if free_space(self._folder) - size < self._settings.free_bytes:
            logger.error("an instance was turned away: too little space is left on the disk")
            return NO_RESOURCES
        write_synced(part, header, dataset)
        head = read_head(part, self._pseudonyms, DicomLimits())
        status = self._judged(head, event.request)
        return self._commit(part, head, dataset) if status == DONE else status

    def _judged(self, head: FileHead, request: Any) -> int:  # noqa: ANN401 - a message of pynetdicom
        if head.tags is None or head.problem or not head.instance:
            logger.warning("an instance was refused: %s", head.problem or "it names no instance")
            return NOT_UNDERSTOOD
        told = self._pseudonyms.hashed("instance", str(request.AffectedSOPInstanceUID))
        if head.instance != told or head.tags.sop_class != str(request.AffectedSOPClassUID):
            logger.warning("an instance was refused: it is another than its sender says")
            return ANOTHER
        return DONE

    def _commit(self, part: Path, head: FileHead, dataset: memoryview) -> int:
        """Give an instance its place; one that lies there already is not written again."""
        tags = head.tags
        study = self._folder / f"study-{tags.study if tags else ''}"
        folder = study / f"series-{tags.series if tags else ''}"
        with self._commits:
            if study.name not in self._stored:
                self._stored[study.name] = sum(path.is_file() for path in study.rglob("*"))
            for number in itertools.count():
                target = folder / f"{head.instance}{f'-{number}' if number else ''}.dcm"
                if not target.exists():
                    break
                if _ends_with(target, dataset):
                    return DONE
            if self._stored[study.name] >= self._settings.study_files:
                logger.error("an instance was turned away: its study has %d", self._settings.study_files)
                return NO_RESOURCES
            for place in (study, folder):
                if not place.exists():
                    place.mkdir()
                    sync(place.parent)
            move(part, target)
            sync(folder)
            self._stored[study.name] += 1
        return DONE


def _content_of(event: Any) -> tuple[bytes, memoryview]:  # noqa: ANN401 - an event of pynetdicom
    """Return what stands before an instance in a file, and the instance as it came, not copied."""
    from pynetdicom.dsutils import encode_file_meta  # noqa: PLC0415 - an extra

    return bytes(128) + b"DICM" + encode_file_meta(event.file_meta), event.request.DataSet.getbuffer()


def _longest(command: Any) -> int:  # noqa: ANN401 - a message of pynetdicom, or its command set
    """Return how many bytes an instance of its kind may have."""
    limits = DicomLimits()
    is_enhanced = str(getattr(command, "AffectedSOPClassUID", "")) in ENHANCED
    return limits.multiframe_bytes if is_enhanced else limits.file_bytes


def _ends_with(path: Path, content: memoryview) -> bool:
    """Tell whether a file ends with these bytes, without holding it in memory."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < len(content):
            return False
        stream.seek(-len(content), os.SEEK_END)
        return all(
            stream.read(_PIECE) == content[start : start + _PIECE] for start in range(0, len(content), _PIECE)
        )


@contextmanager
def receiving(folder: Path, pseudonyms: Pseudonyms, settings: ReceivingSettings) -> Iterator[int]:
    """Receive CT into a folder while the block runs; yield the port.

    Senders are sent away at its end, and send again what was not confirmed.

    Args:
        folder: is filled as `study-<hash>/series-<hash>/<hash>.dcm`.
        pseudonyms: for the hashes.
        settings: where to listen, and limits.

    Raises:
        EnvironmentProblemError: pynetdicom is not installed, or the port is taken.
        HeldError: another receiver fills the folder.

    """
    if find_spec("pynetdicom") is None:
        msg = "pynetdicom is not installed"
        raise EnvironmentProblemError(msg, code="E_EXTRA", cure='pip install "lymphct[serve]"')
    parts = folder / PARTS_FOLDER
    with exclusive_lock(folder / f"{PARTS_FOLDER}.lock"):
        with environment_errors():
            parts.mkdir(exist_ok=True)
            for left in parts.glob(".*.part"):  # by a receiver that was killed; nobody was told of success
                left.unlink()
        try:
            with _listening(Receiver(folder, pseudonyms, settings), settings) as port:
                yield port
        finally:
            with suppress(OSError):
                parts.rmdir()


@contextmanager
def _listening(receiver: Receiver, settings: ReceivingSettings) -> Iterator[int]:
    from pynetdicom import AE, _config, evt  # noqa: PLC0415 - an extra
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # noqa: PLC0415

    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").propagate = False  # its lines may quote what senders say
    entity = AE(ae_title=settings.title)
    entity.add_supported_context(Verification)
    for kind in (CT_IMAGE, *sorted(ENHANCED)):
        entity.add_supported_context(kind, [uid for uid in SYNTAXES if uid != BIG_ENDIAN])
    entity.require_called_aet = True
    entity.maximum_associations = settings.associations
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = settings.seconds
    tally = _Tally()
    handlers: list[Any] = [
        (evt.EVT_C_STORE, lambda event: tally.counted(event, receiver.store(event))),
        (evt.EVT_PDU_RECV, partial(_stop_flood, tally, settings.memory_bytes)),
        (evt.EVT_CONN_CLOSE, tally.tell),
    ]
    try:
        server: Any = entity.start_server((settings.host, settings.port), block=False, evt_handlers=handlers)
    except OSError as error:
        msg = f"cannot listen on {settings.host}, port {settings.port} ({error.strerror})"
        raise EnvironmentProblemError(msg, code="E_PORT", cure="name another with --listen") from None
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()


class _Tally:
    """Counts what each sender sent, for one line of the log when it leaves, and what is under way."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[bool]] = {}
        self._under_way: dict[int, int] = {}

    def counted(self, event: Any, status: int) -> int:  # noqa: ANN401 - an event of pynetdicom
        self._under_way.pop(id(event.assoc), None)
        self._counts.setdefault(id(event.assoc), Counter())[status == DONE] += 1
        return status

    def under_way(self, event: Any, size: int) -> int:  # noqa: ANN401 - the same
        """Note how much has come of a sender's instance; return that of all senders."""
        self._under_way[id(event.assoc)] = size
        return sum(self._under_way.copy().values())

    def tell(self, event: Any) -> None:  # noqa: ANN401 - the same
        self._under_way.pop(id(event.assoc), None)
        counts = self._counts.pop(id(event.assoc), None)
        if counts is not None:
            logger.info("a sender left: %d instances stored, %d refused", counts[True], counts[False])


def _stop_flood(tally: _Tally, memory_bytes: int, event: Any) -> None:  # noqa: ANN401 - the same
    """Break off a sender whose instance outgrows the limit of its kind, or of all, before memory does."""
    message = event.assoc.dimse.message
    stream = None if message is None else message.data_set
    size = 0 if stream is None else stream.tell()
    everything = tally.under_way(event, size)
    command = getattr(message, "command_set", None)
    longest = _longest(command)
    if size > longest:
        logger.error("a sender was broken off: an instance of more than %d bytes", longest)
    elif size and everything > memory_bytes:
        logger.error("a sender was broken off: instances under way take more than %d bytes", memory_bytes)
    else:
        return
    event.assoc.abort(block=False)
