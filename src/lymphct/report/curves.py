"""Pictures of an evaluation: ROC, FROC, calibration, decision, score per outcome (Sec. IV-E, Fig. 5)."""

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
from matplotlib import style, ticker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lymphct.evaluation.calibration import CalibrationCurve
from lymphct.evaluation.classification import RocCurve
from lymphct.evaluation.froc import Froc
from lymphct.evaluation.net_benefit import NetBenefit
from lymphct.evaluation.risk import RiskDistribution

SIZE: Final = (4.8, 4.0)
"""Inches."""
DOTS: Final = 160
"""Per inch: sharp on screens of twice the density."""
FROC_TICKS: Final = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Marked numbers of false positives per patient."""
BLUE, RED, GRAY, LIGHT = "#0b5cad", "#b42318", "#56616f", "#9fb8d3"


def roc_png(curves: Mapping[str, RocCurve]) -> bytes:
    """Draw ROC curves: the first bold, the others (such as centers) thin, each under its name."""

    def paint(axes: Any) -> None:  # noqa: ANN401 - matplotlib has no types to speak of
        axes.plot([0, 1], [0, 1], color=GRAY, lw=0.8, ls=":")
        for place, (name, curve) in enumerate(curves.items()):
            style = {"color": BLUE, "lw": 2.2} if not place else {"lw": 1.1}
            axes.plot(curve.false_positive_rate, curve.sensitivity, label=name, **style)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(loc="lower right", frameon=False)

    return _png(paint)


def froc_png(curves: Mapping[str, Froc]) -> bytes:
    """Draw FROC curves: the first bold, the others thin, each under its name.

    False positives per patient double from 1/8 on; below the scale is even, so that 0 is on it. A curve is a
    stair: between two points no threshold lies.
    """

    def paint(axes: Any) -> None:  # noqa: ANN401 - as above
        least, ticks = FROC_TICKS[1], [*FROC_TICKS]
        most = max((float(curve.false_positives.max(initial=0.0)) for curve in curves.values()), default=0.0)
        for place, (name, curve) in enumerate(curves.items()):
            line = {"color": BLUE, "lw": 2.2} if not place else {"color": f"C{place}", "lw": 1.1}
            false, found = np.append(0.0, curve.false_positives), np.append(0.0, curve.sensitivity)
            axes.step(false, found, where="post", label=name, **line)
        axes.set_xscale("symlog", base=2, linthresh=least, linscale=1.0)
        axes.set(xlabel="false positives per patient", ylabel="sensitivity", ylim=(-0.01, 1.01))
        axes.set_xlim(0.0, max(most * 1.05, ticks[-1]))
        axes.xaxis.set_major_locator(ticker.FixedLocator(ticks))
        axes.xaxis.set_major_formatter(lambda value, _: f"1/{1 / value:g}" if 0 < value < 1 else f"{value:g}")
        axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.legend(loc="lower right", frameon=False)

    return _png(paint)


def calibration_png(curve: CalibrationCurve) -> bytes:
    """Draw the smoothed calibration curve with its band beside the diagonal of perfect calibration."""

    def paint(axes: Any) -> None:  # noqa: ANN401 - as above
        axes.plot([0, 1], [0, 1], color=GRAY, lw=0.8, ls=":", label="perfect")
        known = np.isfinite(curve.low)
        axes.fill_between(
            curve.predicted[known], curve.low[known], curve.high[known], color=LIGHT, alpha=0.5, lw=0
        )
        axes.plot(curve.predicted, curve.observed, color=BLUE, lw=2.2, label="smoothed, 95 % band")
        axes.set(xlabel="predicted probability of N+", ylabel="observed share of N+")
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.legend(loc="upper left", frameon=False)

    return _png(paint)


def decision_png(curve: NetBenefit) -> bytes:
    """Draw the net benefit over the threshold, beside treating everybody and nobody."""

    def paint(axes: Any) -> None:  # noqa: ANN401 - as above
        axes.plot(curve.thresholds, curve.treat_all, color=GRAY, lw=1.2, label="treat all")
        axes.axhline(0, color=GRAY, lw=1.2, ls="--", label="treat none")
        axes.plot(curve.thresholds, curve.model, color=BLUE, lw=2.2, label="model")
        top = max(float(curve.model.max()), float(curve.treat_all.max()), 0.05)
        axes.set(
            xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1), ylim=(-0.3 * top, 1.1 * top)
        )
        axes.legend(loc="upper right", frameon=False)

    return _png(paint)


def risk_png(negatives: RiskDistribution, positives: RiskDistribution) -> bytes:
    """Draw the histograms of the score: N+ upwards, N- downwards."""

    def paint(axes: Any) -> None:  # noqa: ANN401 - as above
        edges, width = positives.edges, np.diff(positives.edges)
        axes.bar(edges[:-1], positives.counts, width, align="edge", color=RED, alpha=0.75, label="N+")
        axes.bar(edges[:-1], -negatives.counts, width, align="edge", color=BLUE, alpha=0.75, label="N-")
        axes.axhline(0, color=GRAY, lw=0.8)
        most = max(int(positives.counts.max()), int(negatives.counts.max()), 1)
        axes.set(
            xlabel="score", ylabel="patients", xlim=(edges[0], edges[-1]), ylim=(-1.15 * most, 1.15 * most)
        )
        axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        axes.legend(loc="upper right", frameon=False)

    return _png(paint)


def _png(paint: Callable[[Any], None]) -> bytes:
    """Return a picture without metadata, in matplotlib's own style whatever the user's is."""
    with style.context(["default", {"font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False}]):
        figure = Figure(figsize=SIZE, dpi=DOTS, layout="tight")
        FigureCanvasAgg(figure)
        paint(figure.add_subplot())
        content = BytesIO()
        figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()
