"""Arithmetic of redundant experts: which counts fill every GPU evenly."""

from __future__ import annotations

from planner.errors import InstanceError


def lowest_redundant(experts: int, gpus: int) -> int:
    """Smallest R with experts + R a multiple of ``gpus``; every further valid R is ``gpus`` more (vllm issue 30075)."""
    return -experts % gpus


def nearest_redundant(experts: int, gpus: int, redundant: int) -> tuple[int | None, int]:
    """Largest valid R at most ``redundant`` (``None`` if there is none) and smallest valid R at least ``redundant``."""
    lowest = lowest_redundant(experts, gpus)
    if redundant < lowest:
        return None, lowest
    lower = lowest + (redundant - lowest) // gpus * gpus
    return lower, lower if lower == redundant else lower + gpus


def slots_per_gpu(experts: int, gpus: int, redundant: int) -> int:
    """Slots on each GPU for ``redundant`` extra experts a layer.

    Raises
    ------
    InstanceError
        If experts + redundant is not a multiple of ``gpus``; names the next lower and the next higher valid count.
    """
    lower, higher = nearest_redundant(experts, gpus, redundant)
    if redundant < 0 or lower != redundant:
        nearest = f"{higher}" if lower is None or redundant < 0 else f"{lower} or {higher}"
        raise InstanceError.single(
            "command line",
            "--redundant",
            f"{experts} experts + {redundant} redundant do not spread evenly over {gpus} GPUs",
            f"nearest valid: {nearest}; valid counts are {lowest_redundant(experts, gpus)} plus multiples of {gpus}",
        )
    return (experts + redundant) // gpus
