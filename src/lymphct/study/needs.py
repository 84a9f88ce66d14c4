"""What each stage must find in the parts of a split: masks, lymph nodes and patients of both classes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from lymphct.core.errors import InputError
from lymphct.core.terms import NodeClass, StageName
from lymphct.evaluation.guarantees import Need, unmet
from lymphct.io.manifest import PatientRecord
from lymphct.study.sources import DRAWN, MaskSources

DrawnNodes = Mapping[str, Sequence[NodeClass | None]]
"""Class of each drawn lymph node, by patient; None where nobody said one."""

StageNeeds = Mapping[StageName, Sequence[Need]]
"""What each stage needs of the parts; stages that come first are given their patients first."""


class Placed(Protocol):
    """A patient's place in a run."""

    @property
    def part(self) -> str:
        """Name of the part."""


_CASCADE_PARTS: Final = ("train", "validation")
_FUSION_PARTS: Final = ("fusion_train", "fusion_validation")


def parts_needs(
    records: Sequence[PatientRecord], drawn: DrawnNodes | None = None, sources: MaskSources = DRAWN
) -> StageNeeds:
    """Return what the stages need in each of their parts: patients to learn from, and patients who choose.

    Args:
        records: patients who take part.
        drawn: known when the patients are prepared; without it identification is not judged, and a nodes
            mask counts whether or not it has nodes.
        sources: whose masks guide stage 1; nobody needs drawn structures where the network draws them.

    """
    is_drawn = sources.structures == "given"
    nodes_word = "guided_nodes" if is_drawn else "nodes"

    def needs(parts: Sequence[str], **kinds: Callable[[PatientRecord], bool]) -> list[Need]:
        return [
            Need(part=part, what=_WORDS[kind], holders=frozenset(r.patient_id for r in records if has(r)))
            for kind, has in kinds.items()
            for part in parts
        ]

    def has_nodes(record: PatientRecord) -> bool:
        is_empty = drawn is not None and not drawn[record.patient_id]
        return record.nodes is not None and not (is_drawn and record.structures is None) and not is_empty

    found = {
        StageName.STRUCTURES: needs(_CASCADE_PARTS, structures=lambda r: r.structures is not None),
        StageName.TUMOR: needs(_CASCADE_PARTS, tumor=lambda r: r.tumor is not None),
        StageName.NODES: needs(_CASCADE_PARTS, **{nodes_word: has_nodes}),
        StageName.METASTASIS: needs(
            _FUSION_PARTS, n_plus=lambda r: r.n_status == 1, n_minus=lambda r: r.n_status == 0
        ),
    }
    if drawn is not None:
        found[StageName.IDENTIFICATION] = needs(
            _CASCADE_PARTS,
            positive=lambda r: NodeClass.POSITIVE in drawn[r.patient_id],
            negative=lambda r: NodeClass.NEGATIVE in drawn[r.patient_id],
        )
    return found


_WORDS: Final = {
    "structures": "a patient with a structures mask",
    "tumor": "a patient with a tumor mask",
    "guided_nodes": "a patient with structures and drawn lymph nodes",
    "nodes": "a patient with drawn lymph nodes",
    "n_plus": "an N+ patient",
    "n_minus": "an N- patient",
    "positive": "a patient with a positive lymph node",
    "negative": "a patient with a negative lymph node",
}


def rare_masks(records: Sequence[PatientRecord]) -> tuple[frozenset[str], ...]:
    """Return who has each kind of mask that not everybody has: the cascade alone learns from masks."""
    groups = [
        frozenset(record.patient_id for record in records if mask in record.paths)
        for mask in ("structures", "tumor", "nodes")
    ]
    return tuple(group for group in groups if 0 < len(group) < len(records))


def require_needs(split: Mapping[str, Placed], needs: StageNeeds, stages: Sequence[StageName]) -> None:
    """Refuse a split in which a part lacks what a stage that will be trained needs.

    Raises:
        InputError: that is so; says per stage how many of whom each of its parts holds.

    """
    parts: dict[str, list[str]] = {part: [] for part in (*_CASCADE_PARTS, *_FUSION_PARTS)}
    for name, place in split.items():
        parts[place.part].append(name)
    told = []
    for stage in (stage for stage in needs if stage in stages):
        lacking = {need.what for need in unmet(parts, needs[stage])}
        for what in dict.fromkeys(need.what for need in needs[stage] if need.what in lacking):
            of_kind = [need for need in needs[stage] if need.what == what]
            held = Counter({need.part: len(need.holders.intersection(parts[need.part])) for need in of_kind})
            counts = " and ".join(f"{part} (has {held[part]})" for part in held)
            told.append(f"stage {stage} needs {what} in {counts}; the cohort has {len(of_kind[0].holders)}")
    if told:
        msg = "; ".join(told)
        cure = "add such patients or labels, or train other stages with --init"
        raise InputError(msg, code="E_CLASSES", cure=cure)
