"""`planner validate`: score the cost models on measured rows."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

validate_app = typer.Typer(name="validate", no_args_is_help=True, help="Score the cost models on measured rows.")


class Split(StrEnum):
    """What rows are tabled, and left out, together by."""

    group = "group"
    model = "model"
    hardware = "hardware"
    engine = "engine"
    generation = "generation"


@validate_app.callback()
def validate() -> None:
    """Score the cost models on measured rows."""


@validate_app.command("serving")
def serving(
    file: Annotated[Path, typer.Argument(help="Measured rows; columns as in measured_serving.csv.")],
    profile: Annotated[
        str | None,
        typer.Option(
            help="Calibration profile; default: the shipped fit.", autocompletion=complete.names_of("calibration")
        ),
    ] = None,
    by: Annotated[Split, typer.Option(help="Rows of one line of the table; group: model, accelerator, engine.")] = (
        Split.group
    ),
    left_out: Annotated[
        bool, typer.Option("--left-out", help="Predict each part by a fit to all others instead of the profile.")
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Another planner's answers: CSV with id, status, ttft_ms, tpot_ms.")
    ] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Score the serving model on measured rows, beside hand values and the prototype's form.

    Every row is scored or counted with the reason why not.

    Example: planner validate serving measured_serving.csv --by hardware
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import counted_bar
        from planner.report.errors_text import validation_text
        from planner.studies.validation.predictor import DEFAULT_PROFILE
        from planner.studies.validation.validate import Question, validate_serving

        question = Question(file, profile or DEFAULT_PROFILE, by.value, left_out, predictions)
        with counted_bar("validate", shown=not quiet, what="parts") as told:
            payload: dict[str, Any] = validate_serving(question, told)
        output.document(payload, lambda: validation_text(payload))
