"""Unpack exactly the bytes a header declares, verify the whole file and fingerprint it, in one pass."""

import hashlib
import zlib
from typing import BinaryIO, Final, Literal

from lymphct.core.errors import InputError
from lymphct.io.images.limits import AnatomicalLimits

Packing = Literal["raw", "gzip", "zlib"]
"""How the bytes of an image are stored."""

_GZIP: Final = b"\x1f\x8b"
_MAGIC: Final = {"gzip": _GZIP, "zlib": b"\x78"}
_WINDOW: Final = {"gzip": 31, "zlib": 15}
_BLOCK: Final = 1 << 20
_LARGEST_DEFLATE_RATIO: Final = 1032
"""No DEFLATE stream unpacks to more than this many times its size."""


class VerifiedStream:
    """The unpacked bytes of a file from where it stands, told apart by content and never by name.

    A header that comes before them may say how they are packed. A packed stream is read to its end, so its
    checksum and length are verified (zlib does both for each member); what follows the last member is
    counted. All bytes that are read enter the digest.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        *,
        limits: AnatomicalLimits | None = None,
        packing: Packing | None = None,
    ) -> None:
        self._file = file
        self._size = size
        self._limits = limits
        self._sha256 = hashlib.sha256()
        self._input = b""
        self._in_member = False
        self._expected = 0
        self._consumed = 0
        self._produced = 0
        self._garbage = 0
        self._refill()
        found: Packing = "gzip" if self._input.startswith(_GZIP) else "raw"
        self._packing: Packing = packing or found
        self._decoder = zlib.decompressobj(_WINDOW.get(self._packing, 31))
        self.is_packed = self._packing != "raw"

    def expect(self, total: int) -> None:
        """Declare how many unpacked bytes the file must hold, before memory for them is taken.

        Raises:
            InputError: `E_TRUNCATED`, the file cannot hold them.

        """
        self._expected = total
        if total > self._size * (_LARGEST_DEFLATE_RATIO if self.is_packed else 1):
            raise self._truncated(self._size, f"a file of {self._size} bytes cannot hold {total}")

    def read_into(self, target: memoryview) -> int:
        """Fill `target`; return the bytes delivered, fewer only at the end of the stream."""
        filled = 0
        while filled < len(target):
            block = self._next(len(target) - filled)
            if not block:
                break
            target[filled : filled + len(block)] = block
            filled += len(block)
        return filled

    def finish(self, allowance: int) -> int:
        """Read to the end of the file and return the surplus bytes.

        Raises:
            InputError: damaged stream, or more than `allowance` bytes behind the last voxel.

        """
        surplus = 0
        while block := self._next(_BLOCK):
            surplus += len(block)
            if surplus > allowance:
                msg = (
                    f"incomplete or damaged file: more than {allowance} bytes too many behind the last voxel"
                )
                raise InputError(msg, code="E_TRAILING", cure="check the dimensions in the header")
        return surplus + self._garbage

    @property
    def digest(self) -> str:
        """Return the sha256 of the bytes read so far, hexadecimal; of the file after `finish`."""
        return self._sha256.hexdigest()

    def _next(self, wanted: int) -> bytes:
        """Return at least one and at most `wanted` unpacked bytes; nothing at the end."""
        if not self.is_packed:
            if not self._input:
                self._refill()
            block, self._input = self._input[:wanted], self._input[wanted:]
            self._produced += len(block)
            return block
        while True:
            if len(self._input) < len(_GZIP):
                self._refill()
            if not self._input and self._in_member:
                raise self._truncated(self._produced, f"{self._packing} stream ends early")
            if not self._in_member:
                if not self._input.startswith(_MAGIC[self._packing]):
                    self._count_garbage()
                    return b""
                self._decoder = zlib.decompressobj(_WINDOW[self._packing])
                self._in_member = True
            if block := self._unpack(wanted):
                return block

    def _unpack(self, wanted: int) -> bytes:
        try:
            block = self._decoder.decompress(self._input, wanted)
        except zlib.error as problem:
            reason = "checksum" if "check" in str(problem) else "stream"
            place = f"after {self._produced} unpacked bytes"
            msg = f"incomplete or damaged file: {self._packing} {reason} is wrong {place}"
            raise InputError(msg, code="E_GZIP", cure="copy the file again") from None
        if self._decoder.eof:
            self._input, self._in_member = self._decoder.unused_data, False
        else:
            self._input = self._decoder.unconsumed_tail
        self._produced += len(block)
        self._check_ratio()
        return block

    def _check_ratio(self) -> None:
        limits = self._limits
        if limits is None or self._produced <= limits.compression_grace:
            return
        ratio = self._produced / max(self._consumed - len(self._input), 1)
        if ratio > limits.compression_ratio:
            measured = f"{self._packing} ratio {ratio:.0f}"
            msg = f"{measured} exceeds the limit {limits.compression_ratio:g} of a CT: not an image"
            raise InputError(msg, code="E_TOO_LARGE", cure="check that this is the right file")

    def _count_garbage(self) -> None:
        """Count what follows the last gzip member; zeros are padding that tape and block devices leave."""
        while self._input or self._refill():
            self._garbage += len(self._input.strip(b"\0"))
            self._input = b""

    def _refill(self) -> bool:
        block = self._file.read(_BLOCK)
        self._sha256.update(block)
        self._consumed += len(block)
        self._input += block
        return bool(block)

    def _truncated(self, got: int, what: str) -> InputError:
        counts = (
            f" (expected {self._expected} bytes, got {got})"
            if self._expected and got < self._expected
            else ""
        )
        return InputError(
            f"incomplete or damaged file: {what}{counts}", code="E_TRUNCATED", cure="copy the file again"
        )
