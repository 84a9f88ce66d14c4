from pathlib import Path

import pytest

from lymphct.io.memory import available_memory

TABLE = "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:    18000000 kB\n"


@pytest.fixture
def info(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(TABLE)
    return path


def group(folder: Path, limit: str, used: str) -> Path:
    folder.mkdir()
    (folder / "memory.max").write_text(limit + "\n")
    (folder / "memory.current").write_text(used + "\n")
    return folder


def test_the_kernel_says_what_it_can_give_without_swapping(info: Path, tmp_path: Path) -> None:
    assert available_memory(info, tmp_path / "none") == 18_000_000 * 1024


def test_the_limit_of_a_container_counts_when_it_is_lower(info: Path, tmp_path: Path) -> None:
    assert available_memory(info, group(tmp_path / "small", "4000000000", "1500000000")) == 2_500_000_000
    assert available_memory(info, group(tmp_path / "full", "1000", "2000")) == 0
    assert available_memory(info, group(tmp_path / "free", "max", "1500000000")) == 18_000_000 * 1024


def test_where_nobody_says_it_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable:")
    assert available_memory(tmp_path / "meminfo", tmp_path) is None
    assert available_memory(tmp_path / "none", tmp_path) is None


def test_this_machine_has_some() -> None:
    found = available_memory()
    assert found is None or found > 10_000_000
