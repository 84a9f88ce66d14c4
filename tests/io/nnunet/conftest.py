"""Results folders as nnU-Net writes them."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[3]))  # what several rooms' tests share lies beside them

from tests.nnunet_results import write_results


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., tuple[Path, nn.Module]]:
    """Return a function that writes a results folder and gives the network in it."""

    def made(**given: Any) -> tuple[Path, nn.Module]:
        return write_results(tmp_path / "results", **given)

    return made
