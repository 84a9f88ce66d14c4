"""The benchmark of the tumor harvest compares the same patients, and writes what it counts."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import tumor_harvest

from lymphct.study.harvest_table import FINAL, at_pancreas

PAGE = Path(__file__).parents[1] / "docs" / "tumor-few.md"
TAUGHT = {"p1": 0.5, "p2": 0.7, "p3": 0.9}
COUNTS = {"drawn": 8, "harvested": 40, "chosen_by": 2, "test": 20}


def scores(gain: float) -> dict[str, dict[str, dict[str, float]]]:
    """Dice that differs much between patients and hardly in how much the harvest adds."""
    rng = np.random.default_rng(3)
    few = {f"p{n}": {"dice": float(d), "asd": 2.0, "hd": 9.0} for n, d in enumerate(rng.uniform(0, 0.8, 20))}
    after = {name: {**found, "dice": found["dice"] + gain} for name, found in few.items()}
    arms = {tumor_harvest.ALONE: few, FINAL: dict(reversed(after.items()))}
    return arms | {at_pancreas(name): {**found} for name, found in arms.items()}


@pytest.mark.parametrize(("gain", "word"), [(0.05, "yes"), (-0.05, "no")])
def test_the_difference_is_that_of_the_same_patients(gain: float, word: str) -> None:
    for of in (str, at_pancreas):
        assert tumor_harvest.difference(scores(gain), of) == pytest.approx((gain, gain, gain))
    text = tumor_harvest.told(scores(gain), COUNTS, TAUGHT)
    told = f"{gain:+.3f} ({gain:+.3f} to {gain:+.3f}; shown to be better: {word})"
    assert f"after the harvest − few alone: in the body {told}, at the pancreas {told}." in text
    assert "| few drawn masks alone | in the body | 20 of 20 | " in text
    assert "| few drawn masks alone | at the pancreas | 20 of 20 | " in text
    assert "teacher (arterial" not in text  # it was not scored
    assert "Dice of the 3 masks moved to the venous phase: median 0.70" in text


def test_patients_in_whom_nothing_is_found_count_for_dice_alone() -> None:
    found = scores(0.1)
    for values in list(found[FINAL].values())[:5]:
        values.update(dice=0.0, asd=float("nan"), hd=float("nan"))
    text = tumor_harvest.told(found, COUNTS, TAUGHT)
    assert "| after the harvest | in the body | 15 of 20 | " in text
    assert "| 9.000 (9.000 to 9.000) |" in text


def test_the_table_stands_between_the_marks_of_its_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    written = tumor_harvest.with_table(page, "| a |\n")
    assert "\n\n| a |\n\n" in written
    assert tumor_harvest.with_table(written, "| a |\n") == written
