"""Synthetic cases: a bright blob inside a wider blob of attention, on a grid of unequal sides."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lymphct.learning.cases import TrainingCase

MakeCase = Callable[..., TrainingCase]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_case() -> MakeCase:
    def make(
        seed: int = 0,
        shape: tuple[int, int, int] = (20, 36, 28),
        *,
        labelled: bool = True,
        with_attention: bool = True,
    ) -> TrainingCase:
        rng = np.random.default_rng(seed)
        center = np.array(shape) * rng.uniform(0.35, 0.65, 3)
        grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        radius = np.linalg.norm((grid - center) * (1.25, 1.0, 1.0), axis=-1)
        labels = ((radius < 6) & labelled).astype(np.uint8)
        image = rng.normal(size=(2, *shape)).astype(np.float32) + 3 * labels.astype(np.float32)
        attention = np.clip((10 - radius) / 3, 0, 1).astype(np.float32)
        return TrainingCase(
            patient=f"blob{seed}",
            image=image,
            labels=labels,
            attention=attention if with_attention else None,
            fill=-4.0,
        )

    return make
