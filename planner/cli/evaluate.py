"""`planner evaluate`: price any plan of a case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.options import CaseArgument, LoadsOption, SetOption
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.judge.evaluate import Evaluation

PlanArgument = Annotated[Path, typer.Argument(help="A plan.json.")]


def evaluate(
    case: CaseArgument,
    plan: PlanArgument,
    loads: LoadsOption = None,
    changes: SetOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Price a plan and list every limit that it breaks. Exit code 1 if it breaks one.

    Example: planner evaluate dsv3_2xnvl72 outputs/RUN/plan.json
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.judge.judge import judge
        from planner.plan import read_plan
        from planner.studies.api import open_case

        instance, given = open_case(case, changes or (), loads), read_plan(plan)
        if given.case != instance.name:
            output.note(f"note: the plan was made for {given.case}")
        evaluation = judge(instance, given)
        payload = _payload(evaluation)
        output.document(payload, lambda: _text(payload))
        if not evaluation.feasible:
            raise typer.Exit(1)


def _payload(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "cost_usd": evaluation.cost_usd,
        "feasible": evaluation.feasible,
        "violations": evaluation.violations,
        "breakdown_usd": evaluation.breakdown_usd,
        "gpus_used": evaluation.gpus_used,
        "gpus_paid": evaluation.gpus_paid,
        "deployments": [vars(report) for report in evaluation.deployments],
    }


def _text(payload: dict[str, Any]) -> str:
    lines = [f"cost {payload['cost_usd']:,.2f} $: {'meets every limit' if payload['feasible'] else 'breaks limits'}"]
    lines += [f"  - {violation}" for violation in payload["violations"]]
    lines += [f"  {phase:<10}{usd:>14,.2f} $" for phase, usd in payload["breakdown_usd"].items()]
    return "\n".join(lines)
