"""Figures of a paper as SVG and PNG: ROC of many methods (Fig. 5), attention over distance (Fig. 3)."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal

import numpy as np
from matplotlib import colormaps, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lymphct.attention.bands import Bands
from lymphct.attention.score import attention_score
from lymphct.evaluation.classification import RocCurve
from lymphct.report.curves import BLUE, GRAY, RED

COLORS: Final = colormaps["tab10"]
DOTS: Final = 200
"""Per inch of the PNG."""
_STYLE: Final = {
    "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "lymphct",
    "svg.fonttype": "none",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure.

    Attributes:
        name: of its files, such as `figure_5a`.
        caption: what it shows.
        svg: as lines and text.
        png: as dots.

    """

    name: str
    caption: str
    svg: bytes
    png: bytes

    def forms(self) -> dict[str, bytes]:
        """Return the files of the figure by name."""
        return {f"{self.name}.svg": self.svg, f"{self.name}.png": self.png}


def roc_drawing(name: str, caption: str, curves: Mapping[str, tuple[RocCurve, str]]) -> Drawing:
    """Draw the ROC curves of methods, the last bold; the legend has what is said of each (Fig. 5).

    Args:
        name: of the files.
        caption: what it shows.
        curves: title → curve, and a text such as `AUC 0.68 (n = 749)`.

    """

    def paint(axes: Any) -> None:  # noqa: ANN401 - matplotlib has no types to speak of
        axes.plot([0, 1], [0, 1], color=GRAY, lw=0.8, ls=":")
        for place, (title, (curve, said)) in enumerate(curves.items()):
            is_last = place == len(curves) - 1
            look = {"color": BLUE, "lw": 2.4} if is_last else {"color": COLORS((place + 1) % 10), "lw": 1.2}
            axes.plot(curve.false_positive_rate, curve.sensitivity, label=f"{title}: {said}", **look)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_aspect("equal")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=8.5)

    return drawing(name, caption, paint, (7.6, 4.2))


def attention_drawing(bands: Bands, border: float, title: str = "") -> Drawing:
    """Draw attention over the signed distance to each structure (Fig. 3).

    Args:
        bands: of the structures.
        border: mm over which the attention falls to 0.
        title: whose bands they are, such as of which fold.

    """
    reach = [edge for band in bands.values() for edge in (band.d_min - border, band.d_max + border)]
    distance = np.linspace(min(reach) - 3, max(reach) + 3, 601, dtype=np.float32)
    caption = "Attention over the signed distance to each structure" + (f", {title}" if title else "")

    def paint(axes: Any) -> None:  # noqa: ANN401 - as above
        for place, (structure, band) in enumerate(bands.items()):
            score = attention_score(distance, band, border=border)
            axes.plot(distance, score, color=COLORS(place % 10), lw=1.4, label=structure.title)
        axes.axvline(0, color=GRAY, lw=0.8, ls=":")
        axes.set(xlabel="signed distance, mm (negative inside)", ylabel="attention", ylim=(-0.02, 1.05))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=8.5)

    return drawing("figure_3", caption, paint, (7.6, 3.6))


def bands_drawing(fitted: Sequence[Bands], paper: Bands, border: float) -> Drawing:
    """Draw the attention of fitted bands, a picture for each structure, beside that of the paper (Fig. 3).

    Args:
        fitted: bands of each cascade; a structure may be missing in some.
        paper: those of Tab. II.
        border: mm over which the attention falls to 0.

    """
    shown = [structure for structure in paper if any(structure in bands for bands in fitted)]
    every = [*(bands[s] for bands in fitted for s in shown if s in bands), *(paper[s] for s in shown)]
    low, high = (min(band.d_min for band in every) - border, max(band.d_max for band in every) + border)
    distance = np.linspace(low - 3, high + 3, 601, dtype=np.float32)
    columns = 5
    rows = -(-len(shown) // columns)

    def paint(figure: Any) -> None:  # noqa: ANN401 - as above
        every = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(every.flat):
            if place >= len(shown):
                axes.set_axis_off()
                continue
            structure = shown[place]
            scores = [
                attention_score(distance, bands[structure], border=border)
                for bands in fitted
                if structure in bands
            ]
            axes.fill_between(
                distance, np.min(scores, axis=0), np.max(scores, axis=0), color=BLUE, alpha=0.22, lw=0,
                label="range",
            )  # fmt: skip
            axes.plot(distance, np.median(scores, axis=0), color=BLUE, lw=1.5, label="fitted, median")
            axes.plot(
                distance, attention_score(distance, paper[structure], border=border), color=RED, lw=1.1,
                ls="--", label="Tab. II",
            )  # fmt: skip
            axes.axvline(0, color=GRAY, lw=0.8, ls=":")
            axes.set_title("\n".join(textwrap.wrap(structure.title, 24)), fontsize=8.5)
            axes.set(ylim=(-0.03, 1.08), yticks=[0, 0.5, 1])
        figure.supxlabel("signed distance, mm (negative inside)", fontsize=9.5)
        figure.supylabel("attention", fontsize=9.5)
        lines, names = every.flat[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside upper center", ncols=3, frameon=False, fontsize=8.5)

    caption = f"Attention of the bands fitted in {len(fitted)} cascades, beside Tab. II"
    return figure_drawing("figure_3_fitted", caption, paint, (9.6, 1.9 * rows + 0.8), layout="constrained")


def drawing(name: str, caption: str, paint: Callable[[Any], None], size: tuple[float, float]) -> Drawing:
    """Return a figure without dates, in matplotlib's own style whatever the user's is.

    Args:
        name: of the files.
        caption: what it shows.
        paint: draws onto axes.
        size: inches.

    """
    return figure_drawing(name, caption, lambda figure: paint(figure.add_subplot()), size)


def figure_drawing(
    name: str,
    caption: str,
    paint: Callable[[Any], None],
    size: tuple[float, float],
    layout: Literal["tight", "constrained"] | None = "tight",
) -> Drawing:
    """Return a figure of any number of axes without dates, in matplotlib's own style.

    Args:
        name: of the files.
        caption: what it shows.
        paint: draws onto the figure.
        size: inches.
        layout: who places the axes; None where they are placed already.

    """
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=size, dpi=DOTS, layout=layout)
        FigureCanvasAgg(figure)
        paint(figure)
        forms = {}
        for form, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            content = BytesIO()
            figure.savefig(content, format=form, metadata=metadata)
            forms[form] = content.getvalue()
    return Drawing(name=name, caption=caption, **forms)
