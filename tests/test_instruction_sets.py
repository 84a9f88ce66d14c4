"""A benchmark says what it was measured on, and can leave AVX-512 out."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import instruction_sets
from benchmarks.side_by_side import parser, where


@pytest.mark.parametrize(
    ("features", "name"),
    [
        ({"sse2", "avx2", "avx512f", "avx512vpopcntdq"}, "AVX-512 with VPOPCNT"),
        ({"sse2", "avx2", "avx512f"}, "AVX-512"),
        ({"sse2", "avx2"}, "AVX2"),
        ({"sse2"}, "SSE2"),
        ({"neon"}, "NEON"),
        (set(), "no vectors known"),
    ],
)
def test_the_widest_instructions_are_named(features: set[str], name: str) -> None:
    assert instruction_sets.instruction_set(features) == name


def test_avx512_and_what_came_with_it_is_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    host = {"avx2": True, "avx512f": True, "avx512vpopcntdq": True, "gfni": True, "sse4a": False}
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: host)
    environment = instruction_sets.without_avx512()
    assert environment["NUMBA_CPU_FEATURES"] == "+avx2,-avx512f,-avx512vpopcntdq,-gfni,-sse4a"
    assert environment["NUMBA_CPU_NAME"] in {"znver3", "haswell"}


def test_the_option_runs_the_script_again_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\nprint(os.environ['NUMBA_CPU_FEATURES'].count('+avx512'), sys.argv[1:])\n"
    )
    monkeypatch.setattr(sys, "argv", [str(script), instruction_sets.OPTION])
    with pytest.raises(SystemExit) as ended:
        parser("work", (1, 2, 3)).parse_args([instruction_sets.OPTION])
    assert ended.value.code == 0
    assert capfd.readouterr().out.strip() == f"0 ['{instruction_sets.OPTION}']"


def test_a_figure_says_where_it_is_from() -> None:
    assert where() == f"{instruction_sets.processor()}, {instruction_sets.instruction_set()}"
