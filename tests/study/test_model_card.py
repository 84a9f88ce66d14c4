"""The card says what a reader must know before trusting a bundle."""

import pytest

from lymphct.cascade.description import BundleInfo, PartInfo, ThresholdChoice
from lymphct.config import Config, scaled
from lymphct.core.leakage import hash_patient
from lymphct.core.terms import NodeClass, StageName
from lymphct.evaluation.calibration_record import calibration_record
from lymphct.evaluation.score_calibration import fit_score_calibration
from lymphct.io.settings import load_config
from lymphct.study.model_card import model_card
from lymphct.study.plan import PatientPlan, Plan

SALT = "a key of this test"
POSITIVE, NEGATIVE = NodeClass.POSITIVE, NodeClass.NEGATIVE
NODES = {"p1": (POSITIVE, NEGATIVE, None), "p2": (NEGATIVE,)}


def plan(config: Config, *, is_phantom: bool = False) -> Plan:
    places = {"p1": ("train", 1), "p2": ("train", 0), "p3": ("validation", 1), "p4": ("fusion_train", None)}
    return Plan(
        name="mine",
        seed=4,
        is_phantom=is_phantom,
        phase_dropout=False,
        config=config,
        intensity={},
        bands={},
        patients={
            name: PatientPlan.model_validate({"part": part, "n_status": status})
            for name, (part, status) in places.items()
        },
    )


def part(*train: str, validation: tuple[str, ...] = (), **fields: object) -> PartInfo:
    patients = {"train": train, "validation": validation}
    hashed = {role: tuple(hash_patient(name, SALT) for name in names) for role, names in patients.items()}
    return PartInfo.model_validate({"architecture": {}, "patients": hashed, **fields})


def info(parts: dict[StageName, PartInfo], **fields: object) -> BundleInfo:
    values = {
        "name": "mine",
        "salt": SALT,
        "spacing": (0.68, 0.68, 0.8),
        "registration": "deeds",
        "is_phantom": False,
        "code_version": "0.1.0+abc",
        "parts": parts,
        **fields,
    }
    return BundleInfo.model_validate(values)


@pytest.fixture
def card() -> str:
    chosen = {
        "node_voxel": ThresholdChoice(by="validation", patients=1, at_edge=True),
        "node_min_volume_mm3": ThresholdChoice(by="validation", patients=1, why="the highest is 0.9"),
    }
    course = {"rejected_share": 0.2514, "skipped": 3}
    default = {"node_positive": ThresholdChoice(by="default", why="no validation patients")}
    parts = {
        StageName.NODES: part(
            "p1", "p2", validation=("p3",), scores={"f": 0.8125}, chosen=chosen, extra=course
        ),
        StageName.IDENTIFICATION: part("p1", "p2", chosen=default, extra={"skipped": 0}),
        StageName.TUMOR: part("q1", "q2"),
    }
    thresholds = {"node_voxel": 0.01, "node_min_volume_mm3": 50.0, "node_positive": 0.5}
    config = load_config("paper", ["attention.border=4.5", "inference.mirroring=true"])
    return model_card(plan(config), info(parts, thresholds=thresholds), NODES)


def test_patients_and_classes_of_each_part_are_counted(card: str) -> None:
    assert "| nodes | 2 (1 N+, 1 N-) | 1 (1 N+, 0 N-) |" in card
    assert "| identification | 2 (1 positive, 2 negative nodes) | 0 (0 positive, 0 negative nodes) |" in card
    assert "| tumor | 2 patients of another run | 0 (0 N+, 0 N-) |" in card
    assert "Not trained: structures, metastasis." in card


def test_scores_and_thresholds_say_where_they_come_from(card: str) -> None:
    assert "| nodes | f | 0.812 |" in card
    assert "| node_voxel | 0.01 | 1 validation patient; at the edge of the candidates" in card
    assert "| node_min_volume_mm3 | 50 | 1 validation patient; the highest is 0.9 |" in card
    assert "| node_positive | 0.5 | default: no validation patients |" in card


def test_what_the_score_is_worth_is_said_where_the_bundle_knows(card: str) -> None:
    assert "What the score is worth" not in card
    few = fit_score_calibration([0.2, 0.8], [0, 1], ["a", "b"]).value
    told = model_card(plan(Config()), info({}, calibration=calibration_record(few)), NODES)
    assert "## What the score is worth\n\nLearned from 1 N+ and 1 N-" in told


def test_it_says_how_many_patches_were_drawn_again_and_steps_left_out(card: str) -> None:
    assert "| nodes | 25.1 % | 3 |" in card
    assert "| identification | - | 0 |" in card
    older = model_card(plan(load_config("paper")), info({StageName.TUMOR: part("q1")}), NODES)
    assert "## How training went\n\nNot recorded." in older


def test_only_settings_that_differ_from_the_paper_are_listed(card: str) -> None:
    assert "| `attention.border` | `4.5` | `3.0` |" in card
    assert card.count("\n| `") == 1  # how a machine runs the networks is no property of the bundle
    same = model_card(plan(load_config("paper")), info({}), {})
    assert "None: the preset `paper`." in same


def test_limits_follow_from_what_the_bundle_is(card: str) -> None:
    assert "Fewer than 60 patients stand behind: tumor 2, nodes 3, identification 2." in card
    assert "- node_positive of identification: the default, not chosen for these networks." in card
    assert "- Both phases are needed" in card
    assert "meaningless for patients" not in card
    phantom = model_card(plan(Config(), is_phantom=True), info({}, phase_dropout=True), {})
    assert "meaningless for patients" in phantom
    assert "Both phases are needed" not in phantom
    assert "Nothing was measured." in phantom


def test_what_each_network_saw_started_from_and_has_to_beat_is_told() -> None:
    statistics = {"low": -39, "high": 228, "mean": 52.2, "sd": 37.1}
    seen = {"phases": {"arterial": statistics}, "foreground": "nodes"}
    parts = {
        StageName.NODES: part("p1", intensity=seen),
        StageName.IDENTIFICATION: part("p1", scores={"auc": 0.75, "auc_logistic": 0.875}),
        StageName.METASTASIS: part("p4", extra={"pretrained": "ab" * 32}),
    }
    old = {"venous": {"low": -100, "high": 240, "mean": 70, "sd": 85}}
    card = model_card(plan(load_config("paper")), info(parts, intensity=old), NODES)
    assert (
        "| nodes | -39 to 228 HU, 52 ± 37 | fixed values | drawn lymph nodes, without gas |\n"
        "| identification, metastasis | fixed values | -100 to 240 HU, 70 ± 85 | drawn structures, or" in card
    )
    assert f"The status network started from the weights of SHA-256 {'ab' * 32}." in card
    assert "| identification | auc_logistic | 0.875 |" in card
    assert "`auc_logistic` is the baseline that stage 2 has to beat on the same nodes" in card


def test_settings_of_another_grid_are_compared_as_they_were_trained() -> None:
    coarse = load_config("paper", ["imaging.spacing=[2, 2, 2.5]"])
    card = model_card(plan(scaled(coarse)), info({}), {})
    assert "| `nodes.sampling.patch_size` | `[56, 72, 32]` | `[160, 192, 80]` |" in card
    assert "sizes_at" not in card


def test_a_threshold_of_an_older_bundle_is_not_said_to_be_chosen() -> None:
    old = info({StageName.NODES: part("q1")}, thresholds={"node_voxel": 0.05})
    assert "| node_voxel | 0.05 | not recorded |" in model_card(plan(Config()), old, {})


@pytest.mark.parametrize("classes", [2, 3])
def test_it_says_what_stage_1_found_for_stage_2_to_learn_from(classes: int) -> None:
    found = {"positive": 5, "negative": 12, "not_a_node": 31, "unknown": 4}
    calls = part("p1", "p2", extra={"found": found}).model_copy(
        update={"architecture": {"head": {"classes": classes}}}
    )
    settings = scaled(load_config("paper"))
    text = model_card(plan(settings), info({StageName.IDENTIFICATION: calls}), NODES)
    assert "5 positive, 12 negative" in text
    assert ("31 that are no lymph nodes" in text) is (classes == 3)
    plain = model_card(plan(settings), info({StageName.IDENTIFICATION: part("p1")}), NODES)
    assert "stage 1 found" not in plain
