"""The claim ledger as one HTML page: figures, exhibits and every claim with its numbers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from planner.report import claim_figures, exhibit_figures
from planner.report.claims_said import EXHIBITS, FIGURES
from planner.report.claims_text import shown, shown_flip
from planner.report.markup import Markup, element, figure, joined, section, table, terms
from planner.report.page import whole_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from planner.report.claims_said import Said

    Entry = Mapping[str, Any]

TITLE = "The claims, recomputed"
VERDICTS = ("AGREE", "ROUNDED", "ASSUMES", "SLIP", "CONTESTED", "QUALITATIVE")


def render_claims(entries: Sequence[Entry], series: Mapping[str, Mapping[str, Any]]) -> str:
    """Write the page.

    Parameters
    ----------
    entries
        Documents of the claims, as `planner.studies.claims.ledger.recompute` makes them.
    series
        Series by figure, as `planner.studies.claims.pictures.pictures` makes them; a figure without any is left out.
    """
    drawn = {
        name: draw(series[name])
        for name, draw in (*claim_figures.DRAWN.items(), *exhibit_figures.DRAWN.items())
        if series.get(name)
    }
    content = joined(
        [
            _header(entries),
            _gallery(
                "figures-of-the-talk", "Six figures", "The talk's ideas, each drawn from the model.", FIGURES, drawn
            ),
            _ledger(entries),
            _gallery(
                "exhibits",
                "Exhibits",
                "Small experiments behind the claims that networks mix as ciphers do.",
                EXHIBITS,
                drawn,
            ),
        ]
    )
    return whole_page(TITLE, content, drawn, styles=("claims.css",))


def _header(entries: Sequence[Entry]) -> Markup:
    counts = Counter(str(entry["verdict"]) for entry in entries)
    found = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    lines = [line for entry in entries for line in entry["acceptance"]]
    failed = sum(not line["holds"] for line in lines)
    reproduced = (
        f"All {len(lines)} check figures come out" if not failed else f"{failed} of {len(lines)} do not come out"
    )
    lead = (
        f"{len(entries)} claims on how large models are trained, served and priced, each computed again from this "
        f"project's own cost model and data: {found}. {reproduced}."
    )
    return element("header", element("h1", TITLE), element("p", lead, _class="lead"))


def _gallery(name: str, title: str, sentence: str, texts: Mapping[str, Said], drawn: Mapping[str, Any]) -> Markup:
    return section(name, title, sentence, *(_pair(key, said) for key, said in texts.items() if key in drawn))


def _pair(name: str, said: Said) -> Markup:
    aside = element("aside", element("p", said.equation, _class="equation"), element("p", said.letters))
    return joined([element("h3", said.heading), element("div", figure(name, said.sentence), aside, _class="pair")])


def _ledger(entries: Sequence[Entry]) -> Markup:
    counts = Counter(str(entry["verdict"]) for entry in entries)
    head = element(
        "div",
        *(element("span", name) for name in ("Claim", "Verdict", "Statement")),
        *(element("span", name, _class="value") for name in ("Printed", "Recomputed")),
        _class="ledger-head",
        aria_hidden="true",
    )
    choices = [("all", f"all {len(entries)}"), *((key, f"{key} {counts[key]}") for key in VERDICTS if counts[key])]
    buttons = [_choice(key, label) for key, label in choices]
    picked = element("fieldset", element("legend", "Show claims whose verdict is"), *buttons, _class="ledger-filter")
    rows = element("div", picked, head, *(_claim(entry) for entry in entries), _class="ledger")
    sentence = "A claim opens on a click: its equation, inputs, figures, and the least change that turns its verdict."
    return section("ledger", "The ledger", sentence, rows)


def _choice(key: str, label: str) -> Markup:
    checked = {"checked": ""} if key == "all" else {}
    box = element("input", type="radio", name="verdict", id=f"show-{key}", value=key, **checked)
    return element("label", box, label)


def _claim(entry: Entry) -> Markup:
    verdict, unit = str(entry["verdict"]), str(entry["unit"])
    summary = element(
        "summary",
        element("span", entry["id"], _class="id"),
        element("span", verdict, _class=f"verdict {verdict}"),
        element("span", entry["statement"], element("small", entry["quantity"]), _class="statement"),
        _value("printed ", entry["printed"], unit),
        _value("recomputed ", "exhibit" if entry["computed"] is None else entry["computed"], unit),
    )
    return element(
        "details",
        summary,
        element("div", *_inside(entry), _class="inside"),
        _class=f"claim is-{verdict}",
        id=entry["id"],
    )


def _value(label: str, value: object, unit: str) -> Markup:
    text = shown(value)
    return element(
        "span", element("small", label), f"{text} {unit}".rstrip() if value is not None else text, _class="value"
    )


def _inside(entry: Entry) -> list[Markup]:
    rows: list[tuple[object, object]] = [
        ("Why", entry["why"]),
        ("Verdict", f"{entry['verdict']}: {entry['verdict_means']}"),
        ("Equation", element("span", entry["equation"], _class="equation")),
        ("Quantity", f"{entry['quantity']}{', ' + entry['unit'] if entry['unit'] else ''}"),
        ("Flips", shown_flip(entry["flip"])),
    ]
    if entry["exhibit"]:
        rows.append(("Exhibit", "holds" if entry["holds"] is not False else "does not hold"))
    found = [row for key in ("figures", "otherwise", "field") for row in _figure_rows(key, entry[key])]
    missed = [line["text"] for line in entry["acceptance"] if not line["holds"]]
    rows += [("Does not come out", text) for text in missed]
    inputs = [(row["name"], _with_unit(row), row["meaning"]) for row in entry["inputs"]]
    return [
        terms(rows),
        element("h3", "Inputs"),
        table(("Input", "Value", "Meaning"), inputs, left=3),
        element("h3", "Figures"),
        table(("Figure", "Value", "From"), found, left=3),
    ]


ROLES = {"figures": "recomputed", "otherwise": "under another assumption", "field": "in the field"}


def _figure_rows(key: str, figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [(row["name"], _with_unit(row), row["source"] or ROLES[key]) for row in figures]


def _with_unit(row: Mapping[str, Any]) -> str:
    return f"{shown(row['value'])} {row['unit']}".rstrip()
