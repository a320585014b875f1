"""How few (group, node) pairs a balance needs, and how much balance a number of pairs allows: proven, by listing.

Draw router groups and nodes as points and every pair as a line. The picture falls into connected parts; one with
the groups A and k nodes has at least |A| + k - 1 pairs, so all have at least groups + nodes - parts. A part is alone
with its load, so with largest GPU load T

    load(A) <= k T (GPUs of a node),    sum over experts of A of max(1, ceil(w_e / T)) <= k (slots of a node).

Both hold for any split of tokens over copies. The best partition into p parts, listed over all sets of groups, hence
bounds T from below for groups + nodes - p pairs. With one node a part this is the packing of whole groups on nodes
(section 6.1 of the research notes: 105 ways for 8 groups on 4 nodes). Conversely a part can be filled node after node
with |A| + k - 1 pairs, copies being divisible; what whole copies cost the program `formulations.group_locality` finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.strategies.bounds import BISECTIONS, ROUNDING

if TYPE_CHECKING:
    from planner.strategies.problem import FloatArray, IntArray, PlacementRequest
    from planner.strategies.result import PlacementResult

LARGEST_PART = 5
"""Most nodes of a part that is handed to the program: parts of five take it about a second, parts of six 7 s."""

MOST_GROUPS = 10
"""3^10 pairs of nested sets of groups take about a second a layer."""

Part = tuple[int, int]
"""Bit mask of the groups, number of nodes."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """Equal nodes: how many, GPUs of each, slots of each GPU."""

    number: int
    gpus: int
    slots: int


@dataclass(frozen=True)
class Locality:
    """Least pairs and what they allow.

    Attributes
    ----------
    pairs
        (group, node) pairs.
    largest
        No placement with at most so many pairs has a fullest GPU below this; in the unit of the loads.
    parts
        The partition behind it.
    """

    pairs: int
    largest: float
    parts: tuple[Part, ...]


def frontier(load: FloatArray, groups: int, nodes: Nodes, largest_part: int | None = None) -> list[Locality]:
    """Bound the largest GPU load for every number of pairs, fewest pairs first.

    Parameters
    ----------
    load
        Tokens, shape [expert]; experts are numbered group by group, groups are equal.
    groups
        Router groups, from 1 to ``MOST_GROUPS``.
    nodes
        The nodes.
    largest_part
        Most nodes of a part. Where given, the steps are the best partitions of that kind, and prove nothing.

    Returns
    -------
    list
        Strictly falling ``largest``: an entry with more pairs is better. Never empty where slots hold the experts.

    Raises
    ------
    ValueError
        If the experts do not divide by the groups, or there are too many groups.
    """
    if len(load) % groups or not 1 <= groups <= MOST_GROUPS:
        raise ValueError(f"{len(load)} experts in {groups} groups: must divide, at most {MOST_GROUPS} groups")
    least = _part_loads(np.asarray(load, dtype=float).reshape(groups, -1), nodes)
    least[:, (largest_part or nodes.number) + 1 :] = np.inf
    search = _Partitions(least)
    found: list[Locality] = []
    for parts in range(nodes.number, 0, -1):
        largest, partition = search.best((1 << groups) - 1, nodes.number, parts)
        if np.isfinite(largest) and (not found or largest < found[-1].largest * (1.0 - ROUNDING)):
            used = [part for part in partition if part[0]]
            pairs = sum(_members(mask) + number - 1 for mask, number in used)
            found.append(Locality(pairs, largest * (1.0 - ROUNDING), tuple(used)))
    return found


def strict_bound(load: FloatArray, groups: int, nodes: Nodes) -> float:
    """Bound the largest GPU load where every group lives on one node; infinite where slots do not allow that."""
    return next((entry.largest for entry in frontier(load, groups, nodes) if entry.pairs == groups), np.inf)


def pairs_of(physical_to_logical_map: IntArray, request: PlacementRequest) -> IntArray:
    """(group, node) pairs in use, shape [layer]; a group uses a node that holds any of its experts' copies."""
    node = np.repeat(request.node_of_gpu, request.slot_width)
    per_group = request.experts // request.router_groups
    pairs = physical_to_logical_map // per_group * request.nodes + node
    return np.array([len(np.unique(row[held >= 0])) for row, held in zip(pairs, physical_to_logical_map, strict=True)])


def proven_locality(request: PlacementRequest, result: PlacementResult) -> tuple[FloatArray | None, FloatArray | None]:
    """Prove what the pairs of a placement allow, layers without load left out.

    Returns
    -------
    least
        Fewest pairs that any placement of this balance has, shape [layer].
    bound
        Best balance that any placement with these pairs has, shape [layer].

    Both are ``None`` for several scenarios and where nodes or groups are not equal.
    """
    equal = request.equal_slots is not None and request.equal_speed and request.gpus % request.nodes == 0
    equal = equal and len(np.unique(np.bincount(request.node_of_gpu))) == 1
    if request.scenarios > 1 or not equal or request.experts % request.router_groups:
        return None, None
    if request.router_groups > MOST_GROUPS:
        return None, None
    nodes = Nodes(request.nodes, request.gpus // request.nodes, request.slot_width)
    layers = np.flatnonzero(~request.dense_layers)
    pairs = pairs_of(result.physical_to_logical_map, request)[layers]
    least, bound = np.zeros(len(layers)), np.zeros(len(layers))
    for index, layer in enumerate(layers.tolist()):
        steps = frontier(request.unit_mean_load[0, layer], request.router_groups, nodes)
        least[index] = fewest_pairs(steps, 1.0 / float(result.balance[layer])).pairs
        allowed = [step.largest for step in steps if step.pairs <= pairs[index]]
        bound[index] = min(1.0, 1.0 / allowed[-1], float(result.bound[layer])) if allowed else result.bound[layer]
    return least, bound


def fewest_pairs(steps: list[Locality], largest: float) -> Locality:
    """Return the first step of a frontier that allows a largest load of ``largest``, else its best step."""
    return next((step for step in steps if step.largest <= largest), steps[-1])


def small_parts(load: FloatArray, groups: int, nodes: Nodes, largest: float) -> list[Locality]:
    """Return steps to try for a largest load of ``largest``, the best first; parts are no larger than that needs.

    Parts of two nodes cost the program 0.05 s, parts of three 0.3 s, parts of six 7 s, and rarely need more pairs.
    """
    steps: list[Locality] = []
    for nodes_of_part in range(1, min(nodes.number, LARGEST_PART) + 1):
        allowed = frontier(load, groups, nodes, nodes_of_part)
        step = fewest_pairs(allowed, largest) if allowed else None
        if step is not None and (not steps or step.largest < steps[-1].largest * (1.0 - ROUNDING)):
            steps.append(step)
        if steps and steps[-1].largest <= largest:
            break
    return steps[::-1]


def _part_loads(load: FloatArray, nodes: Nodes) -> FloatArray:
    """Least largest GPU load of sets of groups on numbers of nodes, shape [mask, nodes + 1]; load [group, expert]."""
    groups, per_group = load.shape
    holds: IntArray = np.arange(1 << groups)[:, None] >> np.arange(groups) & 1
    number = np.arange(nodes.number + 1)
    slots = number * nodes.gpus * nodes.slots
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.asarray((holds @ load.sum(axis=1))[:, None] / (number * nodes.gpus))
    fits = (holds.sum(axis=1) * per_group)[:, None] <= slots
    least[~fits] = np.inf
    least[0] = 0.0
    mask, count = np.nonzero(fits & (np.arange(len(holds)) > 0)[:, None])
    short = _needed(load, holds[mask], least[mask, count]) > slots[count]
    mask, count = mask[short], count[short]
    low = least[mask, count]
    high = np.array([load[holds[m] > 0].max() for m in mask])
    for _ in range(BISECTIONS if len(mask) else 0):
        middle = 0.5 * (low + high)
        enough = _needed(load, holds[mask], middle) <= slots[count]
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    least[mask, count] = low
    return least


def _needed(load: FloatArray, holds: IntArray, limit: FloatArray) -> FloatArray:
    """Slots that the groups of each set need so that no copy exceeds its limit; ``holds`` [set, group]."""
    safe = np.where(limit > 0, limit, 1.0)
    needed = np.stack([np.maximum(np.ceil(row[None] / safe[:, None] - ROUNDING), 1.0).sum(axis=1) for row in load], 1)
    return np.asarray((needed * holds).sum(axis=1))


def _members(mask: int) -> int:
    return mask.bit_count()


class _Partitions:
    """Best partitions of sets of groups over numbers of nodes, each worked out once."""

    def __init__(self, least: FloatArray) -> None:
        self.least: list[list[float]] = least.tolist()
        self.known: dict[tuple[int, int, int], tuple[float, tuple[Part, ...]]] = {}

    def best(self, mask: int, nodes: int, parts: int) -> tuple[float, tuple[Part, ...]]:
        """Least of the largest loads over partitions into ``parts`` parts; an idle node is a part without groups."""
        if mask == 0:
            return (0.0, ((0, 1),) * parts) if nodes == parts else (np.inf, ())
        if parts == 0 or nodes < parts:
            return np.inf, ()
        key = mask, nodes, parts
        if key not in self.known:
            self.known[key] = self._search(*key)
        return self.known[key]

    def _search(self, mask: int, nodes: int, parts: int) -> tuple[float, tuple[Part, ...]]:
        lowest = mask & -mask
        others = mask ^ lowest
        found: tuple[float, tuple[Part, ...]] = (np.inf, ())
        chosen = others
        while True:
            part = chosen | lowest
            for number in range(1, nodes - parts + 2):
                own = self.least[part][number]
                if own < found[0]:
                    rest, partition = self.best(mask ^ part, nodes - number, parts - 1)
                    if max(own, rest) < found[0]:
                        found = max(own, rest), ((part, number), *partition)
            if not chosen:
                return found
            chosen = (chosen - 1) & others
