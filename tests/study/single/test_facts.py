"""The graph of one split: what waits for what."""

from lymphct.core.terms import StageName
from lymphct.study.single.facts import EXAMINE, LEARNED, PREPARE, split_graph
from lymphct.study.sources import DRAWN, MaskSources


def test_where_masks_are_drawn_three_chains_wait_for_the_statistics_alone() -> None:
    graph = split_graph(DRAWN)
    assert list(graph) == [
        PREPARE, LEARNED, "tumor", "nodes", "identification", "structures", EXAMINE, "metastasis",
    ]  # fmt: skip
    assert [name for name, task in graph.items() if task.after == (LEARNED,)] == [
        "tumor",
        "nodes",
        "structures",
    ]
    assert graph["identification"].after == (LEARNED, "nodes")


def test_stage_1_waits_for_the_networks_whose_masks_guide_it() -> None:
    graph = split_graph(MaskSources(structures="network", tumor="given"))
    assert list(graph)[2:4] == ["structures", "tumor"]
    assert graph["nodes"].after == (LEARNED, "structures")
    both = split_graph(MaskSources(structures="network", tumor="network"))
    assert both["nodes"].after == (LEARNED, "structures", "tumor")


def test_the_status_network_comes_after_whom_the_whole_cascade_examined() -> None:
    graph = split_graph(DRAWN)
    cascade = {stage for stage in StageName if stage is not StageName.METASTASIS}
    assert set(graph[EXAMINE].after) == {LEARNED, *cascade}
    assert graph["metastasis"].after == (LEARNED, EXAMINE)
    assert {name for name, task in graph.items() if task.needs_device} == {EXAMINE, *StageName}
