"""`planner init`: a commented case file to start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from collections.abc import Callable

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
    try:
        return given | {flag: _asked(flag) for flag in missing}
    except typer.Abort:  # Ctrl-C or the end of the input: interrupted like any other command
        sys.stderr.write("\n")
        raise KeyboardInterrupt from None


def _asked(flag: str) -> str:
    """Ask until the answer can be used."""
    question, default = _ASKED[flag]
    return str(typer.prompt(question, default=default, err=True, value_proc=lambda answer: _usable(flag, answer)))


def _usable(flag: str, answer: str) -> str:
    """Return the answer to one question.

    Raises
    ------
    typer.BadParameter
        If it cannot be used; the question is then asked again.
    """
    from planner.errors import InstanceError
    from planner.instance.loading import load_accelerator, load_model

    answer = answer.strip()
    named: dict[str, Callable[[str], object]] = {"--model": load_model, "--hardware": load_accelerator}
    try:
        if flag in named:
            named[flag](answer)
        else:
            _number(flag, answer)
    except InstanceError as error:
        told = "; ".join(f"{entry.message} ({entry.remedy})" for entry in error.problems)
        raise typer.BadParameter(told) from None
    return answer


def _number(flag: str, text: str) -> float | int:
    """Read the number that a flag takes.

    Raises
    ------
    InstanceError
        If it is none, or not above 0.
    """
    from planner.errors import InstanceError
    from planner.units import parse

    whole = flag.endswith("-tokens")
    try:
        value = int(text) if whole else parse(text, "per_s" if flag == "--requests-per-s" else "s")
    except ValueError as error:
        fault = f"{text!r} is not a whole number" if whole else str(error)
        raise InstanceError.single("command line", flag, fault, "give a number, with a unit where it has one") from None
    if not value > 0:
        raise InstanceError.single("command line", flag, f"is {text}, must be above 0", "give a number above 0")
    return value


def _checked(answers: dict[str, Any], ttft: str | None, tpot: str | None) -> dict[str, Any]:
    """Read numbers with units; every problem at once, names that are not shipped among them."""
    from planner.errors import InstanceError, Problem
    from planner.instance.loading import load_accelerator, load_model

    problems: list[Problem] = []

    def read(flag: str, text: object) -> Any:  # noqa: ANN401 - whole for tokens
        try:
            return _number(flag, str(text))
        except InstanceError as error:
            problems.extend(error.problems)
            return 1

    checked = {
        "model": str(answers["--model"]),
        "hardware": str(answers["--hardware"]),
        "requests_per_s": read("--requests-per-s", answers["--requests-per-s"]),
        "input_tokens": read("--input-tokens", answers["--input-tokens"]),
        "output_tokens": read("--output-tokens", answers["--output-tokens"]),
        "ttft_s": None if ttft is None else read("--ttft", ttft),
        "tpot_s": None if tpot is None else read("--tpot", tpot),
    }
    for key, load in (("model", load_model), ("hardware", load_accelerator)):
        try:
            load(checked[key])
        except InstanceError as error:
            problems += [Problem("command line", f"--{key}", entry.message, entry.remedy) for entry in error.problems]
    if problems:
        raise InstanceError(problems)
    return checked
