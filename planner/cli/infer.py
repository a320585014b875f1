"""`planner infer`: the inverse problems."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli import complete
from planner.cli.support import Format, FormatOption, QuietOption, reporting

if TYPE_CHECKING:
    from planner.instance.price_table import PriceTable

infer_app = typer.Typer(name="infer", no_args_is_help=True, help="What prices and speeds say of the model behind them.")


@infer_app.callback()
def infer() -> None:
    """Say what prices and speeds tell of the model behind them."""


FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="Price table: a .toml, a .csv, or a shipped name.",
        autocompletion=complete.names_of("prices/api"),
    ),
]
MachineOption = Annotated[
    str | None,
    typer.Option(
        "--hardware",
        help="GPU the seller is taken to use; default: as the table says, b200_nominal for a .csv.",
        autocompletion=complete.names_of("hardware"),
    ),
]
PriceOption = Annotated[
    float | None,
    typer.Option("--usd-per-gpu-hour", min=1e-6, max=1e6, help="Its price; default: as the table says, 2 for a .csv."),
]
_CSV_MACHINE = {"hardware": "b200_nominal", "usd_per_gpu_hour": 2.0}


@infer_app.command("prices")
def prices(
    file: FileArgument,
    model: Annotated[str | None, typer.Option("--model", help="Which model of a .csv.")] = None,
    hardware: MachineOption = None,
    usd_per_gpu_hour: PriceOption = None,
    tolerance: Annotated[float, typer.Option(min=0.0, max=1.0, help="Relative tolerance of every clue.")] = 0.1,
    precision: Annotated[str | None, typer.Option(help="bf16, fp8 or fp4; default: any of them.")] = None,
    large_batch: Annotated[bool, typer.Option("--large-batch", help="Take the context step as L* itself.")] = False,
    clues: Annotated[str | None, typer.Option(help="Use only these clues, such as context_step,storage_price.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Give the least and greatest value of every hidden parameter that a price table allows, and where clues disagree.

    Example: planner infer prices gemini-3.1-pro --precision fp8 --large-batch
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.errors import InstanceError
        from planner.studies.inference import WIDTHS, Reading, infer_prices

        if precision is not None and precision not in WIDTHS:
            remedy = f"one of {', '.join(WIDTHS)}"
            raise InstanceError.single("command line", "--precision", f"no precision {precision!r}", remedy)
        given = {"hardware": hardware, "usd_per_gpu_hour": usd_per_gpu_hour}
        table = _table(file, model, {name: value for name, value in given.items() if value is not None})
        only = None if clues is None else tuple(name.strip() for name in clues.split(","))
        answer = infer_prices(table, Reading(tolerance, precision, large_batch, only=only))
        output.document(answer, lambda: _prices_text(answer))


def _table(file: str, model: str | None, machine: dict[str, Any]) -> PriceTable:
    """Read the price table; ``machine`` replaces what it says of the seller's machine."""
    from planner.errors import InstanceError
    from planner.exchange.price_csv import read_price_csv
    from planner.instance.price_table import load_price_table

    if file.endswith(".csv"):
        return read_price_csv(Path(file), model, _CSV_MACHINE | machine)
    table = load_price_table(file)
    if model not in (None, table.name):
        raise InstanceError.single("command line", "--model", f"{file} is a table of one model, {table.name}")
    return table.model_copy(update={"machine": table.machine.model_copy(update=machine)})


def _prices_text(answer: dict[str, Any]) -> str:
    from planner.report import terminal

    table = terminal.empty_table("", ("hidden parameter", "least", "greatest", "known within"), left=1)
    for name, found in answer["intervals"].items():
        if found is not None:
            within = f"a factor of {found['factor']:.3g}" if found["narrowed"] else "not identified"
            terminal.add_row(table, name.replace("_", " "), f"{found['least']:.4g}", f"{found['greatest']:.4g}", within)
    lines = [f"{answer['title']}: {len(answer['clues'])} clues, each within {answer['tolerance']:.0%}"]
    lines += [terminal.printed(table)]
    for clue, factors in answer["identifies"].items():
        narrowed = ", ".join(f"{name.replace('_', ' ')} ({factor:.3g} x)" for name, factor in factors.items())
        lines.append(f"{clue} alone narrows: {narrowed or 'nothing'}")
    for conflict in answer["conflicts"]:
        mends = ", ".join(f"{name} x {factor:.3g}" for name, factor in conflict["factor_if_only"].items())
        lines.append(f"conflict: {', '.join(conflict['clues'])}; any one of these mends it: {mends}")
    if answer["conflicts"]:
        lines.append(f"the intervals use: {', '.join(answer['intervals_from'])}")
    named = answer["combinations"]
    if "params_per_kv_byte" in named:
        lines.append(f"context step alone: {named['params_per_kv_byte']:.3g} parameters per KV byte a token (fp8)")
    if "crossover_tokens_at_full_mfu" in named:
        tokens = named["crossover_tokens_at_full_mfu"]
        lines.append(f"input over storage price, margin cancelled: L* = {tokens:,.0f} tokens x MFU")
    return "\n".join(lines)


def _interval(text: str, flag: str) -> tuple[float, float]:
    """Read a number, or two as low:high."""
    from planner.errors import InstanceError

    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high or low)
    except ValueError:
        ends = 0.0, 0.0
    if not 0 < ends[0] <= ends[1] < float("inf"):
        raise InstanceError.single("command line", flag, f"{text!r} is no positive number or LOW:HIGH")
    return ends


@infer_app.command("kv")
def kv(
    threshold: Annotated[float, typer.Option(min=1, help="Tokens at which the price steps up.")] = 200_000,
    params: Annotated[str, typer.Option(help="Active parameters; LOW:HIGH for an interval.")] = "100e9",
    rho: Annotated[str, typer.Option(help="Roofline ratio; LOW:HIGH for an interval.")] = "300",
    weight_bytes: Annotated[str, typer.Option(help="Bytes of a weight; LOW:HIGH for an interval.")] = "1",
    batch: Annotated[str | None, typer.Option(help="Batch over balance batch, above 1; default: very large.")] = None,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Give the KV bytes a token that make a context of this length cost as much in KV reading as in arithmetic.

    Example: planner infer kv --threshold 200000 --params 50e9:200e9
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.errors import InstanceError

        flags = {"--params": params, "--rho": rho, "--weight-bytes": weight_bytes, "--batch": batch}
        ends = {flag: _interval(text, flag) for flag, text in flags.items() if text is not None}
        if ends.get("--batch", (2.0, 2.0))[0] <= 1:
            raise InstanceError.single(
                "command line", "--batch", "is not above 1", "below the balance batch is no kink"
            )
        # k = w N / (rho L*), L* = threshold / (1 - 1/b): each input moves k one way, so corners are the ends
        share = [1 - 1 / value for value in ends.get("--batch", (float("inf"), float("inf")))]
        low, high = (
            ends["--weight-bytes"][at] * ends["--params"][at] * share[at] / (ends["--rho"][1 - at] * threshold)
            for at in (0, 1)
        )
        if not 0 < low <= high < float("inf"):
            raise InstanceError.single("command line", "", "numbers too large or too small", "values nearer to a model")
        answer = {"threshold_tokens": threshold, "kv_bytes_per_token": {"least": low, "greatest": high}}
        answer["intervals"] = {"kv_bytes_per_token": {"least": low, "greatest": high}}
        output.document(answer, lambda: f"KV bytes a token: {low:,.1f} to {high:,.1f}")


@infer_app.command("fastmode")
def fastmode(
    price: Annotated[float, typer.Option(min=1.0001, help="Price of the fast tier over the standard one, c.")],
    speed: Annotated[float, typer.Option(min=1.0001, help="Speed of the fast tier over the standard one, s.")],
    branch: Annotated[str, typer.Option(help="What binds the standard tier: compute or memory.")] = "compute",
    context_share: Annotated[float, typer.Option("--lambda", min=0.0, help="Context over crossover context.")] = 0.0,
    output_format: FormatOption = Format.text,
    quiet: QuietOption = False,
) -> None:
    """Give the batches that a price ratio and a speed ratio imply, and the whole price-speed menu.

    Example: planner infer fastmode --price 6 --speed 2.5 --branch memory
    """
    with reporting(output_format, quiet=quiet) as output:
        from planner.costs import fast_mode
        from planner.errors import InstanceError

        if branch not in ("compute", "memory"):
            raise InstanceError.single("command line", "--branch", f"no branch {branch!r}", "compute or memory")
        if not price * speed < float("inf"):
            raise InstanceError.single(
                "command line", "--price, --speed", "are no ratios of prices and speeds", "6, 2.5"
            )
        try:
            if branch == "compute":
                found = fast_mode.compute_bound_standard(price, speed, context_share)
            else:
                found = fast_mode.memory_bound_standard(price, speed, context_share)
        except ValueError as error:
            raise InstanceError.single("command line", "--branch", str(error), "try the other branch") from error
        points = (1.0, 2.0, 3.0, price, 15.0, 100.0)
        menu = [
            {
                "price_ratio": c,
                "speed_ratio": fast_mode.speed_at_price(found.fastest, c) if branch == "memory" else found.fastest,
            }
            for c in dict.fromkeys(sorted(points))
            if branch == "memory" or c > 1
        ]
        answer = {"branch": branch, **vars(found), "menu": menu}
        output.document(answer, lambda: _fastmode_text(answer))


def _fastmode_text(answer: dict[str, Any]) -> str:
    lines = [f"standard batch over fast batch: {answer['batch_ratio']:.4g}"]
    if answer["standard_batch"] is not None:
        lines.append(f"batches over the balance batch: {answer['standard_batch']:.4g} and {answer['fast_batch']:.4g}")
    lines.append(f"no price buys more than {answer['fastest']:.4g} times the standard speed")
    lines += [f"  price {row['price_ratio']:>6.4g} x  speed {row['speed_ratio']:.3f} x" for row in answer["menu"]]
    return "\n".join(lines)
