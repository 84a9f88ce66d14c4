"""The plan of a study counts what the settings say, and its memory is that of real tensors."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks are scripts, not a part of the package

from benchmarks import paper_designs, paper_plan, paper_room
from tests.study.nested.test_tables import plan_of

from lymphct.cascade.settings import Config
from lymphct.core.terms import StageName
from lymphct.io.settings import load_config
from lymphct.learning.tensors import reversed_axes
from lymphct.nodes.segmentation import build_node_network
from lymphct.study.nested.building import nested_graph
from lymphct.study.nested.folds import NestedFold, nested_folds
from lymphct.study.nested.plan import StoredFold, StoredNestedFold

SIZE = (100, 100, 50)
COSTS = paper_plan.Costs(iteration=0.2, registration=36.0, processors=2)


def stored(folds: Sequence[NestedFold]) -> tuple[StoredNestedFold, ...]:
    return tuple(
        StoredNestedFold(outer=StoredFold.of(f.outer), inner=tuple(map(StoredFold.of, f.inner)))
        for f in folds
    )


@pytest.fixture(scope="module")
def nano() -> Config:
    return load_config("phantom_nano", [])


def test_trainings_cost_by_the_voxels_they_show() -> None:
    paper = load_config("paper", [])
    jobs = paper_plan.trainings(paper, COSTS)
    assert jobs["nodes"].amount == 250_000
    assert jobs["nodes"].hours == pytest.approx(250_000 * 0.2 / 3600)
    crops = 8 * 96 * 96 * 80 / (2 * 160 * 192 * 80)
    assert jobs["identification"].hours == pytest.approx(25_000 * 0.2 * crops / 3600)


def test_registration_is_shared_by_the_processors() -> None:
    assert paper_plan.registration(100, COSTS).hours == pytest.approx(0.5)


def test_nested_folds_examine_test_patients_by_all_inner_models() -> None:
    assert paper_plan.seen_once(10) == 4
    assert paper_designs.WHOLE.examined(10) == 5 * (8 + 5 * 2)
    assert paper_designs.Design(options="", inner=0).examined(10) == 5 * (8 + 2)  # one cascade sees everybody
    assert paper_designs.Design(options="", inner=2, variants=2).examined(10) == 2 * 5 * (8 + 2 * 2)


def test_every_inner_fold_trains_every_network_that_is_not_given() -> None:
    whole = {"structures": 25, "tumor": 25, "nodes": 25, "identification": 25, "metastasis": 5}
    assert whole == paper_designs.WHOLE.runs
    given = paper_designs.Design(options="", inner=2, is_given=True, variants=2, methods=3)
    assert given.runs == {"nodes": 20, "identification": 20, "metastasis": 15}


def test_the_counted_trainings_are_those_of_a_real_graph() -> None:
    names = {f"p{number:02d}": str(number % 2) for number in range(40)}
    for inner in (0, 2, 5):
        plan = plan_of("oof" if inner else "paper", nested=stored(nested_folds(names, 0, inner=inner)))
        for is_given in (False, True):
            asked = plan.model_copy(
                update={"given": (StageName.STRUCTURES, StageName.TUMOR) if is_given else ()}
            )
            graph = nested_graph(asked, {"good": "attention", "blind": "none"})
            counted = Counter(str(task.arguments["stage"]) for task in graph.values() if task.kind == "train")
            design = paper_designs.Design(options="", inner=inner, is_given=is_given, variants=2)
            assert counted == {name: n for name, n in design.runs.items() if name != "metastasis"}


def test_a_page_gets_the_table_between_its_marks(nano: Config) -> None:
    table = paper_plan.study_table(nano, 10, SIZE, COSTS)
    page = paper_designs.with_costs(
        f"before\n{paper_designs.BEGIN}\nold\n{paper_designs.END}\nafter\n", table
    )
    assert page.startswith("before\n")
    assert page.endswith(f"{paper_designs.END}\nafter\n")
    assert "old" not in page
    assert "| --inner 5, every method | 50 |" in page
    hours = sum(job.hours for job in paper_plan.nested(nano, 10, SIZE, COSTS) if job.unit != "patients")
    assert f"| --inner 5 --methods combined | 25 | {hours:,.0f} |" in page


def test_disk_grows_with_patients_and_examinations(nano: Config) -> None:
    small = paper_room.disk(nano, SIZE, patients=10, examined=4, trainings=5)
    large = paper_room.disk(nano, SIZE, patients=20, examined=8, trainings=5)
    assert [two.gigabytes / one.gigabytes for one, two in zip(small, large, strict=True)] == pytest.approx(
        [2.0, 2.0, 2.0, 1.0]
    )
    assert small[0].gigabytes > small[1].gigabytes  # what is asked for is more than what was taken
    assert small[1].gigabytes == pytest.approx(10 * 1.45 * 500_000 / 1e9)


def test_what_is_kept_for_the_backward_pass_is_what_real_tensors_take(nano: Config) -> None:
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    sampling = nano.nodes.sampling
    shape = reversed_axes(sampling.patch_size)
    network = build_node_network(nano.nodes)
    image = torch.zeros(sampling.batch_size, 2, *shape)
    attention = torch.ones(sampling.batch_size, 1, *shape)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(image, attention)
    assert len(logits) > 1
    assert paper_room.kept_for_backward(nano) == pytest.approx(sum(kept.values()), rel=0.01)
    assert paper_room.parameters(nano) == sum(weights.numel() for weights in network.parameters())


def test_the_plan_prints_hours_disk_and_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "plan.json"
    words = [
        "--config",
        "phantom_nano",
        "--patients",
        "10",
        "--voxels",
        "64",
        "64",
        "48",
        "--processors",
        "2",
    ]
    monkeypatch.setattr(sys, "argv", ["paper_plan.py", *words, "--json", str(target)])
    paper_plan.main()
    text = capsys.readouterr().out
    for line in (
        "GPU hours together",
        "prepared patients, as phantoms took",
        "a worker that prepares patients",
    ):
        assert line in text
    record = json.loads(target.read_text(encoding="utf-8"))
    assert set(record["room"]) == {"disk, train all", "disk, nested cross-validation, 5 × 5 folds", "memory"}
    assert record["how"] == "given"
    assert record["environment"]["cores"] >= 1
