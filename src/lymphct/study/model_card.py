"""The card of a bundle: who taught each part, what it reached, how it is set, what it is not for."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lymphct.cascade.description import (
    BundleInfo,
    Foreground,
    PartInfo,
    PhaseIntensity,
    PhaseName,
    ThresholdChoice,
)
from lymphct.cascade.sizes import scaled
from lymphct.cascade.stages import STAGES
from lymphct.config import Config, described
from lymphct.core.leakage import FittedOn
from lymphct.core.origin import licence_lines
from lymphct.core.terms import PHANTOM_NOTICE, NodeClass, StageName, counted
from lymphct.io.settings import PAPER, load_config
from lymphct.study.calibration_card import calibration_card
from lymphct.study.lessons_card import card_table, lessons_card
from lymphct.study.needs import DrawnNodes
from lymphct.study.plan import Plan
from lymphct.study.starting import STARTED_FROM

FEW_PATIENTS: Final = 60
"""With fewer patients behind a part the card warns: each of its figures rests on a handful."""

_PHASES: Final[tuple[PhaseName, ...]] = ("arterial", "venous")
_ON: Final[Mapping[Foreground, str]] = {
    "structures": "drawn structures",
    "tumor": "drawn tumors",
    "nodes": "drawn lymph nodes, without gas",
    "fixed": "nothing: fixed values",
    "any": "drawn structures, or tumors where there were none",
}

_ROLES: Final = {"train": "taught by", "validation": "chosen by"}


def model_card(plan: Plan, info: BundleInfo, nodes: DrawnNodes) -> str:
    """Write the card of a run's bundle, Markdown.

    Args:
        plan: of the run.
        info: the bundle as it stands; parts may be missing yet.
        nodes: class of each drawn lymph node of the run's patients.

    """
    seen, worth = _intensities(info), calibration_card(info)
    blocks = [
        f"# {plan.name}",
        f"**{PHANTOM_NOTICE}**" if plan.is_phantom else "",
        "For research. Not a medical device.",
        "## What it is",
        _what_it_is(plan, info),
        "## What it learned from",
        _learned_from(plan, info, nodes),
        "## Licences of the data" if info.origins else "",
        "\n".join(licence_lines(info.origins)),
        "## What it reached on its validation patients",
        _scores(info),
        "## How training went",
        _course(info),
        "## Thresholds and how they were chosen",
        _thresholds(info),
        "## What the score is worth" if worth else "",
        worth,
        "## How each network sees the images" if seen else "",
        seen,
        "## Settings that differ from the paper",
        _settings(plan.config),
        "## Limits",
        _limits(plan, info),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _what_it_is(plan: Plan, info: BundleInfo) -> str:
    have = [name for name in STAGES if name in info.parts]
    lacking = [name for name in STAGES if name not in info.parts]
    spacing = " × ".join(f"{size:g}" for size in info.spacing)
    names = ", ".join(have) or "none yet"
    without = f" Not trained: {', '.join(lacking)}." if lacking else ""
    return (
        f"Networks of the cascade on a grid of {spacing} mm: {names}.{without} Stored as float16. "
        f"Arterial phases registered by method {info.registration}. Seed {plan.seed}. "
        f"Code {info.code_version}.{_start(info)}"
    )


def _start(info: BundleInfo) -> str:
    begun = {name: part.extra.get(STARTED_FROM) for name, part in _parts(info)}
    told = "".join(
        f" The {name} network started from that of the bundle {source['bundle']}, SHA-256 {source['sha256']}."
        for name, source in begun.items()
        if isinstance(source, dict)
    )
    return told + ("" if begun.get(StageName.METASTASIS) else _images(info))


def _images(info: BundleInfo) -> str:
    part = info.parts.get(StageName.METASTASIS)
    digest = None if part is None else part.extra.get("pretrained")
    if digest is None:
        return ""
    if digest == "none":
        return " The status network started from random weights."
    return f" The status network started from the weights of SHA-256 {digest}."


def _learned_from(plan: Plan, info: BundleInfo, nodes: DrawnNodes) -> str:
    kind = "synthetic phantoms" if plan.is_phantom else "patients"
    head = (
        f"One split of {len(plan.patients)} {kind}; the status network learned from others than the rest. "
        "Counted are those who had what a part learns from. `bundle.json` holds their hashed ids."
    )
    rows = [
        [name, *(_group(plan, info, name, role, nodes) for role in _ROLES)]
        for name in STAGES
        if name in info.parts
    ]
    table = card_table(head, ["part", *_ROLES.values()], rows)
    return "\n\n".join([table, *lessons_card(info)])


def _group(plan: Plan, info: BundleInfo, stage: StageName, role: str, nodes: DrawnNodes) -> str:
    hashes = info.parts[stage].patients.get(role, ())  # type: ignore[call-overload] # one of the two roles
    group = FittedOn(hashes=frozenset(hashes), salt=info.salt)
    names = [name for name in plan.patients if name in group]
    if names and len(names) < len(hashes):
        return f"{len(names)}, beside {len(hashes) - len(names)} of the bundle it started from"
    if len(names) < len(hashes):
        return f"{len(hashes)} patients of another run"
    if stage is StageName.IDENTIFICATION:
        classes = [node_class for name in names for node_class in nodes.get(name, ())]
        counts = {c.label: classes.count(c) for c in (NodeClass.POSITIVE, NodeClass.NEGATIVE)}
    else:
        statuses = [plan.patients[name].n_status for name in names]
        counts = {"N+": statuses.count(1), "N-": statuses.count(0), "unknown": statuses.count(None)}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count or what != "unknown")
    return f"{len(hashes)} ({told}{' nodes' if stage is StageName.IDENTIFICATION else ''})"


def _scores(info: BundleInfo) -> str:
    rows = [
        [name, score, f"{value:.3f}"]
        for name, part in _parts(info)
        for score, value in sorted(part.scores.items())
    ]
    head = (
        "These patients chose epochs and thresholds, so the figures flatter. Those that count come from "
        "patients without any part in the bundle: `lymphct predict`, then `lymphct evaluate`."
    )
    if any("auc_logistic" in part.scores for _, part in _parts(info)):
        head += (
            " `auc_logistic` is the baseline that stage 2 has to beat on the same nodes: logistic regression "
            "on volume and HU."
        )
    return card_table(head, ["part", "score", "value"], rows) if rows else "Nothing was measured."


def _course(info: BundleInfo) -> str:
    rows = []
    for name, part in _parts(info):
        share, skipped = (part.extra.get(what) for what in ("rejected_share", "skipped"))
        if share is not None or skipped is not None:
            told = f"{100 * share:.1f} %" if isinstance(share, float) else "-"
            rows.append([name, told, f"{skipped:g}" if isinstance(skipped, int | float) else "-"])
    head = (
        "Patches without attention, or without foreground where it was wanted, were drawn again. Steps whose "
        "loss or gradient was not finite were left out."
    )
    return (
        card_table(head, ["part", "patches drawn again", "steps left out"], rows) if rows else "Not recorded."
    )


def _thresholds(info: BundleInfo) -> str:
    rows = [
        [name, f"{info.thresholds[name]:.4g}", _how(part.chosen.get(name))]
        for stage, part in _parts(info)
        for name in STAGES[stage].thresholds
        if name in info.thresholds
    ]
    return card_table("", ["threshold", "value", "how"], rows) if rows else "None."


def _how(choice: ThresholdChoice | None) -> str:
    if choice is None:
        return "not recorded"
    if choice.by == "default":
        return f"default: {choice.why}"
    edge = "; at the edge of the candidates, a better one may lie beyond" if choice.at_edge else ""
    remark = f"; {choice.why}" if choice.why else ""
    return f"{counted(choice.patients, 'validation patient')}{edge}{remark}"


def _intensities(info: BundleInfo) -> str:
    rows = [
        [name, *(_seen(seen.phases.get(phase)) for phase in _PHASES), _ON[seen.foreground]]
        for name, part in _parts(info)
        if (seen := part.intensity) is not None
    ]
    shared = [name for name, part in _parts(info) if part.intensity is None]
    if shared:
        rows.append([", ".join(shared), *(_seen(info.intensity.get(phase)) for phase in _PHASES), _ON["any"]])
    head = "HU are clipped to the range, then mean and SD of the clipped voxels become 0 and 1."
    return card_table(head, ["part", *_PHASES, "measured on"], rows) if rows else ""


def _seen(phase: PhaseIntensity | None) -> str:
    if phase is None:
        return "fixed values"
    return f"{phase.low:.0f} to {phase.high:.0f} HU, {phase.mean:.0f} ± {phase.sd:.0f}"


def _settings(config: Config) -> str:
    paper = {name: _plain(value) for name, value, _ in described(scaled(load_config(PAPER)))}
    rows = [
        [f"`{name}`", f"`{_plain(value)}`", f"`{paper[name]}`"]
        for name, value, _ in described(scaled(config))
        if name != "inference" and not name.startswith("inference.") and _plain(value) != paper[name]
    ]
    head = "Against the preset `paper`, which also holds choices of ours where the paper is silent."
    return card_table(head, ["setting", "here", PAPER], rows) if rows else "None: the preset `paper`."


def _plain(value: Any) -> str:  # noqa: ANN401 - settings of any kind
    return json.dumps(value, default=str).replace("|", "\\|")


def _limits(plan: Plan, info: BundleInfo) -> str:
    return "\n".join(f"- {sentence}" for sentence in _limitations(plan, info))


def _limitations(plan: Plan, info: BundleInfo) -> Iterator[str]:
    if plan.is_phantom:
        yield "Any decision about a patient: it never saw one."
    yield "Made of one split of one cohort. It was not tested on other patients, scanners or centers here."
    few = {name: sum(map(len, part.patients.values())) for name, part in _parts(info)}
    few = {name: patients for name, patients in few.items() if patients < FEW_PATIENTS}
    if few:
        told = ", ".join(f"{name} {patients}" for name, patients in few.items())
        yield f"Fewer than {FEW_PATIENTS} patients stand behind: {told}. Such figures say little."
    for stage, part in _parts(info):
        defaults = [name for name, how in part.chosen.items() if how.by == "default"]
        if defaults:
            yield f"{', '.join(defaults)} of {stage}: the default, not chosen for these networks."
    for stage, part in _parts(info):
        if part.architecture.get("phases", "both") != "both":
            yield f"The {stage} network sees the {part.architecture['phases']} phase alone."
    if info.needs_arterial:
        yield "Both phases are needed: the networks never saw a patient without the arterial one."
    yield "Lymph nodes are looked for around the ten guiding structures only (Tab. II)."
    yield "It calls nodes predicted positive; no pathologist looked at them."


def _parts(info: BundleInfo) -> Sequence[tuple[StageName, PartInfo]]:
    return [(name, info.parts[name]) for name in STAGES if name in info.parts]
