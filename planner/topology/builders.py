"""Clusters in the usual shapes: NVLink racks, islands on a fat tree, tori, full meshes, or from a data sheet."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import networkx as nx

from planner.errors import InstanceError, Problem
from planner.topology.domain_rate import TORUS_DIMENSIONS, Fabric, near_cubic_shape, torus_link_bytes_per_s
from planner.topology.topology import Topology
from planner.topology.wiring import ScaleOut, add_scale_out, grid, meshed, switched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.topology.wiring import Wire


def nvlink_racks(
    racks: int,
    gpus_per_rack: int = 72,
    *,
    scale_up_bytes_per_s: float,
    scale_out_bytes_per_s: float,
    scale_up_latency_s: float = 0.0,
    scale_out_latency_s: float = 0.0,
    oversubscription: float = 1.0,
    gpus_per_host: int = 4,
) -> Topology:
    """Racks that are one scale-up domain each, joined by a NIC per GPU, a leaf per rack and a spine.

    Parameters
    ----------
    racks, gpus_per_rack
        Number of racks and of GPUs in each.
    scale_up_bytes_per_s, scale_out_bytes_per_s
        One-way rate per GPU into the rack's switches and through its NIC [B/s].
    scale_up_latency_s, scale_out_latency_s
        One-way delay between two GPUs of a rack, and of two racks [s]; shared out over the links of the path.
    oversubscription
        Rate of the NICs under a leaf over the rate of its link to the spine; at least 1.
    gpus_per_host
        GPUs with the same ``host``.

    Returns
    -------
    Topology
        A single rack has no scale-out network, since its GPUs do not need one to reach each other.

    Raises
    ------
    InstanceError
        If a count, rate, latency or the oversubscription is out of range.
    """
    _check(
        {"racks": racks, "gpus_per_rack": gpus_per_rack, "gpus_per_host": gpus_per_host},
        {"scale_up_bytes_per_s": scale_up_bytes_per_s, "scale_out_bytes_per_s": scale_out_bytes_per_s},
        {"scale_up_latency_s": scale_up_latency_s, "scale_out_latency_s": scale_out_latency_s},
        oversubscription,
    )
    scale_out = ScaleOut(scale_out_bytes_per_s, scale_out_latency_s, oversubscription, domains_per_leaf=1)
    wire = switched(scale_up_bytes_per_s, scale_up_latency_s)
    return _cluster("rack", [gpus_per_rack] * racks, wire, scale_out, gpus_per_host)


def islands_on_fat_tree(
    islands: int,
    gpus_per_island: int = 8,
    *,
    scale_up_bytes_per_s: float,
    scale_out_bytes_per_s: float,
    scale_up_latency_s: float = 0.0,
    scale_out_latency_s: float = 0.0,
    oversubscription: float = 1.0,
    islands_per_leaf: int = 1,
) -> Topology:
    """Servers that are one scale-up domain each, with one NIC per GPU, on leaves under a spine.

    Parameters and errors as ``nvlink_racks``; ``islands_per_leaf`` islands share a leaf, and between them the
    oversubscription of the leaf's link to the spine does not matter.
    """
    _check(
        {"islands": islands, "gpus_per_island": gpus_per_island, "islands_per_leaf": islands_per_leaf},
        {"scale_up_bytes_per_s": scale_up_bytes_per_s, "scale_out_bytes_per_s": scale_out_bytes_per_s},
        {"scale_up_latency_s": scale_up_latency_s, "scale_out_latency_s": scale_out_latency_s},
        oversubscription,
    )
    scale_out = ScaleOut(scale_out_bytes_per_s, scale_out_latency_s, oversubscription, islands_per_leaf)
    wire = switched(scale_up_bytes_per_s, scale_up_latency_s)
    return _cluster("island", [gpus_per_island] * islands, wire, scale_out, gpus_per_island)


def torus(shape: Sequence[int] = (4, 4, 4), link_bytes_per_s: float = 1.0, *, link_latency_s: float = 0.0) -> Topology:
    """GPUs on a grid that closes on itself, each joined to its two neighbours along every dimension.

    Parameters
    ----------
    shape
        GPUs along each dimension, 1 or more dimensions. A dimension of 2 has one link, not two parallel ones: tori
        that are sold close only from four up.
    link_bytes_per_s, link_latency_s
        One-way rate [B/s] and delay [s] of each link.

    Raises
    ------
    InstanceError
        If a size, the rate or the latency is out of range.
    """
    sizes = {f"shape[{axis}]": size for axis, size in enumerate(shape)}
    _check(sizes, {"link_bytes_per_s": link_bytes_per_s}, {"link_latency_s": link_latency_s})
    return _cluster("torus", [math.prod(shape)], grid(tuple(shape), link_bytes_per_s, link_latency_s), None, 1)


def full_mesh(gpus: int, link_bytes_per_s: float, *, link_latency_s: float = 0.0) -> Topology:
    """GPUs with a link of their own between every two.

    Raises
    ------
    InstanceError
        If the number, the rate or the latency is out of range.
    """
    _check({"gpus": gpus}, {"link_bytes_per_s": link_bytes_per_s}, {"link_latency_s": link_latency_s})
    return _cluster("mesh", [gpus], meshed(link_bytes_per_s, link_latency_s), None, gpus)


def from_accelerator(accelerator: Fabric, gpus: int, *, oversubscription: float = 1.0) -> Topology:
    """Cluster of ``gpus`` GPUs of one kind, in as few scale-up domains as hold them.

    Full domains come first; the last one holds the rest. A torus domain takes the most cubic shape of its size. Each
    domain has a leaf of its own.

    Raises
    ------
    InstanceError
        If ``gpus`` is below 1 or the oversubscription below 1.
    """
    _check({"gpus": gpus}, {}, {}, oversubscription)
    full, rest = divmod(gpus, accelerator.scale_up_domain_gpus)
    sizes = [accelerator.scale_up_domain_gpus] * full + [rest] * (rest > 0)
    scale_out = ScaleOut(
        accelerator.scale_out_bytes_per_s, accelerator.scale_out_latency_s, oversubscription, domains_per_leaf=1
    )
    return _cluster("domain", sizes, _inside(accelerator), scale_out, accelerator.gpus_per_host)


def _inside(accelerator: Fabric) -> Wire:
    rate, latency = accelerator.scale_up_bytes_per_s, accelerator.scale_up_latency_s
    if accelerator.scale_up_kind == "nvswitch":
        return switched(rate, latency)
    if accelerator.scale_up_kind == "full_mesh":
        return meshed(rate / max(accelerator.scale_up_domain_gpus - 1, 1), latency)
    link = torus_link_bytes_per_s(accelerator)
    dimensions = TORUS_DIMENSIONS[accelerator.scale_up_kind]

    def wire(graph: nx.Graph[Any], gpus: list[str]) -> None:
        grid(near_cubic_shape(len(gpus), dimensions), link, latency)(graph, gpus)

    return wire


def _cluster(
    domain_word: str,
    sizes: Sequence[int],
    wire: Wire,
    scale_out: ScaleOut | None,
    gpus_per_host: int,
) -> Topology:
    """Add domains of the given sizes, wire each one inside, and join them where there are several."""
    graph: nx.Graph[Any] = nx.Graph()
    domains: list[list[str]] = []
    starts = itertools.accumulate(sizes, initial=0)
    for number, (start, size) in enumerate(zip(starts, sizes, strict=False)):
        gpus = [f"gpu{start + position}" for position in range(size)]
        for position, gpu in enumerate(gpus):
            host = f"{domain_word}{number}-host{position // gpus_per_host}"
            graph.add_node(gpu, kind="gpu", domain=f"{domain_word}{number}", host=host)
        wire(graph, gpus)
        domains.append(gpus)
    if len(domains) > 1 and scale_out is not None:
        add_scale_out(graph, domains, scale_out)
    return Topology.from_networkx(graph)


def _check(
    counts: dict[str, int], rates: dict[str, float], latencies: dict[str, float], oversubscription: float = 1.0
) -> None:
    problems = [Problem("topology", key, f"{value} is below 1") for key, value in counts.items() if value < 1]
    problems += [
        Problem("topology", key, f"{value} is not a finite rate above zero")
        for key, value in rates.items()
        if not 0 < value < math.inf
    ]
    problems += [
        Problem("topology", key, f"{value} is not a finite time of zero or more")
        for key, value in latencies.items()
        if not 0 <= value < math.inf
    ]
    if not 1 <= oversubscription < math.inf:
        problems.append(Problem("topology", "oversubscription", f"{oversubscription} is below 1 or not finite"))
    if problems:
        raise InstanceError(problems)
