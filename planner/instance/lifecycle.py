"""A case that leaves the model open: the members of a family, the quality to reach, and what training costs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.instance.case import CaseSpec, LifecycleSpec
    from planner.instance.effective_params import EffectiveParamsRule
    from planner.instance.instance import Instance
    from planner.instance.law import LossLaw

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Training:
    """Price and speed of training until training runs are modelled: a stated efficiency."""

    hardware: str
    usd_per_gpu_hour: float
    price_note: str
    flop_per_s: float
    efficiency: float

    @property
    def usd_per_flop(self) -> float:
        """Dollars of one model FLOP of training."""
        return self.usd_per_gpu_hour / SECONDS_PER_HOUR / self.flop_per_s


@dataclass(frozen=True)
class LifecycleInstance:
    """The open case. ``members`` are serving instances of the same demand, one a model."""

    name: str
    case: CaseSpec
    spec: LifecycleSpec
    law: LossLaw
    rule: EffectiveParamsRule
    training: Training
    members: tuple[Instance, ...]

    @property
    def horizon_s(self) -> float:
        """Seconds for which the demand is served."""
        return self.case.horizon_hours * SECONDS_PER_HOUR

    @property
    def output_tokens(self) -> float:
        """Output tokens over the horizon."""
        rate = sum(demand.requests_per_s * demand.output_tokens for demand in self.case.demand)
        return rate * self.horizon_s

    @property
    def input_tokens(self) -> float:
        """Input tokens computed over the horizon (cache hits left out)."""
        rate = sum(demand.requests_per_s * demand.new_input_tokens for demand in self.case.demand)
        return rate * self.horizon_s

    def replace(self, **changes: object) -> LifecycleInstance:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]
