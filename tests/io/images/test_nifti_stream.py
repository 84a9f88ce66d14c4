"""A file unpacked block by block, gzip or not, verified to its last byte."""

import gzip
import hashlib
from io import BytesIO

import pytest

from lymphct.core.errors import InputError
from lymphct.io.images.limits import AnatomicalLimits
from lymphct.io.images.nifti_stream import VerifiedStream

CONTENT = bytes(range(256)) * 20


def stream(content: bytes, limits: AnatomicalLimits | None = None) -> VerifiedStream:
    return VerifiedStream(BytesIO(content), len(content), limits=limits)


def read(source: VerifiedStream, wanted: int) -> bytes:
    target = bytearray(wanted)
    return bytes(target[: source.read_into(memoryview(target))])


@pytest.mark.parametrize("packed", [CONTENT, gzip.compress(CONTENT)], ids=["plain", "gzip"])
def test_the_wanted_bytes_come_and_the_digest_is_that_of_the_whole_file(packed: bytes) -> None:
    source = stream(packed)
    source.expect(len(CONTENT))
    assert source.is_packed == (packed != CONTENT)
    assert read(source, 100) + read(source, len(CONTENT) - 100) == CONTENT
    assert source.finish(0) == 0
    assert source.digest == hashlib.sha256(packed).hexdigest()


def test_at_the_end_of_a_file_fewer_bytes_come() -> None:
    assert read(stream(b"abc"), 10) == b"abc"


def test_several_gzip_members_are_one_content() -> None:
    source = stream(gzip.compress(b"one ") + gzip.compress(b"two"))
    assert read(source, 7) == b"one two"
    assert source.finish(0) == 0


def test_bytes_behind_the_last_member_are_counted_but_for_zeros() -> None:
    source = stream(gzip.compress(b"image") + b"\0" * 512 + b"junk")
    assert read(source, 5) == b"image"
    assert source.finish(10) == 4


def test_more_behind_the_voxels_than_allowed_is_refused() -> None:
    source = stream(CONTENT)
    read(source, 10)
    with pytest.raises(InputError, match="more than 16 bytes too many behind the last voxel"):
        source.finish(16)


@pytest.mark.parametrize(
    ("content", "total"), [(b"abc", 4), (gzip.compress(b"", mtime=0), 1_000_000)], ids=["plain", "packed"]
)
def test_a_file_too_small_for_what_it_declares_is_refused_before_it_is_read(
    content: bytes, total: int
) -> None:
    with pytest.raises(InputError, match=f"cannot hold {total}"):
        stream(content).expect(total)


def test_a_gzip_stream_that_ends_early_says_how_much_was_there() -> None:
    cut = stream(gzip.compress(CONTENT)[:-12])
    cut.expect(len(CONTENT))
    with pytest.raises(InputError, match=f"gzip stream ends early \\(expected {len(CONTENT)} bytes, got"):
        read(cut, len(CONTENT))


def test_a_wrong_checksum_is_noticed_when_the_stream_ends() -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1
    source = stream(bytes(packed))
    with pytest.raises(InputError, match="gzip checksum is wrong"):
        read(source, len(CONTENT) + 1)


def test_what_unpacks_beyond_the_ratio_of_a_ct_is_refused() -> None:
    flood = gzip.compress(bytes(60_000_000))
    source = stream(flood, AnatomicalLimits(compression_ratio=50))
    with pytest.raises(InputError, match="exceeds the limit 50 of a CT"):
        read(source, 60_000_000)
