"""The parts of the page on the choice of a model: what is trained and why, all members, and every law side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.report import life, words
from planner.report.markup import Markup, element, figure, folded, joined, section, table, terms

if TYPE_CHECKING:
    from collections.abc import Mapping


def lifecycle(payload: Mapping[str, Any]) -> Markup:
    """Write all parts; nothing for a plan of serving alone."""
    if "lifecycle" not in payload:
        return Markup("")
    return joined([_training(payload), _members(payload), _laws(payload)])


def _training(payload: Mapping[str, Any]) -> Markup:
    members = words.counted(len(payload["lifecycle"]["members"]), "member")
    warned = life.warnings(life.own_law(payload))
    rule = payload["lifecycle"]["rule"]
    notice = [
        element("h3", "Outside what the law was fitted to", _class="warn"),
        element("ul", *(element("li", text) for text in warned)),
    ]
    return section(
        "training",
        "What is trained, and why",
        f"Of {members} the plan trains {life.trained(payload)}.",
        element("ul", *(element("li", text) for text in (f"Spent on {life.spend(payload)}.", *life.meaning(payload)))),
        *(notice if warned else ()),
        terms(life.rests_on(payload)),
        folded("Sources of the rule for effective parameters", terms(rule["sources"].items())),
    )


def _members(payload: Mapping[str, Any]) -> Markup:
    rows = [[_marked(name, known), known, *numbers] for name, known, *numbers in life.member_rows(payload)]
    out = life.members_out(payload)
    return section(
        "members",
        "The members of the family",
        "What each member costs over the whole life to reach the same quality. Training is pre-training and training "
        "on RL tokens; serving holds the rollouts. A member whose bound is above the chosen cost needs no plan.",
        figure("members", "Whole life of each member: training and serving; pale bars are proven bounds of serving."),
        table(life.MEMBER_COLUMNS, rows, left=2),
        *([element("h3", "Out"), terms(out)] if out else ()),
    )


def _marked(name: str, known: str) -> Markup:
    return element("strong", name) if known == "chosen" else element("span", name)


def _laws(payload: Mapping[str, Any]) -> Markup:
    columns, rows = life.law_table(payload)
    warned = [(law["law"], "; ".join(life.warnings(law))) for law in payload["lifecycle"]["laws"] if life.warnings(law)]
    missing = life.reasons_without_plan(payload)
    return section(
        "laws",
        "The same case under each loss law",
        "Nobody knows which law holds at this size: where the columns agree, the choice does not depend on it.",
        table(columns, rows),
        *([element("h3", "No plan under"), terms(missing)] if missing else ()),
        folded("Where each law is extrapolated", terms(warned)) if warned else "",
    )
