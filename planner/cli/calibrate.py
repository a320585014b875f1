"""`planner calibrate`: fit a calibration profile, or correct one with a site's own points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting
from planner.cli.validate import Split


def calibrate(
    files: Annotated[
        list[Path], typer.Argument(help="Tables of measured rows, or results of benchmark tools.", metavar="FILE...")
    ],
    out: Annotated[Path, typer.Option(help="Profile to write, a .toml file.")],
    profile: Annotated[
        str | None,
        typer.Option(
            help="Profile to start from: its values are the priors.", autocompletion=complete.names_of("calibration")
        ),
    ] = None,
    site: Annotated[
        bool, typer.Option("--site", help="Keep the profile's values and add your site's own factors (3+ points).")
    ] = False,
    by: Annotated[Split, typer.Option(help="What is left out together for the stated error.")] = Split.group,
    model: Annotated[
        str | None, typer.Option(help="Model of a benchmark tool's result.", autocompletion=complete.names_of("models"))
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(help="Accelerator of a benchmark tool's result.", autocompletion=complete.names_of("hardware")),
    ] = None,
    engine: Annotated[str | None, typer.Option(help="Engine of a benchmark tool's result.")] = None,
    precision: Annotated[str | None, typer.Option(help="Storage of a benchmark tool's result.")] = None,
    tp: Annotated[int, typer.Option(help="Tensor parallel width of a benchmark tool's result.", min=1)] = 1,
    dp: Annotated[int, typer.Option(help="Attention ranks of a benchmark tool's result.", min=1)] = 1,
    ep: Annotated[int | None, typer.Option(help="Expert parallel width of a benchmark tool's result.", min=1)] = None,
    pp: Annotated[int, typer.Option(help="Pipeline stages of a benchmark tool's result.", min=1)] = 1,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Fit a calibration profile to measured rows and state its error on parts left out.

    Example: planner calibrate measured_serving.csv --out my-profile.toml

    Example: planner calibrate c8.json c16.json c32.json --site --model glm-5 --hardware h200 --engine vllm --tp 8
    --precision fp8 --out ours.toml
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.cli.progress import counted_bar
        from planner.exchange.model_toml import frozen_toml, write_whole
        from planner.report.errors_text import calibration_text
        from planner.studies.validation.inputs import Site, read_inputs
        from planner.studies.validation.predictor import DEFAULT_PROFILE, FIT_START

        _check_target(out)
        rows = read_inputs(files, Site(model, hardware, engine, precision, tp, dp, ep, pp))
        if site:
            from planner.studies.validation.site_calibration import correct_site

            result = correct_site(rows, profile or DEFAULT_PROFILE, out.stem)
        else:
            from planner.studies.validation.calibrate import calibrate as fit_profile

            with counted_bar("calibrate", shown=not quiet, what="parts") as told:
                result = fit_profile(rows, profile or FIT_START, out.stem, by.value, told)
        write_whole(out, frozen_toml(result.profile))
        payload: dict[str, Any] = result.document | {"path": str(out)}
        output.document(payload, lambda: calibration_text(payload))


def _check_target(out: Path) -> None:
    from planner.errors import InstanceError
    from planner.files import unwritable

    if out.suffix != ".toml":
        raise InstanceError.single("--out", "", f"{out} is not a .toml file", "name a file that ends in .toml")
    reason = unwritable(out)
    if reason:
        raise InstanceError.single(str(out), "", f"cannot be written: {reason}", "give another path")
