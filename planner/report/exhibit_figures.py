"""Pictures of the ledger's exhibits as plotly documents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from planner.report.claim_figures import BLUE, GREEN, HEIGHT, HUES, LEGEND, ORANGE, power_text
from planner.report.figures import document, escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WAYS = {"store": "store all", "checkpoint": "keep inputs of layers", "reversible": "run backwards"}


def reconstruction(series: Mapping[str, Any]) -> dict[str, Any]:
    """Largest error of inputs computed back from outputs against depth, by number format."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for (kind, errors), colour in zip(series["errors"].items(), HUES, strict=False):
        figure.add_scatter(
            x=series["layers"],
            y=errors,
            mode="lines+markers",
            name=escaped(kind),
            line={"color": colour, "width": 2.5},
            hovertemplate=f"{escaped(kind)}<br>%{{x}} layers<br>error %{{y:.2g}}<extra></extra>",
        )
    limit = series["warned_above"]
    figure.add_scatter(
        x=[series["layers"][0], series["layers"][-1]],
        y=[limit, limit],
        mode="lines",
        name="warned above",
        line={"color": "#8c929b", "width": 1.5, "dash": "dash"},
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text="layers", type="log", tickvals=series["layers"], ticktext=series["layers"])
    powers = range(-16, 1, 4)
    figure.update_yaxes(title_text="largest error", type="log", range=[-16.5, 0.5])
    figure.update_yaxes(tickvals=[10.0**power for power in powers], ticktext=[power_text(power) for power in powers])
    figure.update_layout(height=HEIGHT, legend=LEGEND)
    return document(figure)


def mixing(series: Mapping[str, Any]) -> dict[str, Any]:
    """Avalanche by rounds beside the gain by depth."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for across, up, name, colour, hover in (
        (
            "rounds",
            "avalanche",
            "cipher: share of bits flipped, by rounds",
            ORANGE,
            "%{x} rounds<br>%{y:.3f} of the bits",
        ),
        ("depths", "gain", "network: change out / change in, by layers", BLUE, "%{x} layers<br>gain %{y:.3f}"),
    ):
        figure.add_scatter(
            x=series[across],
            y=series[up],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2.5},
            hovertemplate=f"{hover}<extra></extra>",
        )
    ticks = [1, 2, 4, 8, 16, 32, 64]
    figure.update_xaxes(title_text="rounds or layers", type="log", tickvals=ticks, ticktext=ticks)
    figure.update_yaxes(title_text="share, or ratio", range=[0, 1.5])
    figure.update_layout(height=HEIGHT, legend=LEGEND)
    return document(figure)


def activations(series: Mapping[str, Any]) -> dict[str, Any]:
    """Activation memory of the three ways to train."""
    extra = [f"{value:.1f} GB" + ("" if not more else f", +{100 * more:.0f} % FLOP") for value, more in _pairs(series)]
    return _bars(
        [WAYS.get(name, name) for name in series["ways"]], series["gigabytes"], extra, "activations kept, GB", ORANGE
    )


def kv(series: Mapping[str, Any]) -> dict[str, Any]:
    """FLOP without over with a KV cache."""
    names = [f"prompt of {prompt:,}" if prompt else "no prompt" for prompt in series["prompts"]]
    text = [f"{factor:,.2f} x" for factor in series["factor"]]
    return _bars(names, series["factor"], text, "FLOP without a cache over with one", GREEN)


def _pairs(series: Mapping[str, Any]) -> list[tuple[float, float]]:
    return list(zip(series["gigabytes"], series["extra_flop"], strict=True))


def _bars(names: list[str], values: list[float], text: list[str], title: str, colour: str) -> dict[str, Any]:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_bar(
        x=values,
        y=[escaped(name) for name in names],
        orientation="h",
        marker_color=colour,
        text=text,
        textposition="outside",
        hovertemplate="%{y}<br>%{x:.4g}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(title_text=title, range=[0, 1.65 * max(values)], nticks=5)
    figure.update_yaxes(autorange="reversed", automargin=True, type="category", showgrid=False)
    figure.update_layout(height=140 + math.ceil(45 * len(names)))
    return document(figure)


DRAWN: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "reconstruction": reconstruction,
    "mixing": mixing,
    "activations": activations,
    "kv": kv,
}
"""The exhibits' pictures in their order."""
