"""Set a plan beside what somebody really paid, and beside the plan under another calibration."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from planner.errors import NoPlanFound
from planner.instance.resolve import load_calibration
from planner.solver.result import StopReason
from planner.studies.serving import ServingAnswer, solve_serving

if TYPE_CHECKING:
    from planner.instance.case import ReferenceSpec
    from planner.solver.options import SolveOptions


def beside_reference(answer: ServingAnswer, reference: ReferenceSpec, options: SolveOptions) -> dict[str, Any]:
    """Cost of the reference, of the plan, and of the plan under the reference's calibration, as ratios to the first.

    The last is left out where that calibration has no plan.

    Raises
    ------
    KeyboardInterrupt
        Also where the solver took Ctrl-C for itself.
    """
    other = answer.instance.replace(
        calibration=load_calibration(reference.calibration).for_engine(answer.instance.case.engine)
    )
    answers = [answer]
    with contextlib.suppress(NoPlanFound):
        answers.append(solve_serving(other, options))
    if answers[-1].stop_reason is StopReason.interrupted:
        raise KeyboardInterrupt
    return {
        "cost_usd": reference.cost_usd,
        "source": reference.source,
        "note": reference.note,
        "plans": [
            {
                "calibration": entry.instance.calibration.name,
                "title": entry.instance.calibration.title,
                "cost_usd": entry.cost_usd,
                "bound_usd": entry.bound_usd,
                "ratio": entry.cost_usd / reference.cost_usd,
                "gpus_used": sum(entry.evaluation.gpus_used.values()),
            }
            for entry in answers
        ],
    }
