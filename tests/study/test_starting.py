"""A stage goes on from the same stage of another bundle, and the licence of the data goes with it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lymphct.cascade.parts import load_start
from lymphct.cascade.stages import STAGES
from lymphct.core.errors import LeakageError, ModelError
from lymphct.core.leakage import FittedOn, Roles
from lymphct.core.origin import Origin
from lymphct.core.terms import StageName
from lymphct.io.models.bundles import read_bundle
from lymphct.io.settings import load_config
from lymphct.study.plan import Run
from lymphct.study.request import TrainingRequest
from lymphct.study.single_split import train_one
from lymphct.study.starting import STARTED_FROM, start_refusals

STAGE = StageName.STRUCTURES
DATA = Origin(name="data", title="Data", licence="CC BY-NC", non_commercial=True, citation="Somebody")
SHORT = [f"structures.training.{name}=1" for name in ("epochs", "iterations_per_epoch")]


@pytest.fixture
def train(training: TrainingRequest, tmp_path: Path) -> Callable[..., Path]:
    """Train the structures on some of the phantoms, for one iteration."""

    def run(name: str, first: int, rate: float, **asked: object) -> Path:
        overrides = [*SHORT, f"structures.training.learning_rate={rate}"]
        request = replace(
            training,
            folder=tmp_path / name,
            records=training.records[first : first + 5],
            config=load_config("phantom_nano", overrides),
            **asked,  # type: ignore[arg-type] # fields of a request
        )
        return train_one(request, STAGE)

    return run


def test_weights_licence_and_teachers_go_on(train: Callable[..., Path]) -> None:
    before = train("one", 0, 0.01, origins=(DATA,))
    folder = train("two", 5, 1e-12, start_from=before)
    old, new = read_bundle(before), read_bundle(folder)
    for name, tensor in old.weights[STAGE].items():
        torch.testing.assert_close(new.weights[STAGE][name], tensor, atol=2e-3, rtol=1e-2)
    part = new.info.parts[STAGE]
    assert part.extra[STARTED_FROM] == {"bundle": "nano", "sha256": old.info.parts[STAGE].sha256}
    assert part.intensity == old.info.parts[STAGE].intensity
    assert set(old.info.parts[STAGE].seen) <= set(part.patients["train"])
    assert new.info.origins == (DATA,)
    card = (folder / "MODEL_CARD.md").read_text()
    assert "started from that of the bundle nano" in card
    assert "**Not for commercial use**" in card
    chosen_on = Run.open(folder.parent).plan.roles(STAGE).validation
    assert not set(FittedOn.of(chosen_on).hashed(new.info.salt)) & set(old.info.parts[STAGE].seen)


def test_whoever_taught_the_start_does_not_choose_the_epoch(bundle: Path, training: TrainingRequest) -> None:
    info = read_bundle(bundle).info
    seen = FittedOn(hashes=info.parts[STAGE].seen, salt=info.salt)
    known = next(record.patient_id for record in training.records if record.patient_id in seen)
    config = training.config
    roles = Roles(train=("other",), validation=(known,))
    (refused,) = start_refusals(info, config, STAGE, roles)
    assert isinstance(refused, LeakageError)
    assert list(start_refusals(info, config, STAGE, Roles(train=(known,)))) == []
    foreign = info.model_copy(update={"salt": "another key of ids"})
    (refused,) = start_refusals(info, config, STAGE, Roles(train=("other",)), (None, foreign))
    assert "different keys" in str(refused)
    bare = info.model_copy(update={"parts": {}})
    (refused,) = start_refusals(bare, config, STAGE, roles)
    assert "has no structures network" in str(refused)


def test_a_network_of_another_form_is_refused(bundle: Path, training: TrainingRequest) -> None:
    row = STAGES[StageName.TUMOR]
    network = row.build(row.settings_in(training.config), seed=0)
    with pytest.raises(ModelError, match=r"another form: \d+ tensors differ"):
        load_start(network, read_bundle(bundle).weights[STAGE], StageName.TUMOR)
