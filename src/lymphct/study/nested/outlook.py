"""What a study would be and everything that forbids it, found before any work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial

from lymphct.baselines.method import StatusMethod
from lymphct.baselines.resnet3d.network import build_resnet3d
from lymphct.core.errors import InputError, LymphctError, ModelError, UsageError
from lymphct.core.terms import NodeClass, StageName
from lymphct.io.manifest import Manifest, PatientRecord
from lymphct.io.manifests import require_distinct_images
from lymphct.io.models.bundles import Bundle, read_bundle
from lymphct.io.results.usable import require_usable
from lymphct.metastasis.settings import require_start
from lymphct.patients.foresight.problems import Problem, by_line, found_by, of_manifest
from lymphct.patients.foresight.space import require_room, room_to_prepare
from lymphct.patients.prepared.dataset import clinical_of
from lymphct.patients.prepared.preparation import Preparation
from lymphct.study.lessons import foreseen_nodes
from lymphct.study.nested.building import NOTHING
from lymphct.study.nested.folds import (
    NestedFold,
    PartNeed,
    fold_problems,
    nested_folds,
)
from lymphct.study.nested.guard import require_foreign
from lymphct.study.nested.plan import COHORT, OF_PATCHES
from lymphct.study.nested.request import GIVEABLE, CrossvalRequest
from lymphct.study.nested.variants import chosen_ablations
from lymphct.study.sources import MaskSources, chosen_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutlook:
    """What a study would be, and what stands in its way.

    Attributes:
        methods: short names in the order of the tables → the cascade whose evidence each judges.
        ablations: variants of the cascade that were asked for and that no method judges.
        left_out: methods that were not asked for by name and lack a column, with the reason.
        folds: empty where none can be made.
        sources: whose masks guide stage 1.
        init: the bundle from elsewhere.
        taken: its parts that are taken over.
        problems: what must be mended first, all of it.

    """

    methods: Mapping[str, str]
    ablations: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[NestedFold, ...] = ()
    sources: MaskSources
    init: Bundle | None = None
    taken: tuple[StageName, ...] = ()
    problems: tuple[Problem, ...] = ()

    def extras(self, request: CrossvalRequest) -> dict[str, tuple[str, ...]]:
        """Return what the methods of each cascade need of a patient besides tumor patches and nodes."""
        found: dict[str, set[str]] = {}
        for name, variant in self.methods.items():
            found.setdefault(variant, set()).update({"radiomics", "crop"} & set(request.method(name).needs))
        return {variant: tuple(sorted(needs)) for variant, needs in found.items() if needs}

    @property
    def has_cascades(self) -> bool:
        """Tell whether anything needs what a cascade sees."""
        return bool(self.ablations) or any(variant != NOTHING for variant in self.methods.values())


def foresee_study(request: CrossvalRequest) -> StudyOutlook:
    """Return what a study would be and everything that forbids it; nothing is made, no image is read."""
    problems: list[Problem] = []
    merged = _merged(request)
    problems += by_line(of_manifest(merged, all_stop=True))
    problems += found_by(partial(require_distinct_images, merged))
    methods, left_out, refused = chosen_methods(request)
    problems += map(Problem.of, refused)
    problems += found_by(partial(_require_kinetics, request))
    if OF_PATCHES & set(methods):
        settings = request.config.metastasis
        problems += found_by(partial(require_start, settings, given=request.imagenet is not None))
    ablations: tuple[str, ...] = ()
    try:
        ablations = tuple(a for a in chosen_ablations(request.ablations) if a not in methods.values())
    except LymphctError as error:
        problems.append(Problem.of(error))
    init: Bundle | None = None
    taken: tuple[StageName, ...] = ()
    try:
        init, taken = _taken(request)
    except LymphctError as error:
        problems.append(Problem.of(error))
    sources = chosen_sources(request.config.cascade, request.learners, available=taken)
    outlook = StudyOutlook(
        methods=methods, ablations=ablations, left_out=left_out, sources=sources, init=init, taken=taken
    )
    problems += map(Problem.of, _lacking_masks(request, outlook))
    folds: tuple[NestedFold, ...] = ()
    try:
        folds = study_folds(request)
    except LymphctError as error:
        problems.append(Problem.of(error))
    problems += map(Problem.of, fold_problems(folds, _needs(request, outlook)))
    problems += _places(request, outlook)
    return replace(outlook, folds=folds, problems=tuple(problems))


def study_folds(request: CrossvalRequest) -> tuple[NestedFold, ...]:
    """Return the folds: stratified by N status and tumor site, or drawn without strata (Sec. IV-A).

    Raises:
        InputError: too few patients.

    """
    strata = {
        r.patient_id: f"{r.n_status} {r.tumor_location}" if request.folds == "strict" else ""
        for r in request.learners
    }
    return nested_folds(strata, request.seed, inner=request.inner if request.features == "oof" else 0)


def chosen_methods(
    request: CrossvalRequest,
) -> tuple[dict[str, str], dict[str, str], list[LymphctError]]:
    """Return the methods with their cascades, those that were left out, and what is refused."""
    found: dict[str, str] = {}
    left_out: dict[str, str] = {}
    refused: list[LymphctError] = []
    table = request.table
    for name in dict.fromkeys(request.methods or table):
        if name not in table:
            near = get_close_matches(name, table, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            msg = f"there is no method {name[:40]!r}"
            cure = f"{meant}the methods are {', '.join(table)}"
            refused.append(UsageError(msg, code="E_METHOD", cure=cure))
            continue
        method = request.method(name)
        try:
            method.require()
        except LymphctError as error:
            if request.methods:
                refused.append(error)
            else:
                left_out[name] = error.cause
            continue
        lacking = _lacking_column(method, request.learners)
        if lacking and request.methods:
            msg = f"the method {name} needs the column {lacking}, which no patient has filled"
            refused.append(InputError(msg, code="E_COLUMN", cure="fill it, or leave the method out"))
        elif lacking:
            left_out[name] = f"no patient has {lacking}"
        else:
            found[name] = _variant(method)
    return found, left_out, refused


def _lacking_column(method: StatusMethod, records: Sequence[PatientRecord]) -> str:
    """Return the column that a method needs and nobody has filled; empty where there is none."""
    needs = {str(need) for need in method.needs}
    if "ct_reported_n" in needs and all(clinical_of(r).ct_reported_n is None for r in records):
        return "ct_reported_n"
    return "center" if "center" in needs and not any(r.center for r in records) else ""


def _variant(method: StatusMethod) -> str:
    if not {str(need) for need in method.needs} - {"ct_reported_n", "center"}:
        return NOTHING
    return method.cascade


def _require_kinetics(request: CrossvalRequest) -> None:
    """Refuse start weights of another architecture.

    Raises:
        ModelError: they do not fit.

    """
    if request.kinetics is not None:
        build_resnet3d(request.config.metastasis.network, request.kinetics[1].tensors, seed=0)


def _merged(request: CrossvalRequest) -> Manifest:
    first = request.manifests[COHORT]
    patients = tuple(record for manifest in request.manifests.values() for record in manifest.patients)
    return Manifest(path=first.path, columns=first.columns, patients=patients)


def _taken(request: CrossvalRequest) -> tuple[Bundle | None, tuple[StageName, ...]]:
    """Return the bundle from elsewhere and which of its parts are taken over.

    Raises:
        ModelError: it is refused, has neither, or works at another spacing or registration.
        LeakageError: they learned from patients of the study.

    """
    if request.init is None:
        return None, ()
    bundle = read_bundle(request.init)
    stages = tuple(s for s in GIVEABLE if s in bundle.info.parts and s not in request.given)
    config = request.config
    if not stages:
        msg = "the bundle given with --init has no structures or tumor network that is wanted here"
        raise ModelError(msg, code="E_PART", cure="leave out --init")
    if bundle.info.spacing != config.imaging.spacing:
        msg = f"the bundle works at {bundle.info.spacing} mm, this study at {config.imaging.spacing} mm"
        raise ModelError(msg, cure="set imaging.spacing to that of the bundle")
    if bundle.info.registration != config.registration.method:
        msg = f"the bundle was trained on phases registered by method {bundle.info.registration}"
        raise ModelError(msg, cure=f"--set registration.method={bundle.info.registration}")
    require_foreign(bundle, stages, [record.patient_id for record in request.everybody])
    return bundle, stages


def _lacking_masks(request: CrossvalRequest, outlook: StudyOutlook) -> Iterator[InputError]:
    """Yield which masks are said to be given and are not."""
    if not outlook.has_cascades:
        return
    for stage in request.given:
        without = [r.patient_id for r in request.everybody if stage not in r.paths]
        if without:
            first = f"such as {without[0]}, and --given takes it from all"
            msg = f"{len(without)} patients have no {stage} mask, {first}"
            cure = f"fill the column {stage}, or let the study learn it"
            yield InputError(msg, code="E_MISSING", cure=cure)


def _needs(request: CrossvalRequest, outlook: StudyOutlook) -> list[PartNeed]:
    """Return what the parts of the folds must hold."""
    records = {record.patient_id: record for record in request.learners}
    status = {name: record.n_status for name, record in records.items()}
    needs = [
        PartNeed(
            what=f"an {word} patient",
            of="methods",
            parts=("train", "validation", "test"),
            holds=lambda name, value=value: status[name] == value,  # type: ignore[misc] # bound now
        )
        for word, value in (("N+", 1), ("N-", 0))
    ]
    if not outlook.has_cascades:
        return needs
    nodes = foreseen_nodes(request.learners)
    guided = outlook.sources.structures == "given"

    def teaches(name: str) -> bool:
        record = records[name]
        return record.nodes is not None and not (guided and record.structures is None)

    needs.append(
        PartNeed(
            what="a patient with drawn lymph nodes" + (" and structures" if guided else ""),
            of="cascades",
            parts=("train", "validation"),
            holds=teaches,
        )
    )
    needs += [
        PartNeed(
            what=f"a patient with a {node_class.label} lymph node",
            of="cascades",
            parts=("train",),
            holds=lambda name, value=node_class: value in nodes[name],  # type: ignore[misc] # bound now
        )
        for node_class in (NodeClass.POSITIVE, NodeClass.NEGATIVE)
    ]
    learned = [stage for stage in GIVEABLE if stage not in (*request.given, *outlook.taken)]
    needs += [
        PartNeed(
            what=f"a patient with a {stage} mask",
            of="cascades",
            parts=("train", "validation"),
            holds=lambda name, stage=stage: stage in records[name].paths,  # type: ignore[misc] # bound now
        )
        for stage in learned
    ]
    return needs


def _places(request: CrossvalRequest, outlook: StudyOutlook) -> list[Problem]:
    """Return why nothing could be written where it belongs."""
    store = request.work or request.folder / "prepared"
    problems = []
    for folder in dict.fromkeys((request.folder, store)):
        problems += found_by(partial(require_usable, folder))
    if outlook.has_cascades:
        preparation = Preparation(
            folder=store,
            spacing=request.config.imaging.spacing,
            registration=request.config.registration,
        )
        need = room_to_prepare(request.everybody, preparation, store)
        problems += found_by(partial(require_room, need, store))
    return problems
