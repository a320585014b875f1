"""Figures of the ledger's page as plotly documents; what they say in words is in `claims_page`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from planner.report import words
from planner.report.figures import document, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BLUE, ORANGE, GREEN, PURPLE, GREY = "#4a7de0", "#c2671a", "#2a9d6a", "#9a66d8", "#8c929b"
HUES = (BLUE, ORANGE, GREEN, PURPLE)
LEGEND = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
HEIGHT = 360
_ROOM = 0.02
"""Decades past the last tick, so that it is drawn."""


def batch(series: Mapping[str, Any]) -> dict[str, Any]:
    """Cost over the floor against the batch, one curve a context, with a mark where each bends."""
    figure = _blank()
    for curve, colour in zip(series["curves"], HUES, strict=False):
        tokens = curve["context_tokens"]
        name = "short context" if tokens == 0 else f"context of {tokens:,.0f} tokens"
        _line(figure, series["batch"], curve["cost"], name, colour, "%{x:,.0f} sequences<br>%{y:.3g} x the floor")
        _marks(figure, [curve["kink"]], [curve["kink_cost"]], colour, f"kink at {curve['kink']:,.0f} sequences")
    low, high = series["batch"][0], series["batch"][-1]
    figure.update_xaxes(title_text="sequences served together", **_decades(low, high))
    figure.update_yaxes(title_text="cost of a token over the least", **_decades(0.8, 60))
    return _done(figure)


def menu(series: Mapping[str, Any]) -> dict[str, Any]:
    """Speed over standard against the price paid for it."""
    figure = _blank()
    hover = "%{x:.3g} x the price<br>%{y:.3g} x the speed"
    _line(figure, series["price"], series["speed"], "if reading memory takes longest", BLUE, hover)
    cap = [series["fastest_if_arithmetic_binds"]] * len(series["price"])
    _line(figure, series["price"], cap, "if arithmetic takes longest", ORANGE, hover, dash="dash")
    price, speed = series["public"]
    _marks(figure, [price], [speed], BLUE, f"sold: {price:g} x the price, {speed:g} x the speed", size=11, named=True)
    figure.update_xaxes(title_text="price over standard", **_decades(1, 100))
    figure.update_yaxes(title_text="speed over standard", range=[0.9, 3.0])
    return _done(figure)


def context(series: Mapping[str, Any]) -> dict[str, Any]:
    """Cost and price over their base against the context."""
    figure = _blank()
    hover = "%{x:,.0f} tokens<br>%{y:.3g} x the base"
    axis, step = series["context"], series["step_tokens"]
    _line(figure, axis, series["cost_large_batch"], "cost, very large batch", BLUE, hover)
    floor = series["cost_at_batch"][0]
    _line(figure, axis, [cost / floor for cost in series["cost_at_batch"]], "cost, usual batch", PURPLE, hover)
    for (name, rise), colour in zip(series["price_steps"].items(), (ORANGE, GREEN), strict=True):
        prices = [1.0, 1.0, rise, rise]
        _line(figure, [axis[0], step, step, axis[-1]], prices, f"price of {escaped(name)}", colour, hover, dash="dash")
    tokens = range(0, 1_000_001, 200_000)
    figure.update_xaxes(title_text="context, tokens", range=[0, 1.01e6], tickvals=list(tokens))
    figure.update_xaxes(ticktext=["0", *(f"{value // 1000:,}k" for value in tokens[1:-1]), "1 M"])
    figure.update_yaxes(title_text="over a short context", range=[0.8, 5.3])
    return _done(figure)


def tiers(series: Mapping[str, Any]) -> dict[str, Any]:
    """Dollars to keep a million tokens' KV for a time and read it once, by tier."""
    figure = _blank()
    hover = "held %{x:.3g} s<br>$%{y:.3g} a million tokens"
    for (name, dollars), colour in zip(series["usd"].items(), HUES, strict=False):
        _line(figure, series["hold_s"], dollars, escaped(TIER_NAMES.get(name, name)), colour, hover)
    again = [series["recompute_usd"]] * len(series["hold_s"])
    _line(figure, series["hold_s"], again, "compute it again", GREY, hover, dash="dash")
    ticks = {1e-3: "1 ms", 1.0: "1 s", 60.0: "1 min", 3600.0: "1 h", 86400.0: "1 day"}
    span = [math.log10(series["hold_s"][0]), math.log10(series["hold_s"][-1])]
    figure.update_xaxes(title_text="time until it is read again", type="log", range=span)
    figure.update_xaxes(tickvals=list(ticks), ticktext=list(ticks.values()))
    figure.update_yaxes(title_text="$ a million tokens", **_decades(1e-7, 1e0, every=2))
    return _done(figure)


TIER_NAMES = {"hbm": "GPU memory", "ddr": "CPU memory", "flash": "flash", "disk": "disk", "qlc": "large flash"}
LAW_NAMES = {"hoffmann": "law of Hoffmann et al.", "besiroglu": "its refit"}


def budget(series: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens a parameter over the rule of 20, against the tokens that will be served."""
    figure = _blank()
    hover = "%{x:.3g} tokens served<br>%{y:.3g} x the rule"
    for (law, factors), colour in zip(series["overtraining"].items(), HUES, strict=False):
        _line(figure, series["demand"], factors, escaped(LAW_NAMES.get(law, law)), colour, hover)
    talk = series["talk"]
    _marks(figure, [talk["demand"]], [talk["overtraining"]], GREEN, "the talk's model", size=11, named=True)
    figure.update_xaxes(title_text="tokens served in the model's life", **_decades(1e12, 1e16))
    figure.update_yaxes(title_text="training tokens over 20 a parameter", **_decades(1, 3000))
    return _done(figure)


def placement(series: Mapping[str, Any]) -> dict[str, Any]:
    """Bars of sends to the other rack by placement, and a line where assignments lie, whatever the placement."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=series["sends"],
        y=[escaped(name) for name in series["names"]],
        orientation="h",
        marker_color=[GREEN, BLUE, BLUE, GREY],
        text=[f"{value:.3f}" for value in series["sends"]],
        textposition="outside",
        name="sends a token",
        hovertemplate="%{y}<br>%{x:.4f} sends a token<extra></extra>",
        showlegend=False,
    )
    share = series["assignment_share"]
    figure.add_scatter(
        x=[share, share],
        y=[escaped(series["names"][0]), escaped(series["names"][-1])],
        mode="lines",
        line={"color": ORANGE, "width": 3, "dash": "dash"},
        name="share of assignments, every placement",
        hovertemplate="%{x:.3f} of the assignments<extra></extra>",
    )
    figure.update_xaxes(title_text="sends to the other rack, a token", range=[0, 0.95])
    figure.update_yaxes(autorange="reversed", automargin=True, type="category", showgrid=False)
    return _done(figure, height=300)


def _blank() -> Any:  # noqa: ANN401 - plotly ships no types
    import plotly.graph_objects as go

    return go.Figure()


def _done(figure: Any, height: int = HEIGHT) -> dict[str, Any]:  # noqa: ANN401 - plotly ships no types
    figure.update_layout(height=height, legend=LEGEND)
    return document(figure)


def _line(
    figure: Any,  # noqa: ANN401 - plotly ships no types
    across: Sequence[float],
    up: Sequence[float],
    name: str,
    colour: str,
    hover: str,
    dash: str = "solid",
) -> None:
    figure.add_scatter(
        x=list(across),
        y=list(up),
        mode="lines",
        name=name,
        line={"color": colour, "width": 2.5, "dash": dash},
        hovertemplate=f"{name}<br>{hover}<extra></extra>",
    )


def _marks(
    figure: Any,  # noqa: ANN401 - plotly ships no types
    across: Sequence[float],
    up: Sequence[float],
    colour: str,
    name: str,
    size: int = 9,
    *,
    named: bool = False,
) -> None:
    figure.add_scatter(
        x=list(across),
        y=list(up),
        mode="markers",
        name=name,
        marker={"color": colour, "size": size, "symbol": "diamond"},
        hovertemplate=f"{name}<extra></extra>",
        showlegend=named,
    )


def _decades(low: float, high: float, every: int = 1) -> dict[str, Any]:
    """Return a logarithmic axis whose ticks are powers of ten, written out."""
    first, last = math.log10(low), math.log10(high)
    powers = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1, every)
    names = [power_text(power) for power in powers]
    return {
        "type": "log",
        "range": [first, last + _ROOM],
        "tickvals": [10.0**power for power in powers],
        "ticktext": names,
    }


def power_text(power: int) -> str:
    """Write a power of ten: 100, 10,000, 1 M, or with a raised exponent where it is very small."""
    if power < -3:
        return f"10<sup>{power}</sup>"
    if power < 0:
        return f"{10.0**power:g}"
    return f"{10**power:,}" if power < 6 else words.magnitude(10.0**power, 1)


DRAWN: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "batch": batch,
    "menu": menu,
    "context": context,
    "tiers": tiers,
    "budget": budget,
    "placement": placement,
}
"""The page's six figures in their order."""
