import numpy as np
import pytest

from lymphct.core.errors import InputError, LeakageError
from lymphct.core.evidence import Evidence, require_out_of_fold
from lymphct.core.leakage import FittedOn
from lymphct.core.patient import Clinical, Node

NODE = Node(label=1, volume=120.0, center=(0.0, 0.0, 0.0))


def evidence(patient: str, *fitted_on: str, nodes: tuple[Node, ...] = (NODE,), rows: int = 1) -> Evidence:
    return Evidence(
        patient=patient,
        patches=None,
        tumor_volume=0.0,
        nodes=nodes,
        features=np.zeros((rows, 7)),
        clinical=Clinical(),
        fitted_on=FittedOn.of(fitted_on),
    )


def test_every_node_comes_with_its_features() -> None:
    assert evidence("p1").nodes == (NODE,)
    assert evidence("p1", nodes=(), rows=0).nodes == ()
    with pytest.raises(InputError, match="p1: 1 lymph nodes come with the features of 2"):
        evidence("p1", rows=2)


def test_evidence_by_models_that_learned_from_the_patient_is_refused_by_name() -> None:
    fair = [evidence("p1", "p2", "p3"), evidence("p2", "p1", "p3")]
    require_out_of_fold(fair)
    with pytest.raises(LeakageError, match="p3: the models were fitted on this patient"):
        require_out_of_fold([*fair, evidence("p3", "p1", "p3")])
