"""Uniform all-to-all rate of a group of GPUs as the largest concurrent flow that the links carry.

Every GPU sends the same rate to every other, over any mixture of paths. Flow is aggregated by source: one flow per
source GPU, one conservation row per (source, node), one capacity row per link. Averaging over the network's
automorphisms loses nothing, so one source per orbit and one capacity row per arc orbit are enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from planner.errors import InstanceError
from planner.topology.linear_program import LinearProgram, quotient, solve
from planner.topology.symmetry import Network, Orbits, find_orbits, trivial_orbits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.topology.topology import IntArray, Topology

FULL_LP_NODES = 64
"""The program without symmetry is solved up to this many nodes."""
MOST_COLUMNS = 60_000
"""Largest program handed to HiGHS where the network has more nodes than ``FULL_LP_NODES``."""


def all_to_all_rate_bytes_per_s(
    topology: Topology,
    gpus: Sequence[int] | IntArray | None = None,
    count_own_chunk: bool = True,
    method: Literal["symmetric", "full"] = "symmetric",
) -> float:
    """Rate at which each GPU of a group can send in a uniform all-to-all [B/s per GPU].

    Parameters
    ----------
    topology
        The cluster. GPUs outside the group neither send nor relay; GPUs of the group may relay.
    gpus
        Indices into ``topology.gpus``; all of them by default. At least two.
    count_own_chunk
        With n GPUs and a rate of x between each ordered pair: n x if True (a GPU's chunk for itself counts as sent,
        as collective benchmarks report it), (n - 1) x if False (bytes that leave the GPU).
    method
        ``symmetric`` reduces the program first, exactly; ``full`` solves it as it stands, up to 64 nodes.

    Raises
    ------
    InstanceError
        If the group is smaller than two, repeats or leaves the cluster's GPUs, is not connected without other GPUs, or
        is large and too irregular for the program to be solved.
    """
    members = _checked_group(topology, gpus)
    network, unit = _group_network(topology, members)
    if method == "full" and network.node_count > FULL_LP_NODES:
        raise _error(f"the full program is solved up to {FULL_LP_NODES} nodes, this network has {network.node_count}")
    orbits = find_orbits(network) if method == "symmetric" else trivial_orbits(network)
    program = _concurrent_flow(network, orbits)
    if method == "symmetric":
        program = quotient(program)
    columns = program.objective.size
    if columns > MOST_COLUMNS and network.node_count > FULL_LP_NODES:
        raise _error(
            f"the network has too little symmetry: {columns} columns are left, {MOST_COLUMNS} is the most",
            "merge parallel planes or equal switches into one node",
        )
    per_pair = -solve(program) * unit
    return per_pair * (members.size if count_own_chunk else members.size - 1)


def _error(message: str, remedy: str = "") -> InstanceError:
    return InstanceError.single("topology", "all-to-all", message, remedy)


def _checked_group(topology: Topology, gpus: Sequence[int] | IntArray | None) -> IntArray:
    count = len(topology.gpus)
    members = np.arange(count) if gpus is None else np.asarray(gpus, dtype=np.int64)
    if members.size < 2:
        raise _error("a group needs at least two GPUs")
    if np.unique(members).size != members.size or members.min() < 0 or members.max() >= count:
        raise _error("GPU indices repeat or are out of range", f"distinct numbers from 0 to {count - 1}")
    return members


def _group_network(topology: Topology, members: IntArray) -> tuple[Network, float]:
    """Drop GPUs outside the group; return the rest and the unit of its capacities [B/s].

    The unit is an n-th of the slowest link: then rates between pairs are near one, far above the solver's tolerances.
    """
    kept = np.ones(len(topology.nodes), dtype=bool)
    kept[topology.gpu_nodes] = False
    kept[topology.gpu_nodes[members]] = True
    number = np.cumsum(kept) - 1
    arcs = topology.arcs
    usable = kept[arcs.tail] & kept[arcs.head]
    _check_connected(number[arcs.tail[usable]], number[arcs.head[usable]], number[topology.gpu_nodes[members]])
    member = np.zeros(int(kept.sum()), dtype=bool)
    member[number[topology.gpu_nodes[members]]] = True
    domain = np.full(member.size, -1, dtype=np.int64)
    domain[number[topology.gpu_nodes[members]]] = topology.domain_of[members]
    unit = float(arcs.bandwidth_bytes_per_s[usable].min()) / members.size
    network = Network(
        tail=number[arcs.tail[usable]],
        head=number[arcs.head[usable]],
        capacity=arcs.bandwidth_bytes_per_s[usable] / unit,
        member=member,
        domain=domain,
    )
    return network, unit


def _check_connected(tail: IntArray, head: IntArray, members: IntArray) -> None:
    size = int(max(members.max(), tail.max(initial=0), head.max(initial=0))) + 1
    links = coo_array((np.ones(tail.size), (tail, head)), shape=(size, size)).tocsr()
    part = connected_components(links, directed=True, connection="strong")[1][members]
    if (part != part[0]).any():
        raise _error("the group's GPUs reach each other only through GPUs outside it", "add those to the group")


def _concurrent_flow(network: Network, orbits: Orbits) -> LinearProgram:
    """Maximise the rate between each ordered pair of members.

    Columns: flow of representative source s on arc a, then the rate. For s and every node v other than s:
    inflow - outflow = rate if v is a member, else 0. For every arc orbit A:
    sum over s of |orbit of s| / |A| * (flow of s on A) <= capacity of one arc of A.
    """
    sources = np.flatnonzero(network.member)
    source_orbits, first, weight = np.unique(orbits.node[sources], return_index=True, return_counts=True)
    arc_orbits, first_arc, orbit_size = np.unique(orbits.arc, return_index=True, return_counts=True)
    arcs, nodes, copies = network.tail.size, network.node_count, source_orbits.size
    column = np.arange(copies * arcs)
    copy = np.repeat(np.arange(copies), arcs)
    rate = copies * arcs
    inflow, outflow = (copy * nodes + np.tile(end, copies) for end in (network.head, network.tail))
    receivers = np.flatnonzero(np.tile(network.member, copies))
    balance = coo_array(
        (
            np.concatenate([np.ones(rate), -np.ones(rate), np.full(receivers.size, -1.0)]),
            (
                np.concatenate([inflow, outflow, receivers]),
                np.concatenate([column, column, np.full(receivers.size, rate)]),
            ),
        ),
        shape=(copies * nodes, rate + 1),
    ).tocsr()
    rows = np.setdiff1d(np.arange(copies * nodes), np.arange(copies) * nodes + sources[first])
    arc_row = np.searchsorted(arc_orbits, np.tile(orbits.arc, copies))
    share = weight[copy] / orbit_size[arc_row]
    capacity = coo_array((share, (arc_row, column)), shape=(arc_orbits.size, rate + 1)).tocsr()
    objective = np.zeros(rate + 1)
    objective[rate] = -1.0
    return LinearProgram(
        objective=objective,
        equal=csr_array(balance[rows]),
        equal_rhs=np.zeros(rows.size),
        upper=csr_array(capacity),
        upper_rhs=network.capacity[first_arc],
    )
