"""The tasks of a nested cross-validation and what each waits for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from lymphct.core.terms import StageName
from lymphct.io.results.jsonfile import JSON
from lymphct.study.nested.plan import COHORT, CascadeRole, NestedPlan, cascades_of
from lymphct.study.nested.variants import ATTENTION
from lymphct.study.tasks.graph import Graph, Task

CHUNKS: Final = 40
"""Tasks that prepare a cohort, at most: a program that starts for each patient would cost more."""
LEAST: Final = 5
"""Patients in such a task, at least."""

PREDICTIONS: Final = "predictions"
TABLES: Final = "tables"
MASKS: Final = "masks"
REPORT: Final = "report"
"""Ids of the last tasks."""
VOLUMES: Final = "volumes"
"""Id of the task that measures the drawn lymph nodes for Tab. I."""

NOTHING: Final = "nothing"
"""Stands for the cascade of methods that need none."""

Variants = Mapping[str, str]
"""Short name of each method → the cascade whose evidence it judges."""


def nested_graph(plan: NestedPlan, variants: Variants) -> Graph:
    """Return the tasks of a study.

    Args:
        plan: its facts.
        variants: of each of its methods.

    """
    return Graph(_tasks(plan, variants))


def _tasks(plan: NestedPlan, variants: Variants) -> Iterator[Task]:
    judged_by = [name for name in dict.fromkeys(variants.values()) if name != NOTHING]
    needed = [*judged_by, *plan.ablations]
    prepared: dict[str, tuple[str, ...]] = {}
    if needed:
        for cohort in plan.cohorts:
            chunks = list(preparations(plan, cohort))
            prepared[cohort] = tuple(task.id for task in chunks)
            yield from chunks
    for fold in range(1, len(plan.nested) + 1):
        seen: dict[str, list[str]] = {variant: [] for variant in (*needed, NOTHING)}
        for variant in needed:
            for cascade in cascades_of(plan, fold, variant):
                is_first = variant == needed[0]
                yield from _cascade(plan, cascade, prepared, with_shared=is_first)
                if variant in judged_by:
                    seen[variant] += [f"examine.{cascade.name}.{cohort}" for cohort in plan.cohorts]
        for method, variant in variants.items():
            yield Task(
                id=f"judge.fold{fold}.{method}",
                kind="judge",
                arguments={"fold": fold, "method": method, "variant": variant},
                after=tuple(seen[variant]),
            )
    judged = tuple(
        f"judge.fold{fold}.{method}" for fold in range(1, len(plan.nested) + 1) for method in variants
    )
    yield Task(id=PREDICTIONS, kind="predictions", after=judged)
    everybody = tuple(name for ids in prepared.values() for name in ids)
    if everybody:
        yield Task(id=VOLUMES, kind="volumes", after=everybody)
    yield Task(id=TABLES, kind="tables", after=(PREDICTIONS, *((VOLUMES,) if everybody else ())))
    examined: dict[str, JSON] = {
        f"examine.{cascade.name}.{COHORT}": variant
        for variant in needed
        for fold in range(1, len(plan.nested) + 1)
        for cascade in cascades_of(plan, fold, variant)
    }
    if examined:
        yield Task(id=MASKS, kind="masks", arguments={"examined": examined}, after=tuple(examined))
    yield Task(id=REPORT, kind="report", after=(PREDICTIONS, TABLES, *((MASKS,) if examined else ())))


def preparations(plan: NestedPlan, cohort: str) -> Iterator[Task]:
    """Yield the tasks that prepare a cohort, a few patients each."""
    ids = plan.ids(cohort)
    size = max(LEAST, -(-len(ids) // CHUNKS))
    for number, start in enumerate(range(0, len(ids), size), start=1):
        patients: list[JSON] = [*ids[start : start + size]]
        yield Task(
            id=f"prepare.{cohort}.{number:02d}",
            kind="prepare",
            arguments={"cohort": cohort, "patients": patients},
        )


def _cascade(
    plan: NestedPlan, cascade: CascadeRole, prepared: Mapping[str, Sequence[str]], *, with_shared: bool
) -> Iterator[Task]:
    """Yield what one cascade takes, from statistics to the patients it examines."""
    if cascade.trained == cascade:
        yield from _trained(plan, cascade, prepared, with_shared=with_shared)
    for cohort in (COHORT,) if cascade.variant in plan.ablations else plan.cohorts:
        yield Task(
            id=f"examine.{cascade.name}.{cohort}",
            kind="examine",
            arguments={**_arguments(cascade), "cohort": cohort},
            after=(f"bundle.{cascade.trained.name}", *prepared[cohort]),
            needs_device=True,
        )


def _trained(
    plan: NestedPlan, cascade: CascadeRole, prepared: Mapping[str, Sequence[str]], *, with_shared: bool
) -> Iterator[Task]:
    """Yield what it takes to train one cascade, from statistics to its bundle."""
    shared, ready = cascade.shared, tuple(prepared[COHORT])
    learned, common_learned = cascade.learned(plan), f"learned.{shared}"
    networks = tuple(
        f"{stage}.{shared}"
        for stage in (StageName.STRUCTURES, StageName.TUMOR)
        if stage in plan.learned_stages
    )
    arguments = _arguments(cascade)
    common = _arguments(CascadeRole(fold=cascade.fold, inner=cascade.inner))
    if with_shared:
        yield Task(id=common_learned, kind="learned", arguments=common, after=ready)
        for name in networks:
            stage = {"stage": name.partition(".")[0]}
            yield Task(
                id=name,
                kind="train",
                arguments={**common, **stage},
                after=(*ready, common_learned),
                needs_device=True,
            )
        if plan.sources.networks:
            yield Task(
                id=f"networks.{shared}", kind="networks", arguments=common, after=(common_learned, *networks)
            )
    if learned != common_learned:
        yield Task(id=learned, kind="learned", arguments=arguments, after=ready)
    guides = (f"networks.{shared}",) if plan.sources.networks else ()
    nodes, calls = f"nodes.{cascade.name}", f"identification.{cascade.name}"
    yield Task(
        id=nodes,
        kind="train",
        arguments={**arguments, "stage": "nodes"},
        after=(*ready, learned, *guides),
        needs_device=True,
    )
    yield Task(
        id=calls,
        kind="train",
        arguments={**arguments, "stage": "identification"},
        after=(*ready, learned, nodes),
        needs_device=True,
    )
    after = (learned, *networks, nodes, calls)
    yield Task(id=f"bundle.{cascade.name}", kind="bundle", arguments=arguments, after=after)


def _arguments(cascade: CascadeRole) -> dict[str, JSON]:
    fields: dict[str, JSON] = {"fold": cascade.fold, "inner": cascade.inner}
    return fields if cascade.variant == ATTENTION else {**fields, "variant": cascade.variant}
