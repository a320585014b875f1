"""The page of a comparison: every strategy on every case, ranked, as tables and figures."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from planner.report import words
from planner.report.figures import document, escaped
from planner.report.markup import Markup, element, figure, joined, section, table
from planner.report.page import whole_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[Mapping[str, Any]]

TITLE = "Placement strategies compared"
COLOURS = ("#2f64cc", "#c2671a", "#1f8a68", "#7a4fc0", "#b3261e", "#3ca3b8")
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")


class Measure(NamedTuple):
    """One measure of a row: its key, how columns call it, what it is, its scale and decimals, where its axis begins."""

    key: str
    column: str
    meaning: str
    scale: float
    decimals: int
    from_zero: bool = True


MEASURES = (
    Measure("gap", "Gap, %", "cost above the best proven bound, %", 100.0, 2),
    Measure("decode_step_s", "Step, ms", "slowest decode step, ms", 1e3, 2, False),
    Measure("balance_mean", "Balance", "balance: mean over largest GPU load", 1.0, 4, False),
    Measure("remote_share", "Assignments off host", "share of token-expert assignments that leave their host", 1.0, 3),
    Measure("remote_token_share", "Tokens off host", "share of tokens with an expert on another host", 1.0, 3),
    Measure("remote_sends_per_token", "Sends a token", "distinct other hosts a token is sent to", 1.0, 2),
    Measure("moved_fraction", "Moved", "share of slots moved from the contiguous map", 1.0, 2),
)


def compare_page(rows: Rows) -> str:
    """Write the page of the rows of `planner.studies.compare.compare_strategies`.

    Returns
    -------
    str
        HTML that needs no network; names are escaped.
    """
    cases = list(dict.fromkeys(row["case"] for row in rows))
    planned = [row for row in rows if row["rank"] is not None]
    drawn = {measure.key: measure_figure(planned, cases, measure) for measure in _drawable(planned)}
    what = f"{words.counted(len({row['strategy'] for row in rows}), 'strategy', 'strategies')} on "
    lead = f"{what}{words.counted(len(cases), 'case')}. {_best(rows, cases)}"
    content = joined(
        [
            element("header", element("h1", TITLE), element("p", lead, _class="lead")),
            _overall(rows, cases) if len(cases) > 1 else "",
            *(
                _case(number, name, [row for row in rows if row["case"] == name])
                for number, name in enumerate(cases, 1)
            ),
            _figures(planned) if drawn else "",
        ]
    )
    return whole_page(TITLE, content, drawn)


def _best(rows: Rows, cases: Sequence[str]) -> str:
    """Name the strategy that is first on most cases."""
    firsts = [row["strategy"] for row in rows if row["rank"] == 1]
    if not firsts:
        return "None found a plan."
    best = max(firsts, key=firsts.count)
    return f"{best} is first" + (f" on {firsts.count(best)} of {len(cases)}." if len(cases) > 1 else ".")


def _overall(rows: Rows, cases: Sequence[str]) -> Markup:
    """Tabulate each strategy over all cases, those with most plans and the least mean gap first."""
    entries = []
    for name in dict.fromkeys(row["strategy"] for row in rows):
        own = [row for row in rows if row["strategy"] == name and row["rank"] is not None]
        gaps = [row["gap"] for row in own if row["gap"] is not None]
        mean, worst = (fmean(gaps), max(gaps)) if gaps else (None, None)
        ranks = [row["rank"] for row in own]
        entries.append((-len(own), float("inf") if mean is None else mean, name, mean, worst, ranks))
    lines = [
        (
            name,
            f"{-plans} of {len(cases)}",
            f"{ranks.count(1)}",
            words.fixed(fmean(ranks) if ranks else None, 2),
            *(words.fixed(None if gap is None else 100 * gap, 2) for gap in (mean, worst)),
        )
        for plans, _, name, mean, worst, ranks in sorted(entries)
    ]
    columns = ("Strategy", "Cases with a plan", "First", "Mean rank", "Mean gap, %", "Worst gap, %")
    return section("overall", "Over all cases", "Each strategy over all cases.", table(columns, lines))


def _case(number: int, name: str, rows: Rows) -> Markup:
    lines = [
        (
            words.NONE if row["rank"] is None else row["rank"],
            row["strategy"],
            words.usd(row["cost_usd"]),
            *(_cell(row, measure) for measure in MEASURES),
            words.fixed(row["seconds"], 1),
        )
        for row in rows
    ]
    columns = ("#", "Strategy", "Cost", *(measure.column for measure in MEASURES), "Found in, s")
    notes = [element("li", f"{row['strategy']}: {row['note']}") for row in rows if row["note"]]
    return section(
        f"case{number}",
        name,
        "Best first: cost over the horizon, then the decode step. The gap is to the best bound of the case.",
        table(columns, lines, left=2),
        element("ul", *notes) if notes else "",
    )


def _cell(row: Mapping[str, Any], measure: Measure) -> str:
    value = row[measure.key]
    return words.fixed(None if value is None else measure.scale * value, measure.decimals)


def _drawable(planned: Rows) -> list[Measure]:
    return [measure for measure in MEASURES if any(row[measure.key] is not None for row in planned)]


def _figures(planned: Rows) -> Markup:
    shown = [
        figure(measure.key, f"{measure.meaning[0].upper()}{measure.meaning[1:]}.") for measure in _drawable(planned)
    ]
    columns = "display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr))"
    sentence = "A mark for each strategy and case. Further left is better, but for balance, where 1 is perfect."
    return section("drawn", "The same drawn", sentence, element("div", *shown, style=columns))


def measure_figure(planned: Rows, cases: Sequence[str], measure: Measure) -> dict[str, Any]:
    """Draw one measure: strategies down, a mark a case."""
    import plotly.graph_objects as go

    names = [escaped(name) for name in dict.fromkeys(row["strategy"] for row in planned)]
    drawing = go.Figure()
    for number, case in enumerate(cases):
        own = [row for row in planned if row["case"] == case and row[measure.key] is not None]
        drawing.add_scatter(
            x=[measure.scale * row[measure.key] for row in own],
            y=[escaped(row["strategy"]) for row in own],
            name=escaped(case),
            mode="markers",
            cliponaxis=False,
            marker={"size": 9, "color": COLOURS[number % len(COLOURS)], "symbol": SYMBOLS[number % len(SYMBOLS)]},
            hovertemplate="%{y}<br>%{x:.4g}<extra>" + escaped(case) + "</extra>",
            showlegend=len(cases) > 1,
        )
    drawing.update_layout(
        height=120 + 24 * len(names) + (22 * len(cases) if len(cases) > 1 else 0),
        xaxis={
            "title": {"text": measure.column},
            "nticks": 5,
            "rangemode": "tozero" if measure.from_zero else "normal",
        },
        yaxis={
            "autorange": "reversed",
            "automargin": True,
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names,
        },
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return document(drawing)
