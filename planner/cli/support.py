"""What every command shares: the output format, error handling and exit codes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.documents import json_ready
from planner.errors import InstanceError, NoPlanFound, PlannerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXIT_INTERRUPTED = 130


class Format(StrEnum):
    """How a command prints its answer."""

    text = "text"
    json = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json: one document on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="No progress and no notes on stderr.")]


class Output:
    """Where a command sends its answer (stdout) and its notes (stderr)."""

    def __init__(self, output_format: Format, *, quiet: bool) -> None:
        self.format = output_format
        self.quiet = quiet

    def document(self, payload: dict[str, Any], render: Callable[[], str], *, as_it_is: bool = False) -> None:
        """Print the answer: the payload as one JSON document, or the text that ``render`` makes of it.

        The text is broken at 80 columns, unless it is a file's content to print ``as_it_is``.
        """
        if self.format is Format.json:
            text = json.dumps(json_ready(payload), indent=2)
        elif as_it_is:
            text = render()
        else:
            from planner.cli.colour import coloured
            from planner.report.wrapping import fitted

            text = coloured(fitted(render()))
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a remark for people on stderr unless ``--quiet``."""
        if not self.quiet:
            sys.stderr.write(text + "\n")


@contextmanager
def reporting(output_format: Format, *, quiet: bool = False) -> Iterator[Output]:
    """Run a command body; turn planner errors into a message on stderr and the contract's exit code."""
    output = Output(output_format, quiet=quiet)
    try:
        yield output
    except NoPlanFound as error:
        if output_format is Format.json:
            output.document({"status": "none", "stop_reason": error.stop_reason, "reasons": list(error.reasons)}, str)
        heading = "No plan meets the limits" if error.stop_reason == "infeasible" else "No plan was found"
        sys.stderr.write(f"{heading}:\n" + "".join(f"  - {reason}\n" for reason in error.reasons))
        raise typer.Exit(error.exit_code) from None
    except PlannerError as error:
        lines = str(error).splitlines() or [type(error).__name__]
        sys.stderr.write("error: " + "\n       ".join(lines) + "\n")
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        _drop_stdout()
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"error: {named}{error.strerror or error} (check the path, the rights and the free space)\n")
        raise typer.Exit(InstanceError.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _drop_stdout() -> None:
    """Nobody reads on, as after `planner list cases | head -1`: what is left to print goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
