"""The interface every placement strategy has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from planner.strategies.problem import PlacementRequest
    from planner.strategies.result import PlacementResult


class Strategy(Protocol):
    """A way to place experts."""

    name: str

    def supports(self, request: PlacementRequest) -> str | None:
        """Return why the request cannot be served, or ``None`` if it can."""
        ...

    def place(self, request: PlacementRequest) -> PlacementResult:
        """Place every layer of the request."""
        ...
