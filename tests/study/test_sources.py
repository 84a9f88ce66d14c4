"""Drawn masks where every patient has the same ones, else the network's for all."""

from pathlib import Path
from typing import Any

import pytest

from lymphct.cascade.settings import CascadeSettings
from lymphct.core.terms import GUIDING_STRUCTURES, StageName, Structure
from lymphct.io.manifest import PatientRecord
from lymphct.study.needs import parts_needs, rare_masks
from lymphct.study.single.split import split_cohort
from lymphct.study.sources import DRAWN, MaskSources, chosen_sources, stage_missing, training_rounds

AUTO = CascadeSettings()
NETWORKS = MaskSources(structures="network", tumor="network")


def record(number: int, *masks: str, labelled: str = "") -> PatientRecord:
    paths: dict[str, Any] = {name: Path(f"{name}.nii") for name in masks}
    return PatientRecord(
        patient_id=f"p{number:02d}",
        venous=Path("v.nii"),
        n_status=number % 2,
        cells={"structures_labelled": labelled},
        **paths,
    )


def both(n: int, **columns: str) -> PatientRecord:
    return record(n, "structures", "tumor", "nodes", **columns)


def test_drawn_masks_are_taken_where_every_patient_has_them() -> None:
    assert chosen_sources(AUTO, [both(n) for n in range(5)]) == DRAWN
    lacking = [*(both(n) for n in range(4)), record(4, "structures", "nodes")]
    assert chosen_sources(AUTO, lacking) == MaskSources(structures="given", tumor="network")
    assert chosen_sources(AUTO, [both(0), record(1, "tumor")]) == MaskSources(structures="network")


def test_maps_with_other_guiding_structures_are_not_mixed() -> None:
    six = "spleen esophagus stomach aorta pancreas duodenum"
    assert chosen_sources(AUTO, [both(0), both(1, labelled=six)]).structures == "network"
    assert chosen_sources(AUTO, [both(0, labelled=six), both(1, labelled=six)]).structures == "given"
    # What does not guide makes no difference.
    ten = ",".join(structure.label for structure in GUIDING_STRUCTURES)
    assert chosen_sources(AUTO, [both(0), both(1, labelled=ten)]).structures == "given"
    # What the maps themselves say counts once they are read.
    read = {"p00": None, "p01": (Structure.SPLEEN,)}
    assert chosen_sources(AUTO, [both(0), both(1)], read).structures == "network"


def test_where_nobody_has_a_mask_there_is_no_network_unless_one_is_brought() -> None:
    nobody = [record(n, "nodes") for n in range(3)]
    assert chosen_sources(AUTO, nobody) == DRAWN
    brought = (StageName.STRUCTURES, StageName.TUMOR)
    assert chosen_sources(AUTO, nobody, available=brought) == NETWORKS
    assert chosen_sources(AUTO, [both(0)], available=brought) == DRAWN


def test_the_settings_stand_above_what_there_is() -> None:
    forced = CascadeSettings(structures_source="network", tumor_source="given")
    assert chosen_sources(forced, [both(0)]) == MaskSources(structures="network", tumor="given")


@pytest.mark.parametrize(
    "sources", [DRAWN, NETWORKS, MaskSources(structures="network"), MaskSources(tumor="network")]
)
def test_stage_1_is_trained_after_the_networks_that_guide_it(sources: MaskSources) -> None:
    rounds = training_rounds(sources)
    chains = [chain for chains in rounds for chain in chains]
    assert sorted(stage for chain in chains for stage in chain) == sorted(
        set(StageName) - {StageName.METASTASIS}
    )
    begun = {stage: n for n, chains in enumerate(rounds) for chain in chains for stage in chain}
    assert all(begun[needed] < begun[StageName.NODES] for needed in sources.networks)
    assert sources.needs(StageName.NODES) == sources.networks
    assert sources.needs(StageName.IDENTIFICATION) == (StageName.NODES,)


def test_the_refusal_of_stage_1_names_both_ways_out() -> None:
    error = stage_missing(StageName.NODES, [StageName.TUMOR])
    assert error.code == "E_STAGE"
    assert "lymphct train tumor with the same --out, or drawn masks alone" in str(error)
    assert "drawn masks" not in str(stage_missing(StageName.IDENTIFICATION, [StageName.NODES]))


def test_guided_by_a_network_nobody_needs_drawn_structures_to_be_learned_from() -> None:
    records = [record(n, "tumor", "nodes", *(["structures"] if n < 4 else [])) for n in range(20)]
    for sources, holders in ((DRAWN, 4), (NETWORKS, 20)):
        need = parts_needs(records, None, sources)[StageName.NODES][0]
        assert len(need.holders) == holders
    assert rare_masks(records) == (frozenset(f"p{n:02d}" for n in range(4)),)
    for seed in range(10):
        split = split_cohort(records, seed, None, NETWORKS)
        parts = [split[f"p{n:02d}"].part for n in range(4)]
        assert set(parts) == {"train", "validation"}
