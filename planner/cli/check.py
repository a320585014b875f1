"""`planner check`: validate a case and print the numbers that follow from it."""

from __future__ import annotations

from planner.cli.options import CaseArgument, SetOption
from planner.cli.support import Format, FormatOption, QuietOption, reporting


def check(
    case: CaseArgument,
    changes: SetOption = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Validate a case; print rho, sigma, balance batch, crossover context and chi of each pool.

    Example: planner check dsv3_2xnvl72
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.studies.api import open_case
        from planner.studies.derived import derived_numbers, render_derived

        payload = derived_numbers(open_case(case, changes or ()))
        output.document(payload, lambda: render_derived(payload))
