"""Closed forms of the uniform all-to-all rate, for cost tables and as known answers of the flow program."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np

from planner.errors import InstanceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from planner.topology.topology import FloatArray


TORUS_DIMENSIONS = {"torus2d": 2, "torus3d": 3}


class Fabric(Protocol):
    """What a topology needs to know of an accelerator; ``planner.instance.hardware.Accelerator`` has it all."""

    @property
    def scale_up_kind(self) -> Literal["nvswitch", "full_mesh", "torus2d", "torus3d"]:
        """How the GPUs of a scale-up domain are joined."""

    @property
    def scale_up_domain_gpus(self) -> int:
        """GPUs in a full scale-up domain."""

    @property
    def gpus_per_host(self) -> int:
        """GPUs in one machine."""

    @property
    def scale_up_bytes_per_s(self) -> float:
        """One-way rate of all scale-up links of a GPU together [B/s]."""

    @property
    def scale_up_latency_s(self) -> float:
        """One-way scale-up latency [s]."""

    @property
    def scale_out_bytes_per_s(self) -> float:
        """One-way NIC rate per GPU [B/s]."""

    @property
    def scale_out_latency_s(self) -> float:
        """One-way scale-out latency [s]."""


@overload
def domain_all_to_all_bytes_per_s(accelerator: Fabric, gpus: int, count_own_chunk: bool = False) -> float: ...
@overload
def domain_all_to_all_bytes_per_s(
    accelerator: Fabric, gpus: npt.NDArray[np.integer], count_own_chunk: bool = False
) -> FloatArray: ...
def domain_all_to_all_bytes_per_s(
    accelerator: Fabric, gpus: int | npt.NDArray[np.integer], count_own_chunk: bool = False
) -> float | FloatArray:
    """Rate at which each GPU of a group inside one scale-up domain sends in a uniform all-to-all [B/s per GPU].

    ``nvswitch``: every byte that leaves crosses the GPU's own link once, so the link's rate whatever the group.
    ``full_mesh``: a GPU has scale_up / (domain - 1) to each other one; a group of g uses g - 1 of those links.
    ``torus``: 2 * link / (longest ring's mean distance) over the group's shape, 8 * link / n for n^3 with n even;
    this counts the own chunk, so (g - 1) / g of it leaves the GPU.

    Parameters
    ----------
    accelerator
        A data sheet.
    gpus
        Group size, 1 to ``scale_up_domain_gpus``; a number or an array of any shape.
    count_own_chunk
        False: bytes that leave the GPU. True: also the chunk it keeps, g / (g - 1) as much.

    Returns
    -------
    float or FloatArray
        In the shape of ``gpus``. A group of one sends nothing: it gets the rate of its links, which is finite.

    Raises
    ------
    InstanceError
        If a size is below 1 or above the domain's.
    """
    sizes = np.asarray(gpus, dtype=np.int64)
    domain = accelerator.scale_up_domain_gpus
    if sizes.size and (sizes.min() < 1 or sizes.max() > domain):
        message = f"group sizes {sizes.min()} to {sizes.max()} do not fit into a domain of {domain} GPUs"
        raise InstanceError.single("topology", "gpus", message, f"1 to {domain}")
    distinct, place = np.unique(sizes, return_inverse=True)
    kind, total = accelerator.scale_up_kind, accelerator.scale_up_bytes_per_s
    rates = np.array([_leaving_bytes_per_s(kind, total, domain, int(size)) for size in distinct], dtype=np.float64)
    if count_own_chunk:
        rates *= np.where(distinct > 1, distinct / np.maximum(distinct - 1, 1), 1.0)
    spread = rates[place].reshape(sizes.shape)
    return spread if isinstance(gpus, np.ndarray) else float(spread)


@functools.cache
def _leaving_bytes_per_s(kind: str, total_bytes_per_s: float, domain: int, group: int) -> float:
    if kind == "nvswitch" or group == 1:
        return total_bytes_per_s
    if kind == "full_mesh":
        return total_bytes_per_s * (group - 1) / (domain - 1)
    dimensions = TORUS_DIMENSIONS[kind]
    shape = roomy_shape(group, dimensions, domain)
    link = total_bytes_per_s / (2 * dimensions)
    return min(torus_all_to_all_bytes_per_s(shape, link) * (group - 1) / group, total_bytes_per_s)


def torus_link_bytes_per_s(accelerator: Fabric) -> float:
    """One-way rate of one torus link: a chip's total over its two links per dimension [B/s]."""
    return accelerator.scale_up_bytes_per_s / (2 * TORUS_DIMENSIONS[accelerator.scale_up_kind])


def torus_all_to_all_bytes_per_s(shape: Sequence[int], link_bytes_per_s: float) -> float:
    """Uniform all-to-all rate per chip of a torus, own chunk counted [B/s].

    Traffic along dimension i covers a mean ring distance d_i (own chunk included) over the chip's links of that
    dimension, so the rate is the least of links_i * link / d_i. Shortest-path routing reaches it. With d = n / 4 for
    even n it is 8 * link / n for n^3 (seed claims dossier, C16).

    Raises
    ------
    InstanceError
        If no dimension is longer than 1.
    """
    rings = [size for size in shape if size > 1]
    if not rings:
        raise InstanceError.single("topology", "shape", f"{tuple(shape)} has one chip", "at least two chips")
    return min((1 if size == 2 else 2) * link_bytes_per_s / _mean_ring_distance(size) for size in rings)


def _mean_ring_distance(size: int) -> float:
    return (size // 2) * ((size + 1) // 2) / size


@functools.cache
def near_cubic_shape(chips: int, dimensions: int) -> tuple[int, ...]:
    """Most cubic box of exactly ``chips`` chips, sides in ascending order: the shortest longest side, then the next.

    8,960 in three dimensions is 16 x 20 x 28, as the TPU v5p pod is built.
    """
    if dimensions == 1:
        return (chips,)
    small = [side for side in range(1, math.isqrt(chips) + 1) if chips % side == 0]
    boxes = [
        sorted((*near_cubic_shape(chips // side, dimensions - 1), side), reverse=True)
        for side in {*small, *(chips // side for side in small)}
    ]
    return tuple(reversed(min(boxes)))


def roomy_shape(chips: int, dimensions: int, most: int) -> tuple[int, ...]:
    """Smallest box of ``chips`` chips or more whose longest side is at most twice its shortest.

    A group of 7 then sits in 2 x 2 x 2, not in a ring of 7. Where no such box has at most ``most`` chips, the most
    cubic box of exactly ``chips``.
    """
    for volume in range(chips, most + 1):
        shape = near_cubic_shape(volume, dimensions)
        if max(shape) <= 2 * min(shape):
            return shape
    return near_cubic_shape(chips, dimensions)


def two_level_all_to_all_bytes_per_s(
    scale_up_bytes_per_s: float, scale_out_bytes_per_s: float, crossing_share: float
) -> float:
    """All-to-all rate per GPU, own chunk counted, where a share f crosses the slower network: min(up/(1-f), out/f).

    Source: seed claims dossier, C14 and C16. It lets the own chunk use the scale-up link, so one domain of n gets the
    link's rate, not the n / (n - 1) times it that the flow program finds.
    """
    inside = scale_up_bytes_per_s / (1 - crossing_share) if crossing_share < 1 else math.inf
    return min(inside, scale_out_bytes_per_s / crossing_share if crossing_share > 0 else math.inf)


def two_level_slowdown(crossing_share: float, bandwidth_ratio: float) -> float:
    """All-to-all time relative to one domain: max(1 - f, h f) with h = scale-up over scale-out rate.

    Below one, the time that is left inside the domains, where the two networks work at once. Source: seed claims
    dossier, C14.
    """
    return max(1 - crossing_share, bandwidth_ratio * crossing_share)
