"""What each stage would learn from, counted from the manifest: who has its labels, and of which class."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import InputError
from lymphct.core.leakage import Roles
from lymphct.core.patient import Notice
from lymphct.core.terms import NodeClass, StageName
from lymphct.io.manifest import PatientRecord
from lymphct.patients.foresight.inventory import UNKNOWN_CLASS, node_classes, status_counts
from lymphct.patients.foresight.outlook import Lesson, Share
from lymphct.study.needs import DrawnNodes
from lymphct.study.sources import DRAWN, MaskSources

_CASCADE_PARTS: Final = ("train", "validation")
TOLD_APART: Final = ("positive", "negative")
"""Classes that the last two stages need both of."""

UNCOUNTED: Final = "not_counted"
"""Patients whose nodes are in a class map, which says the class of each."""


def _has_classes(record: PatientRecord) -> bool:
    classes = node_classes(record)
    return classes is None or any(name in classes for name in TOLD_APART)


HAS: Final[Mapping[StageName, Callable[[PatientRecord], bool]]] = {
    StageName.STRUCTURES: lambda record: record.structures is not None,
    StageName.TUMOR: lambda record: record.tumor is not None,
    StageName.NODES: lambda record: record.nodes is not None,
    StageName.IDENTIFICATION: lambda record: record.nodes is not None and _has_classes(record),
    StageName.METASTASIS: lambda record: record.n_status is not None,
}
"""Whether a patient has what a stage learns from, as far as the manifest tells; stage 1 needs structures
besides where drawn ones guide it."""


def foreseen_nodes(records: Sequence[PatientRecord]) -> DrawnNodes:
    """Return the classes of the drawn nodes, each once, without opening an image.

    A class map may hold nodes of either class: whoever has one is not in the way of a split.
    """
    by_name = {node_class.label: node_class for node_class in NodeClass}
    found: dict[str, tuple[NodeClass | None, ...]] = {}
    for record in records:
        classes = node_classes(record)
        found[record.patient_id] = tuple(by_name.get(n) for n in (TOLD_APART if classes is None else classes))
    return found


def shares(parts: Mapping[str, Sequence[str]], records: Mapping[str, PatientRecord]) -> tuple[Share, ...]:
    """Count the patients of each part of a split."""
    return tuple(Share.of(name, [records[patient] for patient in ids]) for name, ids in parts.items())


def lesson(  # noqa: PLR0913 - the last names its role
    stage: StageName,
    roles: Roles,
    records: Mapping[str, PatientRecord],
    config: Config,
    sources: MaskSources = DRAWN,
    *,
    is_taught: bool = False,
) -> Lesson:
    """Return what one stage would learn from.

    Args:
        stage: which.
        roles: who teaches and who chooses.
        records: of everybody with a role, by id.
        config: settings.
        sources: whose masks guide stage 1.
        is_taught: whether the masks of a teacher stand for drawn ones in training patients.

    """
    row, is_nodes = STAGES[stage], stage is StageName.NODES
    needs_structures = is_nodes and sources.structures == "given"

    def has(record: PatientRecord) -> bool:
        return HAS[stage](record) and not (needs_structures and record.structures is None)

    train = [records[name] for name in roles.train if is_taught or has(records[name])]
    training = row.settings_in(config).training  # type: ignore[attr-defined] # every stage has a training
    return Lesson(
        stage=stage,
        learns_from="a nodes mask" if is_nodes and not needs_structures else row.learns_from,
        train=len(train),
        validation=sum(has(records[name]) for name in roles.validation),
        classes=_classes(stage, train),
        epochs=training.epochs,
        iterations=training.iterations_per_epoch,
        guided_by=sources.words if is_nodes else "",
        # A number of the nodes that is learned is learned without each training patient once (decision 0060).
        least=2 if stage is StageName.METASTASIS and config.metastasis.learned_number else 1,
    )


def share_notices(parts: Sequence[Share]) -> Iterator[Notice]:
    """Yield the parts in which N status is told apart and that lack patients of one class."""
    for part in parts:
        if part.name in _CASCADE_PARTS:  # its stages do not look at N status
            continue
        lacking = [name for name in TOLD_APART if not part.n_status[name]]
        if lacking:
            words = " and no ".join({"positive": "N+", "negative": "N-"}[name] for name in lacking)
            yield Notice(code="one_class", text=f"part {part.name} has no {words} patient", value=part.name)


def phase_notices(records: Sequence[PatientRecord], config: Config) -> Iterator[Notice]:
    """Yield how many have no arterial phase where the networks do not learn to go without (decision 0012).

    The cascade shows them as a flat image; the status network leaves them out, as `predict` would.
    """
    venous_alone = [record for record in records if record.arterial is None]
    if venous_alone and not config.nodes.sampling.phase_dropout:
        text = (
            f"{len(venous_alone)} of {len(records)} patients have no arterial phase and phase_dropout is 0: "
            "the bundle will refuse such patients, and the status network leaves them out"
        )
        yield Notice(code="no_arterial", text=text, value=len(venous_alone))


def _classes(stage: StageName, records: Sequence[PatientRecord]) -> dict[str, int]:
    if stage is StageName.METASTASIS:
        counts = status_counts(records)
        return {name: counts[name] for name in TOLD_APART}
    if stage is not StageName.IDENTIFICATION:
        return {}
    nodes: Counter[str] = Counter(dict.fromkeys(TOLD_APART, 0))
    for record in records:
        classes = node_classes(record)
        nodes.update({UNCOUNTED: 1} if classes is None else classes)
    del nodes[UNKNOWN_CLASS]
    return dict(nodes)


def lesson_refusals(found: Lesson) -> Iterator[InputError]:
    """Yield why a stage cannot be trained: nobody to learn from, or a class that nobody shows."""
    if not found.train:
        msg = f"no training patient has {found.learns_from}, which stage {found.stage} learns from"
        cure = "fill the columns of the manifest"
        if found.stage is StageName.IDENTIFICATION:
            cure = (
                "say positive or negative of each node in the JSON file beside its mask; nodes without a "
                "class, as in public data, teach stage 1 alone"
            )
        yield InputError(msg, code="E_NO_LABELS", cure=cure)
        return
    if found.classes and UNCOUNTED not in found.classes:
        what = "patient" if found.stage is StageName.METASTASIS else "node"
        for name in TOLD_APART:
            if found.classes[name] < found.least:
                word = {"positive": "N+", "negative": "N-"}[name] if what == "patient" else name
                few = f"one {word} {what} alone" if found.classes[name] else f"no {word} {what}"
                msg = f"stage {found.stage} has {few} among {found.train} training patients"
                yield InputError(msg, code="E_CLASSES", cure="add patients of that class, or another --seed")


def lesson_notices(found: Lesson) -> Iterator[Notice]:
    """Yield what the user should know of a stage that can be trained."""
    if found.train and not found.validation:
        text = (
            f"stage {found.stage} has no validation patient with {found.learns_from}: "
            "its last epoch counts and nothing is chosen"
        )
        yield Notice(code="no_validation", text=text, value=found.stage.value)
