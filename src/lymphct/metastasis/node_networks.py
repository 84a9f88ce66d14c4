"""Small networks that judge a patient by all of his lymph nodes: a set of them, or a graph with the tumor.

Not from the paper, whose future work they are; the gated graph of tumor, nodes and structures follows its
idea. One patient is a handful of rows: everything is trained at once, in seconds on a CPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lymphct.core.evidence import Evidence
from lymphct.core.terms import GUIDING_STRUCTURES, STATIONS, Structure
from lymphct.metastasis.node_vectors import WIDTH, RowStatistics, node_rows
from lymphct.metastasis.settings import NodeNetworkSettings

VERTEX: Final = WIDTH + 3 + len(GUIDING_STRUCTURES)
"""Numbers of a vertex: those of a node, its kind, the logarithm of the tumor's volume, which structure."""
_NEVER: Final = -1e9
"""Score of a vertex that nobody looks at."""
_TUMOR, _NODE = 0, 1
"""Places of the kinds after the numbers of a node; a structure has neither."""


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """Patients as a network of nodes sees them, padded to the same number of vertices.

    Attributes:
        rows: (b, vertices, n) numbers.
        weights: (b, vertices, vertices) of the edges, rows sum to 1 or 0.
        counted: (b, vertices) whether a vertex is read out; false for padding.

    """

    rows: Tensor
    weights: Tensor
    counted: Tensor

    def to(self, device: torch.device) -> "Example":
        """Return the patients on a device."""
        return Example(self.rows.to(device), self.weights.to(device), self.counted.to(device))


class NodeSet(nn.Module):
    """Attention over a set of lymph nodes (gated, as in multiple instance learning) beside their sum."""

    def __init__(self, settings: NodeNetworkSettings) -> None:
        super().__init__()
        hidden = settings.hidden_features
        self.embed = nn.Sequential(
            nn.Linear(WIDTH, hidden),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.readout = _Readout(hidden)

    def forward(self, patients: Example) -> Tensor:
        """Return the logits of N+ of b patients, (b,); without nodes that of an empty set."""
        logits: Tensor = self.readout(self.embed(patients.rows), patients.counted)
        return logits

    @staticmethod
    def example(evidence: Evidence, statistics: RowStatistics, settings: NodeNetworkSettings) -> Example:
        """Return a patient as a set."""
        del settings
        rows = _tensor(statistics.standard(node_rows(evidence)))
        weights, counted = torch.zeros(len(rows), len(rows)), torch.ones(len(rows), dtype=torch.bool)
        return Example(rows[None], weights[None], counted[None])


class NodeGraph(nn.Module):
    """Two rounds of messages between tumor, lymph nodes and the structures they lie at; gated updates."""

    def __init__(self, settings: NodeNetworkSettings) -> None:
        super().__init__()
        hidden = settings.hidden_features
        self.rounds = settings.rounds
        self.embed = nn.Sequential(nn.Linear(VERTEX, hidden), nn.ReLU(), nn.Dropout(settings.dropout))
        self.message = nn.Linear(hidden, hidden)
        self.update = nn.GRUCell(hidden, hidden)
        self.readout = _Readout(hidden)

    def forward(self, patients: Example) -> Tensor:
        """Return the logits of N+ of b patients, (b,)."""
        state: Tensor = self.embed(patients.rows)
        for _ in range(self.rounds):
            message = patients.weights @ self.message(state)
            state = self.update(message.flatten(0, 1), state.flatten(0, 1)).view(state.shape)
        logits: Tensor = self.readout(state, patients.counted)
        return logits

    @staticmethod
    def example(evidence: Evidence, statistics: RowStatistics, settings: NodeNetworkSettings) -> Example:
        """Return a patient as a graph: the tumor where one was found, each node, each nearest structure.

        Two nodes are tied the closer the nearer they lie (exp(−distance/reach)), and fully where their
        stations are neighbours; a node is tied to the tumor by its distance to it, to its structure fully.
        """
        nodes = evidence.nodes
        has_tumor = evidence.tumor_volume > 0
        structures = sorted({node.nearest_structure for node in nodes if node.nearest_structure is not None})
        first, then = int(has_tumor), int(has_tumor) + len(nodes)
        rows = np.zeros((then + len(structures), VERTEX))
        rows[first:then, :WIDTH] = statistics.standard(node_rows(evidence))
        rows[first:then, WIDTH + _NODE] = 1
        if has_tumor:
            rows[0, WIDTH + _TUMOR] = 1
            rows[0, WIDTH + 2] = np.log(evidence.tumor_volume) - 9.0  # of 8 ml
        for vertex, structure in enumerate(structures, start=then):
            rows[vertex, WIDTH + 3 + GUIDING_STRUCTURES.index(structure)] = 1
        weights = np.zeros((len(rows), len(rows)))
        centers = np.array([node.center for node in nodes]).reshape(-1, 3)
        apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
        tied = np.exp(-apart / settings.reach)
        for a, node in enumerate(nodes):
            for b, other in enumerate(nodes):
                if a != b:
                    near = are_neighbours(node.station, other.station)
                    weights[first + a, first + b] = max(tied[a, b], float(near))
            if has_tumor and node.tumor_distance is not None:
                tie = np.exp(-max(node.tumor_distance, 0.0) / settings.reach)
                weights[0, first + a] = weights[first + a, 0] = tie
            if node.nearest_structure is not None:
                vertex = then + structures.index(node.nearest_structure)
                weights[first + a, vertex] = weights[vertex, first + a] = 1.0
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        counted = np.arange(len(rows)) < then
        return Example(_tensor(rows)[None], _tensor(weights)[None], torch.from_numpy(counted)[None])


class _Readout(nn.Module):
    """From the states of what is counted to one logit: their attention-weighted mean beside their sum."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.weight = nn.Linear(hidden, 1)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, states: Tensor, counted: Tensor) -> Tensor:
        seen = states * counted[..., None]
        score = self.weight(torch.tanh(self.value(seen)) * torch.sigmoid(self.gate(seen)))[..., 0]
        share = torch.softmax(score.masked_fill(~counted, _NEVER), dim=1) * counted
        mean = (share[..., None] * seen).sum(dim=1)
        logits: Tensor = self.out(torch.cat([mean, seen.sum(dim=1)], dim=1))[:, 0]
        return logits


def are_neighbours(station: str, other: str) -> bool:
    """Tell whether two stations lie at one guiding structure (Japan Pancreas Society).

    >>> are_neighbours("9", "11"), are_neighbours("9", "16"), are_neighbours("", "")
    (True, False, False)
    """
    return bool(_structures_of(station) & _structures_of(other))


@cache
def _structures_of(station: str) -> frozenset[Structure]:
    return frozenset(structure for structure, stations in STATIONS.items() if station in stations)


def train_on_all(
    network: NodeSet | NodeGraph,
    examples: Sequence[Example],
    labels: Sequence[int],
    settings: NodeNetworkSettings,
    *,
    seed: int,
) -> None:
    """Train on all patients at once, both classes weighing the same; in place, the same for a seed."""
    truth = torch.tensor(labels, dtype=torch.float32)
    positive = float(truth.mean())
    weight = torch.where(truth > 0, 0.5 / positive, 0.5 / (1 - positive))
    everybody = together(examples)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(settings.iterations):
            loss = functional.binary_cross_entropy_with_logits(network(everybody), truth, weight)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    network.eval()


def together(examples: Sequence[Example]) -> Example:
    """Return patients as one batch, padded with vertices that nothing reads and no edge reaches."""
    most = max(1, *(example.rows.shape[1] for example in examples))
    padded = []
    for example in examples:
        more = most - example.rows.shape[1]
        padded.append(
            (
                functional.pad(example.rows, (0, 0, 0, more)),
                functional.pad(example.weights, (0, more, 0, more)),
                functional.pad(example.counted, (0, more)),
            )
        )
    rows, weights, counted = (torch.cat(parts) for parts in zip(*padded, strict=True))
    return Example(rows, weights, counted)


def built(
    kind: type[NodeSet] | type[NodeGraph], settings: NodeNetworkSettings, *, seed: int
) -> NodeSet | NodeGraph:
    """Return a network with random weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(settings)


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
