"""The ways to ask `lymphct crossval` for a study, and what each trains and examines (decision 0048)."""

from dataclasses import dataclass
from typing import Final

OUTER, INNER = 5, 5
"""Folds of the nested cross-validation (Sec. IV-A)."""
GIVEABLE: Final = ("structures", "tumor")
"""Stages whose masks `crossval --given` takes from the manifest."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """A nested cross-validation, as the options of `lymphct crossval` ask for it.

    Attributes:
        options: as they are typed.
        inner: inner folds; 0 for `--features paper`, one cascade a fold.
        is_given: whether structures and tumor come from the manifest.
        variants: cascades side by side: 2 with the method `nodes_without_attention`, which has its own.
        methods: that train a status network.

    """

    options: str
    inner: int = INNER
    is_given: bool = False
    variants: int = 1
    methods: int = 1

    @property
    def cascades(self) -> int:
        """Folds in which cascades are trained."""
        return OUTER * max(self.inner, 1)

    @property
    def runs(self) -> dict[str, int]:
        """Trainings of each stage: structures and tumor are shared by variants, never by folds."""
        shared = {} if self.is_given else dict.fromkeys(GIVEABLE, self.cascades)
        own = dict.fromkeys(("nodes", "identification"), self.cascades * self.variants)
        return {**shared, **own, "metastasis": OUTER * self.methods}

    def examined(self, patients: int) -> int:
        """Return how many examinations there are.

        Training and validation patients once a fold, by the cascade that never saw them (in-sample: by the
        only one); test patients by all cascades of the fold.
        """
        test = patients / OUTER
        return round(OUTER * self.variants * ((patients - test) + max(self.inner, 1) * test))


OF_PATCHES: Final = 5
"""Methods that train a network of the tumor patches: combined, tumor, resnet2d, deepten, permuted_labels."""
WHOLE: Final = Design(options="--inner 5 --methods combined")
DESIGNS: Final = (
    Design(options="--inner 5 --given structures,tumor --methods combined", is_given=True),
    Design(options="--inner 2 --given structures,tumor --methods combined", is_given=True, inner=2),
    Design(options="--features paper --given structures,tumor --methods combined", is_given=True, inner=0),
    WHOLE,
    Design(options="--inner 5, every method", variants=2, methods=OF_PATCHES),
)
"""Rows of the table of `docs/study.md`."""
BEGIN, END = "<!-- costs:begin -->", "<!-- costs:end -->"


def with_costs(page: str, table: str) -> str:
    """Return a page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}"
