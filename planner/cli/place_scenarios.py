"""How several load files count for `planner place`: their probabilities and the weight of the worst of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from planner.errors import Problem

if TYPE_CHECKING:
    from typing import Any

    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult

WeightsOption = Annotated[
    str | None, typer.Option(help="How likely each --loads is, such as 3,1,1; default: all alike.")
]
ShareOption = Annotated[
    float | None, typer.Option(help="Probability of the worst scenarios that make the tail (CVaR); default 0.25.")
]
WeightOption = Annotated[float, typer.Option(help="Weight of the tail in the objective, 0 (mean) to 1 (tail alone).")]
WorkersOption = Annotated[int | None, typer.Option(help="Layers at a time; default: one a core. Same map.")]


class Scenarios(NamedTuple):
    """What the command line says about scenarios."""

    weights: str | None
    cvar_share: float | None
    cvar_weight: float
    workers: int | None

    def problems(self) -> list[Problem]:
        """List what is no number; the request checks the rest against the loads."""
        if self.weights is None or self._numbers() is not None:
            return []
        return [
            Problem("command line", "--scenario-weights", f"{self.weights!r} is no list of numbers", "such as 3,1,1")
        ]

    def _numbers(self) -> list[float] | None:
        try:
            return [float(part) for part in (self.weights or "").split(",")]
        except ValueError:
            return None

    @property
    def request_fields(self) -> dict[str, Any]:
        """Return the fields of `PlacementRequest`."""
        import numpy as np

        fields: dict[str, Any] = {"cvar_weight": self.cvar_weight, "workers": self.workers}
        if self.weights is not None:
            fields["scenario_weights"] = np.array(self._numbers())
        return fields if self.cvar_share is None else fields | {"cvar_share": self.cvar_share}


def report(request: PlacementRequest, result: PlacementResult) -> dict[str, Any]:
    """Return how the scenarios counted and what came out, for the JSON document."""
    from planner.strategies import risk

    return {"scenario_risk": risk.summary(request, result)}


def lines(stated: dict[str, Any]) -> list[str]:
    """Return the same as text; nothing with one scenario."""
    from planner.strategies import risk

    return [] if stated["scenario_risk"] is None else [risk.text(stated["scenario_risk"])]
