"""Published statistics of others, reproduced on their data; masks are in tests/cli (the marker `data`)."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from lymphct.core.arrays import AnyArray
from lymphct.evaluation.statistics import delong
from lymphct.evaluation.status import StatusColumns, status_figures

DATA = Path(os.environ.get("LYMPHCT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no reference data at {DATA}: set LYMPHCT_DATA"),
]


def expected(folder: str, name: str) -> Any:
    return json.loads((DATA / folder / name).read_text())


def iris() -> tuple[AnyArray, AnyArray]:
    """Labels and probabilities of the published recipe."""
    data = load_iris()
    x_train, x_test, y_train, y_test = train_test_split(
        data.data, (data.target == 1).astype(int), test_size=0.8, random_state=42
    )
    model = LogisticRegression(solver="lbfgs").fit(x_train, y_train)
    return (y_test, model.predict_proba(x_test)[:, 1])


def test_delongs_variance_on_iris_is_the_published_one() -> None:
    reference = expected("open_delong_iris", "expected.json")["delong_variance_of_auc"]
    assert delong(*iris()).variance == pytest.approx(reference, rel=1e-3)


def test_the_interval_of_a_status_rests_on_the_published_variance() -> None:
    reference = expected("open_delong_iris", "expected.json")["delong_variance_of_auc"]
    labels, risks = iris()
    group = StatusColumns(labels, risks, (risks >= 0.5).astype(float))
    found = status_figures(group, np.random.default_rng(0), as_probabilities=True, n=20).discrimination
    assert found is not None
    assert found.delong is not None
    low, high = found.delong.interval
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(reference), rel=1e-3)
