from pathlib import Path

import pytest

from lymphct.core.errors import InputError
from lymphct.io.textfile import LARGEST_TEXT, read_text


def test_the_text_is_returned_without_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read_text(path) == "seed: 1\n"


def test_a_missing_file_is_named_without_its_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^bands.yaml: .*\[E_MISSING\]"):
        read_text(tmp_path / "bands.yaml")


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b" " * (LARGEST_TEXT + 1))
    with pytest.raises(InputError, match="E_TOO_LARGE"):
        read_text(path)


def test_binary_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary"
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 2\)"):
        read_text(path)
