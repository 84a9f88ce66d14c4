"""A study in words: the facts that checklists ask for, and a paragraph of methods."""

from collections.abc import Mapping
from typing import Final

from lymphct.baselines.table import METHODS
from lymphct.cascade.settings import Config
from lymphct.core.terms import PHANTOM_NOTICE, StageName, counted
from lymphct.study.nested.plan import COHORT, NestedPlan
from lymphct.study.tasks.graph import STUDY_FILE

CONTROLS: Final = ("permuted_labels", "node_count", "tumor_volume", "center")
"""Methods that should tell little."""
RADIOMICS: Final = ("radiomics", "radiomics_ct_reported")
METRICS: Final = (
    "AUROC, smoothed calibration, net benefit, distribution of risk per outcome; balanced accuracy, "
    "accuracy, sensitivity and specificity at the threshold"
)
STATISTICS: Final = (
    "95 % intervals by stratified bootstrap (1,000), DeLong, and influence curves over the folds; paired "
    "differences with Holm's correction and the probability of a false claim"
)


def study_facts(plan: NestedPlan, versions: Mapping[str, str], lacking: Mapping[str, int]) -> dict[str, str]:
    """Return what is known of a study by the names that checklists use; what is not known is left out.

    Args:
        plan: of the study.
        versions: of Python and libraries.
        lacking: title of each method → patients of the cohort it could not judge.

    """
    known = [plan.patients[name].n_status for name in plan.ids(COHORT)]
    centers = sorted({entry.center for entry in plan.patients.values() if entry.center})
    others = [method for method in plan.methods if method not in CONTROLS]
    of_images = _of_images(plan) if _looks_at_images(plan) else {}
    facts = {
        "goal": "development and nested cross-validation of models that predict the N status from CT"
        + (", with an external evaluation" if len(plan.cohorts) > 1 else ""),
        "cohorts": "; ".join(f"{name}: {counted(len(plan.ids(name)), 'patient')}" for name in plan.cohorts),
        "centers": ", ".join(centers),
        "patients": str(len(known)),
        "positives": str(sum(status == 1 for status in known)),
        "negatives": str(sum(status == 0 for status in known)),
        "excluded": "patients with an exclude_reason in the manifest were left out beforehand",
        "folds": _folds(plan),
        **of_images,
        "ensemble": _ensemble(plan),
        "thresholds": "thresholds maximise the balanced accuracy of validation patients",
        "metrics": METRICS,
        "statistics": STATISTICS,
        "comparators": ", ".join(name for name in others if name != "combined"),
        "controls": ", ".join(name for name in plan.methods if name in CONTROLS),
        "radiomics": _radiomics(plan),
        "external": _external(plan),
        "lacking": _lacking(lacking),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
        "version": versions.get("lymphct", ""),
    }
    return {name: text for name, text in facts.items() if text}


def _looks_at_images(plan: NestedPlan) -> bool:
    """Tell whether any method judges more than what the manifest says."""
    needs = {need for name in plan.methods for need in METHODS[name](plan.config.metastasis).needs}
    return bool(needs - {"ct_reported_n", "center"})


def _of_images(plan: NestedPlan) -> dict[str, str]:
    return {
        "model": _model(plan),
        "preprocessing": _preprocessing(plan.config),
        "patches": _patches(plan.config),
        "training": _training(plan),
        "chosen": "the epoch that is best on validation patients is kept; operating points are chosen there",
        "balance": "batches of the status network hold as many N+ as N−; scores are not recalibrated",
        "masks": _masks(plan),
    }


def place_facts() -> dict[str, str]:
    """Return where things stand in the folder of a study, by the names that checklists use."""
    return {
        "setup": f"`{STUDY_FILE}`",
        "config": f"`{STUDY_FILE}`, `study.config`",
        "predictions": "`predictions.csv`",
        "tables": "`tables/`",
        "page": "`report.html`",
    }


def methods_paragraph(plan: NestedPlan, facts: Mapping[str, str]) -> str:
    """Return a paragraph for the methods of a paper; only what was run, with versions and seeds."""
    leak = (
        " Status methods learned from lymph nodes of patients who had taught the networks that found them "
        "(in-sample features, as in the original paper); the figures leak."
        if plan.features == "paper"
        else ""
    )
    counts = f"{facts['positives']} N+ and {facts['negatives']} N− in the cohort that was cross-validated"
    sentences = [
        f"{_sentence(facts['cohorts'])} ({counts}).",
        *(
            f"{_sentence(facts[name])}."
            for name in ("preprocessing", "masks", "model", "training")
            if name in facts
        ),
        f"{_sentence(facts['folds'])}.{leak}",
        f"{_sentence(facts['ensemble'])}; {facts['thresholds']}.",
        f"Methods compared: {', '.join(plan.methods)}.",
        f"Measures: {METRICS}. Uncertainty: {STATISTICS}.",
        f"Seed {plan.seed}; {facts['versions']}.",
        PHANTOM_NOTICE if plan.is_phantom else "",
    ]
    return " ".join(filter(None, sentences))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _folds(plan: NestedPlan) -> str:
    inner = len(plan.nested[0].inner)
    how = (
        "stratified by N status and tumor site"
        if plan.folds == "strict"
        else "drawn by patient without strata"
    )
    oof = (
        f"; within each, {inner} inner folds give every training patient the findings of networks that never "
        "saw the patient"
        if inner
        else ""
    )
    return (
        f"{len(plan.nested)} outer folds of patients, {how}: 64 % teach, 16 % choose, 20 % are tested{oof}; "
        f"seed {plan.seed}"
    )


def _preprocessing(config: Config) -> str:
    spacing = " × ".join(f"{size:g}" for size in config.imaging.spacing)
    method = config.registration.method
    registered = "not registered" if method == "none" else f"registered to the venous one by {method}"
    return (
        f"the arterial phase was {registered}, both resampled to {spacing} mm; intensities were clipped and "
        "normalised per phase and network by statistics of training patients"
    )


def _patches(config: Config) -> str:
    sizes = {
        name: " × ".join(map(str, getattr(config, name).sampling.patch_size))
        for name in ("structures", "tumor", "nodes")
    }
    told = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return f"networks saw patches of {told} voxels"


def _model(plan: NestedPlan) -> str:
    features = "/".join(map(str, plan.config.nodes.unet.features))
    crop = " × ".join(map(str, plan.config.identification.sampling.crop_size))
    return (
        f"a 3-D U-Net ({features} features) finds lymph nodes under an attention map of distances to "
        f"anatomical structures; a second network calls each of them on {crop} voxels; a masked ResNet-18 "
        "with texture encoding reads the tumor and is joined with the volume of the largest positive node"
    )


def _training(plan: NestedPlan) -> str:
    told = []
    for stage in (*plan.learned_stages, StageName.METASTASIS):
        training = getattr(plan.config, stage.value).training
        told.append(
            f"{stage.value} {training.epochs} × {training.iterations_per_epoch} iterations of "
            f"{training.optimizer} at {training.learning_rate:g}"
        )
    return "networks were trained for " + ", ".join(told)


def _ensemble(plan: NestedPlan) -> str:
    inner = (
        "the mean over the inner folds' views and nine tumor patches"
        if plan.nested[0].inner
        else ("the mean over nine tumor patches")
    )
    external = ", for external cohorts over the models of all folds" if len(plan.cohorts) > 1 else ""
    return f"a patient's score is {inner if _looks_at_images(plan) else 'that of the fold in test'}{external}"


def _masks(plan: NestedPlan) -> str:
    if not plan.given:
        return "masks of tested patients are those of the networks"
    stages = " and ".join(stage.value for stage in plan.given)
    return f"masks of {stages} are those of the manifest, also for tested patients"


def _radiomics(plan: NestedPlan) -> str:
    if not set(RADIOMICS) & set(plan.methods):
        return ""
    width = plan.config.baselines.radiomics.bin_width
    return f"pyradiomics, 1,688 features a phase, bin width {width:g}, tumor mask of the networks"


def _external(plan: NestedPlan) -> str:
    names = [name for name in plan.cohorts if name != COHORT]
    told = [f"{name}: {counted(len(plan.ids(name)), 'patient')}" for name in names]
    return "; ".join(told) + (", judged by the mean of the fold models" if told else "")


def _lacking(lacking: Mapping[str, int]) -> str:
    if not any(lacking.values()):
        return "every method could judge every patient of the cohort"
    told = [f"{name}: {number}" for name, number in lacking.items() if number]
    return f"patients a method could not judge stay in the table without a score ({', '.join(told)})"
