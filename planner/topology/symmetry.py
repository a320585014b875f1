"""Orbits of a network's nodes and arcs under automorphisms that were found by search and then verified.

Candidates come from colour refinement with one node singled out (individualised) in two copies of the network. Each
candidate permutation is checked arc by arc before it is used, so a failed search makes orbits smaller, never wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from planner.topology.refinement import refine

if TYPE_CHECKING:
    from planner.topology.topology import BoolArray, FloatArray, IntArray

_MOST_FAILURES = 64  # after so many fruitless searches the network is taken to have no further symmetry


@dataclass(frozen=True, eq=False)
class Network:
    """The part of a topology that a group's traffic may use.

    Attributes
    ----------
    tail, head
        Node index at each end of an arc, shape [arc].
    capacity
        One-way bandwidth, any unit, shape [arc].
    member
        True for GPUs of the group, shape [node].
    domain
        Domain index of a GPU, -1 elsewhere, shape [node]. Only guides the search.
    """

    tail: IntArray
    head: IntArray
    capacity: FloatArray
    member: BoolArray
    domain: IntArray

    @property
    def node_count(self) -> int:
        """Number of nodes."""
        return self.member.size

    @cached_property
    def label(self) -> IntArray:
        """Arcs of equal capacity share a label, shape [arc]."""
        return np.unique(self.capacity, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def _sorted_keys(self) -> tuple[IntArray, IntArray]:
        keys = self.tail * self.node_count + self.head
        order = np.argsort(keys)
        return keys[order], order

    def arc_images(self, image: IntArray) -> IntArray | None:
        """Arc that each arc is carried to by a node permutation, or None if the permutation is no automorphism."""
        if not np.array_equal(self.member[image], self.member):
            return None
        keys, order = self._sorted_keys
        wanted = image[self.tail] * self.node_count + image[self.head]
        place = np.searchsorted(keys, wanted)
        if place.max(initial=0) >= keys.size or not np.array_equal(keys[place], wanted):
            return None
        arcs = order[place]
        return arcs if np.array_equal(self.capacity[arcs], self.capacity) else None


@dataclass(frozen=True, eq=False)
class Orbits:
    """Orbit number of each node and each arc under the automorphisms found."""

    node: IntArray
    arc: IntArray


def trivial_orbits(network: Network) -> Orbits:
    """Every node and arc by itself: no symmetry used."""
    return Orbits(np.arange(network.node_count), np.arange(network.tail.size))


def find_orbits(network: Network) -> Orbits:
    """Join nodes and arcs that verified automorphisms carry to each other.

    Only the members' orbits are pursued, since only they are sources of traffic.
    """
    colour = refine(network.member.astype(np.int64), network.tail, network.head, network.label)
    position = _position_in_class(_search_order(network), colour)
    orbits, failures = trivial_orbits(network), 0
    pending = np.flatnonzero(network.member)[np.argsort(position[network.member], kind="stable")]
    while pending.size:
        root = pending[0]
        rejected: set[int] = set()
        for other in pending[colour[pending] == colour[root]]:
            if orbits.node[other] == orbits.node[root] or orbits.node[other] in rejected:
                continue
            image = _search_automorphism(network, colour, position, int(root), int(other))
            if image is None:
                rejected.add(int(orbits.node[other]))
                failures += 1
            else:
                orbits = _join(network, orbits, image)
            if failures >= _MOST_FAILURES:
                return orbits
        pending = pending[orbits.node[pending] != orbits.node[root]]
    return orbits


def _search_automorphism(
    network: Network, colour: IntArray, position: FloatArray, source: int, target: int
) -> IntArray | None:
    """Look for an automorphism that carries ``source`` to ``target``; the result is verified.

    Two copies of the network are refined together, the source singled out in one and the target in the other. Equal
    colours are then matched in cyclic order; if that is no automorphism, one more node is singled out in each copy.
    """
    count = network.node_count
    tail, head = (np.concatenate([end, end + count]) for end in (network.tail, network.head))
    label = np.tile(network.label, 2)
    pair = np.tile(colour, 2)
    key_left, key_right = (position - position[source]) % 1.0, (position - position[target]) % 1.0
    for _ in range(count):
        pair[[source, count + target]] = pair.max() + 1
        pair = refine(pair, tail, head, label)
        left = np.lexsort((key_left, pair[:count]))
        right = np.lexsort((key_right, pair[count:]))
        if not np.array_equal(pair[:count][left], pair[count:][right]):
            return None
        image = np.empty(count, dtype=np.int64)
        image[left] = right
        if network.arc_images(image) is not None:
            return image
        sizes = np.bincount(pair[:count])
        if sizes.max() == 1:
            return None
        first = int(np.searchsorted(pair[:count][left], np.argmax(sizes)))
        source, target = int(left[first]), int(right[first])
    return None


def _join(network: Network, orbits: Orbits, image: IntArray) -> Orbits:
    arcs = network.arc_images(image)
    if arcs is None:
        return orbits
    return Orbits(_merge(orbits.node, orbits.node[image]), _merge(orbits.arc, orbits.arc[arcs]))


def _merge(orbit: IntArray, carried_to: IntArray) -> IntArray:
    size = int(orbit.max()) + 1
    links = coo_array((np.ones(orbit.size), (orbit, carried_to)), shape=(size, size)).tocsr()
    return connected_components(links, directed=False)[1][orbit].astype(np.int64)


def _search_order(network: Network) -> IntArray:
    """Rank nodes so that like parts come in like order: GPUs by domain, then each node after the first it touches."""
    rank = np.full(network.node_count, np.iinfo(np.int64).max)
    placed = np.lexsort((np.arange(network.node_count), network.domain))[int((~network.member).sum()) :]
    ranked = 0
    while placed.size:
        rank[placed] = np.arange(ranked, ranked + placed.size)
        ranked += placed.size
        nearest = np.full(network.node_count, np.iinfo(np.int64).max)
        np.minimum.at(nearest, network.head, rank[network.tail])
        np.minimum.at(nearest, network.tail, rank[network.head])
        waiting = np.flatnonzero((rank == np.iinfo(np.int64).max) & (nearest < np.iinfo(np.int64).max))
        placed = waiting[np.argsort(nearest[waiting], kind="stable")]
    return rank


def _position_in_class(rank: IntArray, colour: IntArray) -> FloatArray:
    """Rank within the colour class as a fraction of its size, so that a shift moves all kinds of node alike."""
    order = np.lexsort((rank, colour))
    sizes = np.bincount(colour)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    position = np.empty(colour.size)
    position[order] = (np.arange(colour.size) - starts[colour[order]]) / sizes[colour[order]]
    return position
