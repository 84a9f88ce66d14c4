"""Strict JSON."""

import json
import logging
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lymphct.core.errors import EnvironmentProblemError, InputError
from lymphct.io.results.jsonfile import (
    JSON,
    append_json_line,
    format_json,
    parse_json,
    read_json,
    read_json_lines,
    write_json,
)

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON_VALUES)
def test_what_is_written_is_read_back_as_it_was(value: JSON) -> None:
    assert parse_json(format_json(value)) == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
        (b'{"b": {"a": 1, "a": 1}}', "the key 'a' is given twice"),
        (b"[NaN]", "holds NaN, which is not JSON"),
        (b"[-Infinity]", "holds -Infinity"),
        (b"[1e999]", "the number 1e999 is out of range"),
        (b"[1" + b"0" * 5000 + b"]", "a number is too long"),
        (b"[1,", "not valid JSON at line 1, column 4"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xff\xfe{}", r"not UTF-8 text \(byte 0\)"),
        (b"[" * 200_000 + b"]" * 200_000, "nested deeper than 64 levels"),
        (b'{"a":' * 200_000, "nested deeper than 64 levels"),
    ],
)
def test_ambiguous_or_hostile_json_is_refused_with_its_cause(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "nodes.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_json(path)
    assert caught.value.file == "nodes.json"


def test_brackets_inside_text_are_no_levels() -> None:
    assert parse_json(b'["' + b"[" * 1000 + rb'\"{"]') == ["[" * 1000 + '"{']


def test_text_without_an_end_is_refused_in_linear_time() -> None:
    started = time.process_time()
    with pytest.raises(InputError, match="not valid JSON"):
        parse_json(b'["' + rb"\"" * 1_000_000)
    assert time.process_time() - started < 2.0


def test_a_byte_order_mark_is_tolerated_and_a_missing_file_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(InputError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json")
    with pytest.raises(InputError, match="too large"):
        read_json(tmp_path / "a.json", max_bytes=3)
    with pytest.raises(InputError, match="deeper than 0"):
        read_json(tmp_path / "a.json", max_depth=0)


def test_a_file_has_one_text_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a.json").read_text().endswith('"b": 1\n}\n')


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", [math.nan])
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_json_line(tmp_path / "a.jsonl", {"loss": math.inf})
    assert read_json(tmp_path / "a.json") == [1]
    assert not (tmp_path / "a.jsonl").exists()


def test_a_torn_line_is_left_out_and_does_not_swallow_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run" / "failures.jsonl"
    append_json_line(path, {"patient": "a"})
    with path.open("ab") as stream:
        stream.write(b'{"patient": "b')  # killed here
    append_json_line(path, {"patient": "c"})
    with caplog.at_level(logging.WARNING):
        assert read_json_lines(path) == [{"patient": "a"}, {"patient": "c"}]
    assert "failures.jsonl: line 2 is incomplete" in caplog.text
    assert [json.loads(line) for line in path.read_text().splitlines()[::2]] == [
        {"patient": "a"},
        {"patient": "c"},
    ]


def test_an_empty_log_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    assert read_json_lines(tmp_path / "a.jsonl") == []


def test_a_log_on_a_full_disk_is_exit_code_6() -> None:
    with pytest.raises(EnvironmentProblemError, match="no space"):
        append_json_line(Path("/dev/full"), {"epoch": 1})
