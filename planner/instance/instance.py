"""One planning instance: every file of a case read, checked against each other and resolved."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.instance.cache import Cache
    from planner.instance.calibration import Calibration
    from planner.instance.case import CaseSpec, DemandClass, SearchSpec
    from planner.instance.hardware import Accelerator
    from planner.instance.model import MoeModel


@dataclass(frozen=True)
class Pool:
    """GPUs of one kind with their price. ``domains`` is None where there are as many as wanted."""

    name: str
    accelerator: Accelerator
    domains: int | None
    gpus_per_domain: int
    usd_per_gpu_hour: float
    price_note: str
    pays_idle_gpus: bool

    @property
    def gpus(self) -> float:
        """GPUs there are; infinite without a limit on domains."""
        return float("inf") if self.domains is None else self.domains * self.gpus_per_domain


@dataclass(frozen=True)
class Instance:
    """Everything a plan is made from and judged by.

    ``expert_load`` [moe_layer, expert] holds shares, rows sum to 1. ``decode_surcharge`` is what else is generated at
    the price of decoding, as a share of the demand's output: RL rollouts of a model's training. ``cache`` is None where
    the case has no prefixes.
    """

    name: str
    case: CaseSpec
    model: MoeModel
    pools: tuple[Pool, ...]
    demand: tuple[DemandClass, ...]
    calibration: Calibration
    expert_load: NDArray[np.float64]
    expert_load_note: str
    decode_surcharge: float = 0.0
    cache: Cache | None = None

    @property
    def search(self) -> SearchSpec:
        """The choices that the program is offered."""
        return self.case.search

    @property
    def overlap_share(self) -> float:
        """Share of min(communication, rest) of a step that is hidden."""
        return self.calibration.two_batch_overlap_share if self.case.overlap == "two_batch" else 0.0

    def replace(self, **changes: object) -> Instance:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
