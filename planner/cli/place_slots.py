"""Slots of every GPU for `planner place`: as given, as before, or the fewest that will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from planner.errors import InstanceError, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from planner.cli.place_replan import Replan

SlotsOption = Annotated[
    str | None, typer.Option(help="Expert slots of a GPU in each layer, or one number a GPU: 8,8,9 or a file.")
]


class Slots(NamedTuple):
    """What the command line says about slots."""

    slots_per_gpu: str | None
    redundant: int | None
    gpus_per_node: int | None

    @property
    def given(self) -> bool:
        """Whether slots are said in any way."""
        return self.slots_per_gpu is not None or self.redundant is not None

    def problems(self) -> list[Problem]:
        """List what can be seen without the loads."""
        found = []
        text = self.slots_per_gpu
        if text is not None and text.strip().lstrip("-").isdecimal() and int(text) < 1:
            found.append(Problem("command line", "--slots-per-gpu", f"is {text}, must be at least 1"))
        if text is not None and self.redundant is not None:
            found.append(Problem("command line", "--redundant", "given beside --slots-per-gpu", "give one of the two"))
        return found

    def settle(self, experts: int, gpus: int, out_of_service: set[int], replan: Replan) -> NDArray[np.int64]:
        """Slots of each GPU, shape [gpu], 0 where out of service.

        Raises
        ------
        InstanceError
            Numbers that cannot be read, do not spread evenly, or are more than the experts.
        """
        import numpy as np

        from planner.exchange.slots import read_slots
        from planner.strategies import redundancy

        slots: int | NDArray[np.int64] | None = None
        if self.slots_per_gpu is not None:
            slots = read_slots(self.slots_per_gpu, gpus)
        elif self.redundant is None:
            slots = replan.default_slots(experts, gpus, out_of_service, self.gpus_per_node)
        if slots is None:
            in_service = gpus - len(out_of_service)
            extra = redundancy.lowest_redundant(experts, in_service) if self.redundant is None else self.redundant
            slots = redundancy.slots_per_gpu(experts, in_service, extra)
        largest = slots if isinstance(slots, int) else int(slots.max())
        if largest > experts:
            message = f"{largest} slots a GPU for {experts} experts: a second copy on a GPU carries nothing"
            remedy = "give fewer slots, redundant experts or more GPUs"
            raise InstanceError.single("command line", "slots", message, remedy)
        per_gpu = np.array(np.broadcast_to(slots, (gpus,)), dtype=np.int64)
        per_gpu[sorted(out_of_service)] = 0
        return per_gpu
