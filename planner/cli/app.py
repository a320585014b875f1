"""The `planner` program: registers one command a file."""

from __future__ import annotations

import io
import signal
import sys

import typer

from planner.cli.calibrate import calibrate
from planner.cli.check import check
from planner.cli.claims import claims
from planner.cli.compare import compare
from planner.cli.doctor import doctor
from planner.cli.estimate import estimate
from planner.cli.evaluate import evaluate
from planner.cli.export import export
from planner.cli.import_ import import_app
from planner.cli.infer import infer_app
from planner.cli.init import init
from planner.cli.list_ import list_
from planner.cli.menu import menu
from planner.cli.place import place
from planner.cli.report import report
from planner.cli.solve import solve
from planner.cli.sweep import sweep
from planner.cli.tokens import tokens
from planner.cli.validate import validate_app

app = typer.Typer(
    name="planner",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Plan mixture-of-experts serving and training at least total compute cost, with a proven bound beside it.",
)


@app.callback()
def planner() -> None:
    """Keep the program a group of commands, however few are registered."""


app.command("solve")(solve)
app.command("check")(check)
app.command("evaluate")(evaluate)
app.command("compare")(compare)
app.command("sweep")(sweep)
app.command("tokens")(tokens)
app.command("estimate")(estimate)
app.command("calibrate")(calibrate)
app.command("claims")(claims)
app.command("place")(place)
app.command("menu")(menu)
app.command("report")(report)
app.command("export")(export)
app.command("list")(list_)
app.command("init")(init)
app.command("doctor")(doctor)
app.add_typer(import_app)
app.add_typer(infer_app)
app.add_typer(validate_app)


def main() -> None:
    """Entry point of the console script."""
    # a scheduler's polite stop is a Ctrl-C: the best plan so far is written
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the letters of a table still gets its numbers
    app()
