"""What GPUs cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.costs.compute import Number


def rental_usd(gpus: Number, usd_per_gpu_hour: float, hours: float) -> Number:
    """Dollars for ``gpus`` over ``hours``."""
    return gpus * usd_per_gpu_hour * hours
