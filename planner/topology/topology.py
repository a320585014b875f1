"""A cluster's network: GPUs, switches, NICs, leaves and spines with the links between them.

Graph attributes (``Topology.from_networkx``):

=====  ===========================  ==========================================================================
where  attribute                    meaning
=====  ===========================  ==========================================================================
node   ``kind``                     ``gpu``, ``switch`` (scale-up), ``nic``, ``leaf`` or ``spine``
node   ``domain``                   scale-up domain of a GPU: any hashable name; required on GPUs
node   ``host``                     machine that a GPU sits in; optional
edge   ``bandwidth_bytes_per_s``    one-way rate; an undirected edge carries it each way at the same time
edge   ``latency_s``                one-way delay of the link, with that of the device at its end
=====  ===========================  ==========================================================================

``networkx.Graph`` and ``networkx.DiGraph`` are accepted; numbers may be text with a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import networkx as nx
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from planner.errors import InstanceError
from planner.topology.attributes import BANDWIDTH, LATENCY, gpu_names, graph_problems, quantity
from planner.topology.paths import quickest_paths, widest_paths

if TYPE_CHECKING:
    from collections.abc import Hashable

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


class HopClass(IntEnum):
    """How far apart two GPUs are, nearest first."""

    SELF = 0
    SCALE_UP = 1
    SCALE_OUT = 2
    SPINE = 3


@dataclass(frozen=True, eq=False)
class Arcs:
    """Directed links as parallel arrays [arc]; an undirected edge is two of them."""

    tail: IntArray
    head: IntArray
    bandwidth_bytes_per_s: FloatArray
    latency_s: FloatArray


@dataclass(frozen=True, eq=False)
class Topology:
    """A checked cluster graph with the matrices that the cost model and the programs read.

    Build it with ``Topology.from_networkx`` or a function of ``planner.topology.builders``.

    Attributes
    ----------
    graph
        The graph it was built from, frozen.
    gpus
        GPU names in the graph's node order: the order of every ``[gpu]`` axis.
    domains
        Scale-up domain names in order of first appearance: the order of every ``[domain]`` axis.
    domain_of
        Domain index of each GPU, shape [gpu].
    hosts
        Host name of each GPU, or None where the graph gives none, shape [gpu].
    nodes, arcs, gpu_nodes
        All nodes, all directed links between node indices, and the node index of each GPU.
    """

    graph: nx.Graph[Any] = field(repr=False)
    gpus: tuple[Hashable, ...] = field(repr=False)
    domains: tuple[Hashable, ...]
    domain_of: IntArray = field(repr=False)
    hosts: tuple[Hashable | None, ...] = field(repr=False)
    nodes: tuple[Hashable, ...] = field(repr=False)
    arcs: Arcs = field(repr=False)
    gpu_nodes: IntArray = field(repr=False)

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any], source: str = "graph") -> Topology:
        """Check a graph and read it.

        Parameters
        ----------
        graph
            ``networkx.Graph`` or ``DiGraph`` with the attributes listed at the top of this module.
        source
            Where it came from, for error messages.

        Raises
        ------
        InstanceError
            With every problem found: a missing attribute, an unknown kind, a bandwidth that is negative, zero or NaN,
            no GPU, GPUs that cannot reach each other.
        """
        problems = graph_problems(graph, source)
        if problems:
            raise InstanceError(problems)
        nodes = tuple(graph.nodes)
        index = {node: position for position, node in enumerate(nodes)}
        gpus = tuple(gpu_names(graph))
        names = [graph.nodes[gpu]["domain"] for gpu in gpus]
        domains = tuple(dict.fromkeys(names))
        domain_index = {name: position for position, name in enumerate(domains)}
        return cls(
            graph=nx.freeze(graph.copy()),
            gpus=gpus,
            domains=domains,
            domain_of=_read_only(np.array([domain_index[name] for name in names], dtype=np.int64)),
            hosts=tuple(graph.nodes[gpu].get("host") for gpu in gpus),
            nodes=nodes,
            arcs=_read_arcs(graph, index),
            gpu_nodes=_read_only(np.array([index[gpu] for gpu in gpus], dtype=np.int64)),
        )

    @property
    def domain_sizes(self) -> IntArray:
        """GPUs in each domain, shape [domain]."""
        return np.bincount(self.domain_of, minlength=len(self.domains)).astype(np.int64)

    @property
    def crossing_share(self) -> float:
        """Share of a uniform all-to-all, own chunk counted, whose two ends lie in different domains.

        1 - sum over domains of (size / GPUs)^2: (R - 1) / R for R equal domains.
        """
        share = self.domain_sizes / len(self.gpus)
        return float(1.0 - share @ share)

    def pair_bandwidth_bytes_per_s(self) -> FloatArray:
        """Rate of one GPU sending to one other alone [B/s], shape [gpu, gpu]: the bottleneck of the widest path.

        Infinite on the diagonal, where no link is used.
        """
        return self._pair_bandwidth

    def pair_latency_s(self) -> FloatArray:
        """Least latency between two GPUs [s], shape [gpu, gpu]; zero on the diagonal."""
        return self._pair_latency

    def hop_class(self) -> IntArray:
        """``HopClass`` of each pair, shape [gpu, gpu].

        ``SCALE_OUT`` leaves the domain but needs no spine switch; ``SPINE`` cannot do without one.
        """
        return self._hop_class

    @cached_property
    def _pair_bandwidth(self) -> FloatArray:
        return _read_only(widest_paths(len(self.nodes), self.arcs, self.gpu_nodes))

    @cached_property
    def _pair_latency(self) -> FloatArray:
        return _read_only(quickest_paths(len(self.nodes), self.arcs, self.gpu_nodes))

    @cached_property
    def _hop_class(self) -> IntArray:
        kinds = np.array([self.graph.nodes[node]["kind"] for node in self.nodes])
        kept = (kinds[self.arcs.tail] != "spine") & (kinds[self.arcs.head] != "spine")
        links = coo_array(
            (np.ones(int(kept.sum())), (self.arcs.tail[kept], self.arcs.head[kept])), shape=(len(self.nodes),) * 2
        )
        pod = connected_components(links.tocsr(), directed=True, connection="strong")[1][self.gpu_nodes]
        same_pod = pod[:, None] == pod[None, :]
        same_domain = self.domain_of[:, None] == self.domain_of[None, :]
        hops = np.where(same_domain, HopClass.SCALE_UP, np.where(same_pod, HopClass.SCALE_OUT, HopClass.SPINE))
        np.fill_diagonal(hops, HopClass.SELF)
        return _read_only(hops.astype(np.int64))


def _read_arcs(graph: nx.Graph[Any], index: dict[Hashable, int]) -> Arcs:
    edges = list(graph.edges(data=True))
    tail = np.array([index[edge[0]] for edge in edges], dtype=np.int64)
    head = np.array([index[edge[1]] for edge in edges], dtype=np.int64)
    bandwidth = np.array([quantity(edge[2][BANDWIDTH], "bytes_per_s") for edge in edges], dtype=np.float64)
    latency = np.array([quantity(edge[2][LATENCY], "s") for edge in edges], dtype=np.float64)
    if not graph.is_directed():
        tail, head = np.concatenate([tail, head]), np.concatenate([head, tail])
        bandwidth, latency = np.tile(bandwidth, 2), np.tile(latency, 2)
    return Arcs(_read_only(tail), _read_only(head), _read_only(bandwidth), _read_only(latency))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array
