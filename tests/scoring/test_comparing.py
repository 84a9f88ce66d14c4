"""Methods compared through their files: alignment, refusals, and what stands beside each comparison."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lymphct.core.errors import InputError, UsageError
from lymphct.evaluation.calibration import calibration
from lymphct.evaluation.claims import agreement, false_claim
from lymphct.evaluation.classification import balanced_accuracy
from lymphct.evaluation.crossvalidated import OutOfFold, crossvalidated_auc, crossvalidated_difference
from lymphct.evaluation.net_benefit import net_benefit
from lymphct.evaluation.paired_tests import PAPER_WILCOXON_WARNING
from lymphct.evaluation.statistics import delong, holm, mcnemar
from lymphct.scoring.comparing import CompareRequest, compare_files

N = 60
LABELS = (np.arange(N) % 2).astype(int)
QUICK = CompareRequest(resamples=60)


def scores(seed: int, strength: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=N) + strength * LABELS


def write(folder: Path, name: str, values: Any, **changes: Any) -> Path:
    """Write a method's table; `order` shuffles its lines, `lines` changes them by patient."""
    lines = {
        f"p{row:02d}": [f"p{row:02d}", LABELS[row], values[row], int(values[row] > 0.5)] for row in range(N)
    }
    changes.get("change", lambda _: None)(lines)
    names = list(lines)[:: changes.get("order", 1)]
    text = "".join(",".join(map(str, lines[name])) + "\n" for name in names)
    (folder / f"{name}.csv").write_text("patient_id,label,score,call\n" + text)
    return folder / f"{name}.csv"


def test_the_first_method_is_compared_with_each_other_on_aligned_patients(tmp_path: Path) -> None:
    ours, weak, fair = scores(1, 2.0), scores(2, 0.2), scores(3, 1.5)
    paths = [
        write(tmp_path, "ours", ours),
        write(tmp_path, "weak", weak, order=-1),
        write(tmp_path, "fair", fair),
    ]
    record: Any = compare_files(paths, QUICK, tmp_path / "result.json")
    assert record == json.loads((tmp_path / "result.json").read_text())
    assert record["schema"] == "lymphct-compare-1"
    assert [(pair["first"], pair["second"]) for pair in record["comparisons"]] == [
        ("ours", "weak"), ("ours", "fair"),
    ]  # fmt: skip
    expected = [delong(LABELS, ours, other) for other in (weak, fair)]
    found = [pair["scores"] for pair in record["comparisons"]]
    assert [pair["delong_p"] for pair in found] == pytest.approx([test.p for test in expected])
    assert [pair["delong_p_holm"] for pair in found] == pytest.approx(holm([test.p for test in expected]))
    assert found[0]["difference"] == pytest.approx(expected[0].difference)
    assert found[0]["permutation_p"] < 0.05
    calls = record["comparisons"][0]["calls"]
    exact = mcnemar(LABELS, ours > 0.5, weak > 0.5)
    assert (calls["mcnemar"]["only_first_right"], calls["mcnemar"]["only_second_right"]) == (
        exact.only_first, exact.only_second,
    )  # fmt: skip
    claim = false_claim(*agreement(LABELS, ours > 0.5, weak > 0.5))
    assert calls["claimed_better"] == "ours"
    assert calls["probability_of_false_claim"] == claim.probability
    assert calls["paper_wilcoxon"]["warning"] == PAPER_WILCOXON_WARNING
    assert record["methods"]["ours"]["auc"]["estimate"] == pytest.approx(expected[0].auc)


def test_all_pairs_are_compared_and_corrected_together(tmp_path: Path) -> None:
    methods = {"a": scores(1, 2.0), "b": scores(2, 0.2), "c": scores(3, 1.5)}
    paths = [write(tmp_path, name, values) for name, values in methods.items()]
    record: Any = compare_files(paths, CompareRequest(all_pairs=True, resamples=40))
    pairs = [(pair["first"], pair["second"]) for pair in record["comparisons"]]
    assert pairs == [("a", "b"), ("a", "c"), ("b", "c")]
    p = [delong(LABELS, methods[first], methods[second]).p for first, second in pairs]
    assert [pair["scores"]["delong_p_holm"] for pair in record["comparisons"]] == pytest.approx(holm(p))
    assert record["comparisons"][2]["calls"]["claimed_better"] == "c"


def test_patients_without_a_score_are_left_out_everywhere_and_listed(tmp_path: Path) -> None:
    ours, other = scores(1, 2.0), scores(2, 0.2)

    def withhold(lines: dict[str, list[Any]]) -> None:
        lines["p04"][2] = lines["p05"][2] = lines["p05"][3] = ""

    paths = [write(tmp_path, "ours", ours), write(tmp_path, "other", other, change=withhold)]
    record: Any = compare_files(paths, QUICK)
    assert record["without_score"] == {"ours": [], "other": ["p04", "p05"]}
    assert record["without_call"] == {"ours": [], "other": ["p05"]}
    assert (record["compared_by_score"], record["compared_by_call"]) == (58, 59)
    kept = np.delete(np.arange(N), [4, 5])
    expected = delong(LABELS[kept], ours[kept], other[kept])
    assert record["comparisons"][0]["scores"]["difference"] == pytest.approx(expected.difference)
    assert record["methods"]["ours"]["auc"]["estimate"] == pytest.approx(expected.auc)


def test_a_method_of_calls_alone_is_compared_by_its_calls(tmp_path: Path) -> None:
    def call_only(lines: dict[str, list[Any]]) -> None:
        for line in lines.values():
            line[2] = ""

    paths = [
        write(tmp_path, "ours", scores(1, 2.0)),
        write(tmp_path, "reported", scores(2, 1.0), change=call_only),
        write(tmp_path, "third", scores(3, 1.0)),
    ]
    record: Any = compare_files(paths, QUICK)
    assert record["comparisons"][0]["scores"] is None
    assert record["comparisons"][0]["calls"] is not None
    assert record["comparisons"][1]["scores"] is not None
    assert record["methods"]["reported"]["auc"] is None
    assert record["compared_by_score"] == N
    only: Any = compare_files([*paths[1:2], write(tmp_path, "x", scores(4, 1), change=call_only)], QUICK)
    assert only["compared_by_score"] == 0
    assert only["comparisons"][0]["calls"] is not None


def test_different_patients_are_refused_naming_who_is_missing_where(tmp_path: Path) -> None:
    def without(*names: str) -> Any:
        return lambda lines: [lines.pop(name) for name in names]

    paths = [
        write(tmp_path, "a", scores(1, 1), change=without("p03")),
        write(tmp_path, "b", scores(2, 1), change=without("p07", "p08")),
        write(tmp_path, "c", scores(3, 1)),
    ]
    with pytest.raises(InputError) as refused:
        compare_files(paths, QUICK, tmp_path / "result.json")
    assert "different patients (a lacks 1: p03; b lacks 2: p07, p08)" in str(refused.value)
    assert refused.value.exit_code == 3
    assert not (tmp_path / "result.json").exists()


def test_different_labels_are_refused_naming_the_patients(tmp_path: Path) -> None:
    def flip(lines: dict[str, list[Any]]) -> None:
        lines["p06"][1] = 1 - lines["p06"][1]

    paths = [write(tmp_path, "a", scores(1, 1)), write(tmp_path, "b", scores(2, 1), change=flip)]
    with pytest.raises(InputError, match="a and b have different labels for 1 patients: p06"):
        compare_files(paths, QUICK)


def test_one_class_or_too_few_of_one_is_refused(tmp_path: Path) -> None:
    def all_positive(lines: dict[str, list[Any]]) -> None:
        for line in lines.values():
            line[1] = 1

    def hardly_scored(lines: dict[str, list[Any]]) -> None:
        for place, line in enumerate(lines.values()):
            line[2] = line[2] if place < 3 else ""

    paths = [write(tmp_path, name, scores(1, 1), change=all_positive) for name in "ab"]
    with pytest.raises(InputError, match="all 60 patients have the label 1"):
        compare_files(paths, QUICK)
    paths = [write(tmp_path, "a", scores(1, 1)), write(tmp_path, "b", scores(2, 1), change=hardly_scored)]
    with pytest.raises(InputError, match="1 positives and 2 negatives have a score in every table"):
        compare_files(paths, QUICK)


def test_one_table_or_two_of_one_name_are_no_comparison(tmp_path: Path) -> None:
    path = write(tmp_path, "a", scores(1, 1))
    with pytest.raises(UsageError, match="one table cannot be compared"):
        compare_files([path], QUICK)
    (tmp_path / "x").mkdir()
    with pytest.raises(UsageError, match="two tables are called 'a'"):
        compare_files([path, write(tmp_path / "x", "a", scores(2, 1))], QUICK)


def test_the_same_seed_gives_the_same_record(tmp_path: Path) -> None:
    paths = [write(tmp_path, "a", scores(1, 1)), write(tmp_path, "b", scores(2, 1))]
    assert compare_files(paths, QUICK) == compare_files(paths, QUICK)
    other = CompareRequest(resamples=60, seed=5)
    assert compare_files(paths, QUICK)["comparisons"] != compare_files(paths, other)["comparisons"]


FOLDS = np.arange(N) // 2 % 3
"""Twenty patients a fold, ten of each class."""


def with_folds(folds: Any = FOLDS) -> Any:
    """Return a change of the lines that adds a fold; `write` gives it a heading of its own."""

    def change(lines: dict[str, list[Any]]) -> None:
        for line, fold in zip(lines.values(), folds, strict=True):
            line.append(fold)

    return change


def write_folds(folder: Path, name: str, values: Any, folds: Any = FOLDS) -> Path:
    path = write(folder, name, values, change=with_folds(folds))
    path.write_text(path.read_text().replace("score,call\n", "score,call,fold\n"))
    return path


def test_with_folds_the_auc_is_also_averaged_over_them(tmp_path: Path) -> None:
    ours, weak, fair = scores(1, 2.0), scores(2, 0.2), scores(3, 1.5)
    paths = [
        write_folds(tmp_path, "ours", ours + 10 * FOLDS),  # scales of its own in each fold
        write_folds(tmp_path, "weak", weak),
        write(tmp_path, "fair", fair),  # without folds: it shares those of the others
    ]
    record: Any = compare_files(paths, QUICK)
    assert record["folds"] == {"patients": {"0": 20, "1": 20, "2": 20}, "used": True, "why_not": None}
    assert record["folds_note"].startswith("crossvalidated: mean of the folds' AUC")
    tested = {
        name: OutOfFold(LABELS, FOLDS, values)
        for name, values in {"ours": ours, "weak": weak, "fair": fair}.items()
    }
    own = record["methods"]["ours"]["crossvalidated"]
    expected = crossvalidated_auc(tested["ours"])
    assert (own["estimate"], own["low"]) == pytest.approx((expected.mean, expected.interval[0]))
    assert [fold["auc"] for fold in own["folds"]] == pytest.approx([fold.auc for fold in expected.folds])
    assert own["folds"][0] == {"fold": "0", "patients": 20, "positives": 10, "auc": own["folds"][0]["auc"]}
    # Pooled, the scales of the folds hide what the method can do.
    assert record["methods"]["ours"]["auc"]["estimate"] == pytest.approx(own["pooled"])
    assert own["pooled"] < own["estimate"] - 0.1
    tests = [crossvalidated_difference(tested["ours"], tested[name]) for name in ("weak", "fair")]
    found = [pair["scores"]["crossvalidated"] for pair in record["comparisons"]]
    assert [pair["difference"] for pair in found] == pytest.approx([test.difference for test in tests])
    assert [pair["p_holm"] for pair in found] == pytest.approx(holm([test.p for test in tests]))
    assert found[0]["by_fold"] == pytest.approx(tests[0].by_fold)
    calls = [balanced_accuracy(LABELS[f == FOLDS], (weak > 0.5)[f == FOLDS]) for f in range(3)]
    over_folds = record["methods"]["weak"]["classification_over_folds"]
    assert over_folds["balanced_accuracy"] == pytest.approx(np.mean(calls))


def test_without_folds_nothing_is_said_of_them(tmp_path: Path) -> None:
    record: Any = compare_files(
        [write(tmp_path, "a", scores(1, 1)), write(tmp_path, "b", scores(2, 1))], QUICK
    )
    assert record["folds"] is record["folds_note"] is None
    assert record["methods"]["a"]["crossvalidated"] is None
    assert record["methods"]["a"]["classification_over_folds"] is None
    assert record["comparisons"][0]["scores"]["crossvalidated"] is None


def test_folds_of_one_class_are_not_used_and_it_is_said_why(tmp_path: Path) -> None:
    folds = np.where(np.arange(N) < 2, "small", "large")
    paths = [write_folds(tmp_path, name, scores(seed, 1), folds) for seed, name in enumerate("ab")]
    record: Any = compare_files(paths, QUICK)
    assert record["folds"]["used"] is False
    assert record["folds"]["why_not"] == "fold small tests 1 N+ and 1 N-, two of each are needed"
    assert record["folds_note"] is None
    assert record["methods"]["a"]["crossvalidated"] is None
    assert record["comparisons"][0]["scores"]["delong_p"] is not None


def test_different_folds_or_a_blank_one_are_refused(tmp_path: Path) -> None:
    first = write_folds(tmp_path, "a", scores(1, 1))
    with pytest.raises(InputError, match="a and b tested 60 patients in different folds") as refused:
        compare_files([first, write_folds(tmp_path, "b", scores(2, 1), FOLDS + 1)], QUICK)
    assert refused.value.code == "E_FOLDS"
    blank = ["" if row == 4 else str(fold) for row, fold in enumerate(FOLDS)]
    with pytest.raises(InputError, match=r"p04: b\.csv: line 6: the fold is blank"):
        compare_files([first, write_folds(tmp_path, "b", scores(2, 1), blank)], QUICK)


def test_the_four_measures_of_the_risk_come_before_the_calls(tmp_path: Path) -> None:
    probabilities, volumes = 1 / (1 + np.exp(-scores(1, 2.0))), 100 * np.exp(scores(2, 1.0))
    paths = [write(tmp_path, "ours", probabilities), write(tmp_path, "volume", volumes)]
    record: Any = compare_files(paths, QUICK)
    ours, volume = record["methods"]["ours"], record["methods"]["volume"]
    keys = list(ours)
    assert keys.index("classification") > max(map(keys.index, ("auc", "calibration", "net_benefit", "risk")))
    assert (ours["delong"]["low"], ours["delong"]["high"]) == delong(LABELS, probabilities).interval
    curve = ours["calibration_curve"]
    assert len(curve["predicted"]) == len(curve["low"]) == len(curve["high"]) == 51
    known = [(low, high) for low, high in zip(curve["low"], curve["high"], strict=True) if low is not None]
    assert known
    assert all(low <= high for low, high in known)
    assert ours["calibration"]["slope"] == pytest.approx(calibration(LABELS, probabilities).slope)
    assert ours["net_benefit"]["model"] == net_benefit(LABELS, probabilities).model.tolist()
    # A volume is no probability: its distribution is told, calibration and net benefit are not.
    assert volume["calibration"] is volume["calibration_curve"] is volume["net_benefit"] is None
    assert volume["risk"]["N+"]["mean"] == pytest.approx(volumes[LABELS == 1].mean())
