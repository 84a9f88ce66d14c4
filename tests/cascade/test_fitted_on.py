"""Who really taught a part, and who informed intensities and bands."""

from dataclasses import replace
from typing import Any

import pytest

from lymphct.attention.bands import PAPER_BANDS
from lymphct.cascade.fitting import fit_stage
from lymphct.cascade.learned import fit_learned
from lymphct.cascade.parts import Start
from lymphct.cascade.settings import Config
from lymphct.cascade.stages import STAGES
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.terms import Phase, StageName
from lymphct.imaging.preprocess import DEFAULT_INTENSITY
from lymphct.learning.keeping import Forget

MakePatient = Any


def fitted(config: Config, **switches: bool) -> Config:
    return config.model_copy(update={"cascade": config.cascade.model_copy(update=switches)})


def test_a_part_records_those_who_had_what_it_learns_from(make_patient: MakePatient, tiny: Config) -> None:
    patients = {
        name: make_patient(name, without=without, noise=5.0)
        for name, without in {"a": (), "b": ("tumor",), "c": (), "d": ("tumor",)}.items()
    }
    roles = Roles(train=("a", "b"), validation=("c", "d"))
    learned = fit_learned(patients, roles.train, tiny)
    part = fit_stage(STAGES[StageName.TUMOR], patients, roles, learned, Start(config=tiny), Forget())
    assert (part.train, part.validation) == (FittedOn.of(["a"]), FittedOn.of(["c"]))
    assert 0.0 <= part.scores["dice"] <= 1.0  # of the epoch that validation patients chose
    alone = fit_stage(
        STAGES[StageName.TUMOR], patients, Roles(train=("a",)), learned, Start(config=tiny), Forget()
    )
    assert alone.scores == {}


def test_nodes_without_a_class_teach_identification_nothing(make_patient: MakePatient, tiny: Config) -> None:
    known, unknown = make_patient("a"), make_patient("b")
    blank = replace(
        unknown.nodes, nodes=tuple(replace(node, node_class=None) for node in unknown.nodes.nodes)
    )
    patients = {"a": known, "b": replace(unknown, nodes=blank)}
    roles = Roles(train=("a", "b"))
    learned = fit_learned(patients, roles.train, tiny)
    stage1 = fit_stage(STAGES[StageName.NODES], patients, roles, learned, Start(config=tiny), Forget())
    start = Start(config=tiny, parts={StageName.NODES: stage1})
    part = fit_stage(STAGES[StageName.IDENTIFICATION], patients, roles, learned, start, Forget())
    assert part.train == FittedOn.of(["a"])
    assert part.chosen["node_positive"].why == "no validation patients"
    assert part.described("a key of a test").chosen == part.chosen


@pytest.mark.parametrize(
    ("switches", "behind"),
    [
        ({"fit_intensity": True}, {"structures": "a", "tumor": "ab", "nodes": "abc"}),
        ({"fit_intensity": False}, {"structures": "", "tumor": "", "nodes": ""}),
        (
            {"fit_intensity": True, "fit_bands": True},
            {"structures": "a", "tumor": "ab", "nodes": "abc", "bands": "a"},
        ),
    ],
)
def test_statistics_record_those_who_informed_them(
    switches: dict[str, bool], behind: dict[str, str], make_patient: MakePatient, tiny: Config
) -> None:
    patients = {
        "a": make_patient("a", noise=9.0),
        "b": make_patient("b", noise=9.0, without=("structures",)),
        "c": make_patient("c", noise=9.0, without=("structures", "tumor")),
    }
    learned = fit_learned(patients, tuple(patients), fitted(tiny, **switches))
    told = {stage.value: sight.fitted_on for stage, sight in learned.sights.items()}
    assert {**told, **learned.fitted_on} == {what: FittedOn.of(names) for what, names in behind.items()}
    for sight in learned.sights.values():
        assert (sight.phases[Phase.VENOUS] == DEFAULT_INTENSITY) is not switches["fit_intensity"]
    assert (learned.bands == PAPER_BANDS) is ("bands" not in behind)
