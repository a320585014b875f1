"""`planner init`: a commented case file to start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

EXAMPLE = (
    "Example: planner init --model deepseek-v3 --hardware h200 --gpus 64 --requests-per-s 20 --input-tokens 4000 "
    "--output-tokens 500 --ttft '2 s' --tpot '50 ms' --out my_case.toml"
)

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", help="Model; `planner list models` names them.", autocompletion=complete.names_of("models")
    ),
]
HardwareOption = Annotated[
    str | None,
    typer.Option(
        "--hardware", help="GPU; `planner list hardware` names them.", autocompletion=complete.names_of("hardware")
    ),
]
GpusOption = Annotated[int | None, typer.Option("--gpus", min=1, max=10**6, help="GPUs there are; default: no limit.")]
RateOption = Annotated[str | None, typer.Option("--requests-per-s", help="Requests a second.")]
InputOption = Annotated[int | None, typer.Option("--input-tokens", min=1, max=10**9, help="Tokens of a prompt.")]
OutputOption = Annotated[int | None, typer.Option("--output-tokens", min=1, max=10**9, help="Tokens of an answer.")]
TtftOption = Annotated[str | None, typer.Option("--ttft", help="Limit on time to first token, such as '2 s'.")]
TpotOption = Annotated[str | None, typer.Option("--tpot", help="Limit on time per output token, such as '50 ms'.")]
PriceOption = Annotated[
    float | None, typer.Option("--usd-per-gpu-hour", min=0.0, help="Price; default: a shipped price of this GPU.")
]
OutFile = Annotated[Path, typer.Option("--out", help="File to write; it must not exist.")]


def init(
    model: ModelOption = None,
    hardware: HardwareOption = None,
    gpus: GpusOption = None,
    requests_per_s: RateOption = None,
    input_tokens: InputOption = None,
    output_tokens: OutputOption = None,
    ttft: TtftOption = None,
    tpot: TpotOption = None,
    usd_per_gpu_hour: PriceOption = None,
    out: OutFile = Path("case.toml"),
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Write a commented case from a model, a GPU and a demand; on a terminal it asks for what is missing."""
    with reporting(output_format, quiet=quiet) as output:
        from planner.files import write_text
        from planner.instance.loading_case import load_case
        from planner.studies.draft import DraftQuestion, draft_case
        from planner.studies.runs import relative_path

        _refuse(out)
        given = {
            "--model": model,
            "--hardware": hardware,
            "--requests-per-s": requests_per_s,
            "--input-tokens": input_tokens,
            "--output-tokens": output_tokens,
        }
        answers = _answers(given, ask=sys.stdin.isatty() and not quiet)
        question = DraftQuestion(
            **_checked(answers, ttft, tpot), gpus=gpus, usd_per_gpu_hour=usd_per_gpu_hour, name=_name(out)
        )
        draft = draft_case(question)
        write_text(out, draft.text)
        try:
            load_case(out)
        except BaseException:
            out.unlink()
            raise
        path = relative_path(out)
        output.document({"path": path, "case": draft.data}, lambda: f"{path} written; next: planner solve {path}")


init.__doc__ = f"{init.__doc__}\n\n{EXAMPLE}"


def _refuse(out: Path) -> None:
    from planner.errors import InstanceError
    from planner.files import unwritable

    if out.suffix != ".toml":
        raise InstanceError.single(str(out), "--out", "does not end with .toml", "name it so: cases are read by suffix")
    if out.exists():
        raise InstanceError.single(str(out), "--out", "exists already", "name another file")
    if (fault := unwritable(out)) is not None:
        raise InstanceError.single(str(out), "--out", f"cannot be written: {fault}", "name another file")


def _name(out: Path) -> str:
    return out.stem or "my_case"


_ASKED = {
    "--model": ("Model (planner list models)", "deepseek-v3"),
    "--hardware": ("GPU (planner list hardware)", "h200"),
    "--requests-per-s": ("Requests a second", "10"),
    "--input-tokens": ("Tokens of a prompt", "2048"),
    "--output-tokens": ("Tokens of an answer", "512"),
}


def _answers(given: dict[str, Any], *, ask: bool) -> dict[str, Any]:
    """Fill in what is missing by asking, or refuse and name it all."""
    from planner.errors import InstanceError, Problem

    missing = [flag for flag, value in given.items() if value is None]
    if not ask:
        if missing:
            raise InstanceError(
                Problem("command line", flag, "is missing", f"such as {_ASKED[flag][1]}") for flag in missing
            )
        return given
    return given | {flag: typer.prompt(_ASKED[flag][0], default=_ASKED[flag][1], err=True) for flag in missing}


def _checked(answers: dict[str, Any], ttft: str | None, tpot: str | None) -> dict[str, Any]:
    """Read numbers with units; every problem at once."""
    from planner.errors import InstanceError, Problem
    from planner.units import parse

    problems: list[Problem] = []

    def read(flag: str, text: str, unit: str) -> float:
        try:
            value = parse(text, unit)
        except ValueError as error:
            problems.append(Problem("command line", flag, str(error), "give a number, with a unit where it has one"))
            return 0.0
        if not value > 0:
            problems.append(Problem("command line", flag, f"is {text}, must be above 0"))
        return value

    def whole(flag: str) -> int:
        try:
            return int(answers[flag])
        except ValueError:
            problems.append(Problem("command line", flag, f"{answers[flag]!r} is not a whole number"))
            return 1

    checked = {
        "model": str(answers["--model"]),
        "hardware": str(answers["--hardware"]),
        "requests_per_s": read("--requests-per-s", str(answers["--requests-per-s"]), "per_s"),
        "input_tokens": whole("--input-tokens"),
        "output_tokens": whole("--output-tokens"),
        "ttft_s": None if ttft is None else read("--ttft", ttft, "s"),
        "tpot_s": None if tpot is None else read("--tpot", tpot, "s"),
    }
    if problems:
        raise InstanceError(problems)
    return checked
