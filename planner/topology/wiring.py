"""How GPUs are joined inside a scale-up domain, and domains with each other."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import networkx as nx

    Wire: TypeAlias = Callable[[nx.Graph[Any], list[str]], None]


@dataclass(frozen=True)
class ScaleOut:
    """One NIC a GPU, a leaf over every ``domains_per_leaf`` domains, one spine over all leaves."""

    bytes_per_s: float
    latency_s: float
    oversubscription: float
    domains_per_leaf: int


def add_scale_out(graph: nx.Graph[Any], domains: list[list[str]], scale_out: ScaleOut) -> None:
    """Give every GPU a NIC, every group of domains a leaf, and the leaves a spine where there are several."""
    groups = [
        list(itertools.chain.from_iterable(domains[start : start + scale_out.domains_per_leaf]))
        for start in range(0, len(domains), scale_out.domains_per_leaf)
    ]
    hop_s = scale_out.latency_s / 6  # GPU, NIC, leaf, spine, leaf, NIC, GPU
    for number, gpus in enumerate(groups):
        leaf = f"leaf{number}"
        graph.add_node(leaf, kind="leaf")
        for gpu in gpus:
            nic = gpu.replace("gpu", "nic")
            graph.add_node(nic, kind="nic")
            _link(graph, gpu, nic, scale_out.bytes_per_s, hop_s)
            _link(graph, nic, leaf, scale_out.bytes_per_s, hop_s)
        if len(groups) > 1:
            graph.add_node("spine0", kind="spine")
            _link(graph, leaf, "spine0", len(gpus) * scale_out.bytes_per_s / scale_out.oversubscription, hop_s)


def switched(bytes_per_s: float, latency_s: float) -> Wire:
    """Join GPUs by one switch that carries every GPU's rate; half of the latency on each link."""

    def wire(graph: nx.Graph[Any], gpus: list[str]) -> None:
        switch = f"switch_{graph.nodes[gpus[0]]['domain']}"
        graph.add_node(switch, kind="switch")
        for gpu in gpus:
            _link(graph, gpu, switch, bytes_per_s, latency_s / 2)

    return wire


def meshed(bytes_per_s: float, latency_s: float) -> Wire:
    """Join every two GPUs by a link of their own."""

    def wire(graph: nx.Graph[Any], gpus: list[str]) -> None:
        for one, other in itertools.combinations(gpus, 2):
            _link(graph, one, other, bytes_per_s, latency_s)

    return wire


def grid(shape: tuple[int, ...], bytes_per_s: float, latency_s: float) -> Wire:
    """Join GPUs along each dimension of a grid in rings; the last dimension varies fastest."""

    def wire(graph: nx.Graph[Any], gpus: list[str]) -> None:
        cells = list(itertools.product(*map(range, shape)))
        gpu_at = dict(zip(cells, gpus, strict=True))
        for cell, axis in itertools.product(cells, range(len(shape))):
            following = (*cell[:axis], (cell[axis] + 1) % shape[axis], *cell[axis + 1 :])
            if following != cell:
                _link(graph, gpu_at[cell], gpu_at[following], bytes_per_s, latency_s)

    return wire


def _link(graph: nx.Graph[Any], one: str, other: str, bytes_per_s: float, latency_s: float) -> None:
    graph.add_edge(one, other, bandwidth_bytes_per_s=bytes_per_s, latency_s=latency_s)
